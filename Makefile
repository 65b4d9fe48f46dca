# What can be made, with the variables that are meant to be set. Nothing here
# needs more than Go, git, make and, for the race detector, a C compiler;
# `make test` and `make cluster` install MariaDB, Redis and nginx where they may.

IP        ?= 127.0.0.1# where `make run` listens
PORT      ?= 6000# where `make run` listens
HTTP      ?= 127.0.0.1:8080# the web client, health and metrics of `make run`
DATA      ?= data# where `make run` keeps the store
FUZZTIME  ?= 30s# for each fuzz target of `make fuzz`
BENCHTIME ?= 500ms# for each benchmark of `make bench`
SEED      ?=# of `make crash`: the same plan again; empty: another one each time
VULNDB    ?= https://vuln.go.dev# where `make lint` looks up known vulnerabilities; file:///… for a copy
FOR       ?= 30m# how long `make soak` lasts
SPAWN     ?= sqlite# what `make soak` runs on: sqlite, mysql or cluster
PKG       ?= ./...# what `make test`, `race`, `fuzz` and `bench` look at

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
GOBUILD  = CGO_ENABLED=0 go build -trimpath -ldflags '-X main.stamp=$(VERSION)'

.DEFAULT_GOAL := help
.PHONY: help build chat-and-chatd chatdemo run demo cluster cluster-down test race lint fuzz bench soak crash firefox webkit screenshots clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16
	@echo
	@echo 'Variables, as in "make run PORT=7000":'
	@grep -E '^[A-Z]+ +\?= ' $(MAKEFILE_LIST) | sed -E 's/^([A-Z]+) +\?= ([^#]*)# (.*)/  \1=\2\t\3/' | expand -t 28

build: chat-and-chatd chatdemo ## bin/chatd (the server), bin/chat (the terminal client), bin/chatbench (the load harness), bin/chatdemo
	$(if $(wildcard bench/*.go),$(GOBUILD) -o bin/chatbench ./bench)

# Who looks for the first time doesn't wait for the load harness.
chat-and-chatd:
	$(GOBUILD) -o bin/chatd .
	$(if $(wildcard client/chat/*.go),$(GOBUILD) -o bin/chat ./client/chat)

chatdemo:
	$(if $(wildcard client/demo/*.go),$(GOBUILD) -o bin/chatdemo ./client/demo)

run: chat-and-chatd ## build, then serve as a single node with its data in ./data
	@mkdir -p -m 700 '$(DATA)'
	@exec bin/chatd '$(IP)' '$(PORT)' --http '$(HTTP)' --db 'sqlite:$(DATA)/chatd.db'

demo: chat-and-chatd chatdemo ## build, then a server in a temporary folder with scripted people who talk there and answer
	@exec bin/chatdemo

cluster: build ## build, then MariaDB, Redis, three nodes and nginx on loopback, with their data in ./data/cluster
	@deploy/cluster.sh up

cluster-down: ## end what `make cluster` has started; the data stays
	@deploy/cluster.sh down

test: ## every test, with the race detector where there is (or can be installed) a C compiler
	@scripts/test.sh $(PKG)

race: ## every test with the race detector, or an error where there is no C compiler
	CGO_ENABLED=1 go test -race -count=1 -timeout 30m $(PKG)

lint: ## gofmt, go vet, staticcheck, a tidy go.mod, and known vulnerabilities where their database can be reached
	@VULNDB='$(VULNDB)' scripts/lint.sh

fuzz: ## each fuzz target for FUZZTIME
	@scripts/fuzz.sh $(FUZZTIME) $(PKG)

bench: build ## in five minutes: the packages' benchmarks, and each load on a server and on the floor
	@scripts/bench.sh $(BENCHTIME) $(PKG)

crash: build ## ten minutes in which everything on three nodes breaks that can, while people talk: is anything lost?
	bin/chatbench crash --duration 10m --nodes 3 $(if $(SEED),--seed $(SEED))

soak: build ## half an hour of load (FOR) on SPAWN: fails where memory, goroutines or descriptors grow
	@mkdir -p -m 700 data
	bin/chatbench soak --spawn '$(SPAWN)' --duration '$(FOR)' --dir data

firefox: ## the tests of the web client in Firefox (make test has them in Chromium)
	CHATD_BROWSER=firefox scripts/test.sh -v -run TestBrowser ./client/web/browsertest

webkit: ## a walk through the web client in WebKit, the engine of Safari
	CHATD_BROWSER=webkit scripts/test.sh -v -run TestWebKit ./client/web/browsertest

screenshots: ## docs/images anew: the demo, as Chromium shows it (some more are in data/screenshots), and the terminal client
	@mkdir -p docs/images data/screenshots
	CHATD_SCREENSHOTS='$(CURDIR)/data/screenshots' go test -count=1 -v -run TestScreenshots ./client/web/browsertest
	cp data/screenshots/light.webp data/screenshots/dark.webp data/screenshots/phone.webp docs/images/
	go test -count=1 -run TestPicture ./client/chat -args -svg '$(CURDIR)/docs/images/terminal.svg'

clean: ## remove what build made; the data stays
	rm -rf bin
