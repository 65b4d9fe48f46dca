# Targets, and the variables that you can set. They need Go, git and make, and a
# C compiler for the race detector. `make test` and `make cluster` install
# MariaDB, Redis and nginx if they can.

IP        ?= 127.0.0.1# where `make run` listens
PORT      ?= 6000# where `make run` listens
HTTP      ?= 127.0.0.1:8080# the web client, health and metrics of `make run`
DATA      ?= data# where `make run` keeps the store
FUZZTIME  ?= 30s# for each fuzz target of `make fuzz`
BENCHTIME ?= 500ms# for each benchmark of `make bench`
SEED      ?=# of `make crash`, to repeat a plan; empty: a new plan each time
VULNDB    ?= https://vuln.go.dev# database of known vulnerabilities for `make lint`; file:///… for a copy
FOR       ?= 30m# duration of `make soak`
SPAWN     ?= sqlite# what `make soak` starts: sqlite, mysql or cluster
PKG       ?= ./...# packages of `make test`, `race`, `fuzz` and `bench`

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
GOBUILD  = CGO_ENABLED=0 go build -trimpath -ldflags '-X main.stamp=$(VERSION)'

.DEFAULT_GOAL := help
.PHONY: help build chat-and-chatd chatdemo run demo cluster cluster-down test race lint fuzz bench soak crash firefox webkit screenshots clean

help: ## show this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16
	@echo
	@echo 'Variables, as in "make run PORT=7000":'
	@grep -E '^[A-Z]+ +\?= ' $(MAKEFILE_LIST) | sed -E 's/^([A-Z]+) +\?= ([^#]*)# (.*)/  \1=\2\t\3/' | expand -t 28

build: chat-and-chatd chatdemo ## build bin/chatd (server), bin/chat (terminal client), bin/chatbench (load generator) and bin/chatdemo
	$(if $(wildcard bench/*.go),$(GOBUILD) -o bin/chatbench ./bench)

# `make run` and `make demo` don't need the load generator, so they don't wait for it.
chat-and-chatd:
	$(GOBUILD) -o bin/chatd .
	$(if $(wildcard client/chat/*.go),$(GOBUILD) -o bin/chat ./client/chat)

chatdemo:
	$(if $(wildcard client/demo/*.go),$(GOBUILD) -o bin/chatdemo ./client/demo)

run: chat-and-chatd ## build, then run a single node with its data in ./data
	@mkdir -p -m 700 '$(DATA)'
	@exec bin/chatd '$(IP)' '$(PORT)' --http '$(HTTP)' --db 'sqlite:$(DATA)/chatd.db'

demo: chat-and-chatd chatdemo ## build, then run a server in a temporary folder with scripted users who talk and answer
	@exec bin/chatdemo

cluster: build ## build, then run MariaDB, Redis, three nodes and nginx on loopback, with data in ./data/cluster
	@deploy/cluster.sh up

cluster-down: ## stop what `make cluster` started; keep the data
	@deploy/cluster.sh down

test: ## run all tests, with the race detector if a C compiler is there or can be installed
	@scripts/test.sh $(PKG)

race: ## run all tests with the race detector; fail without a C compiler
	CGO_ENABLED=1 go test -race -count=1 -timeout 30m $(PKG)

lint: ## check gofmt, go vet, staticcheck, go.mod, and known vulnerabilities if the database can be reached
	@VULNDB='$(VULNDB)' scripts/lint.sh

fuzz: ## run each fuzz target for FUZZTIME
	@scripts/fuzz.sh $(FUZZTIME) $(PKG)

bench: build ## run the packages' benchmarks, and each load on a server and on the bare relay, in five minutes
	@scripts/bench.sh $(BENCHTIME) $(PKG)

crash: build ## break every part of a three-node cluster for ten minutes, and check that no message is lost
	bin/chatbench crash --duration 10m --nodes 3 $(if $(SEED),--seed $(SEED))

soak: build ## load SPAWN for half an hour (FOR); fail if memory, goroutines or descriptors grow
	@mkdir -p -m 700 data
	bin/chatbench soak --spawn '$(SPAWN)' --duration '$(FOR)' --dir data

firefox: ## test the web client in Firefox (make test uses Chromium)
	CHATD_BROWSER=firefox scripts/test.sh -v -run TestBrowser ./client/web/browsertest

webkit: ## test the web client in WebKit, the engine of Safari
	CHATD_BROWSER=webkit scripts/test.sh -v -run TestWebKit ./client/web/browsertest

screenshots: ## make docs/images: the demo in Chromium (more are in data/screenshots), and the terminal client
	@mkdir -p docs/images data/screenshots
	CHATD_SCREENSHOTS='$(CURDIR)/data/screenshots' go test -count=1 -v -run TestScreenshots ./client/web/browsertest
	cp data/screenshots/light.webp data/screenshots/dark.webp data/screenshots/phone.webp docs/images/
	go test -count=1 -run TestPicture ./client/chat -args -svg '$(CURDIR)/docs/images/terminal.svg'

clean: ## remove what build made; keep the data
	rm -rf bin
