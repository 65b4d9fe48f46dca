# Run `make help` for a list of targets and variables. Building needs Go, git and
# make; the race detector also needs a C compiler. `make test` and `make cluster`
# install MariaDB, Redis and nginx if they can.

IP        ?= 127.0.0.1# IP address on which `make run` listens
PORT      ?= 6000# chat port of `make run`
HTTP      ?= 127.0.0.1:8080# HTTP address of `make run`: web client, health checks, metrics
DATA      ?= data# data directory of `make run`
FUZZTIME  ?= 30s# how long `make fuzz` runs each fuzz target
BENCHTIME ?= 500ms# how long `make bench` runs each benchmark
SEED      ?=# seed of `make crash` and `make powercut`, to repeat a run; empty: random
VULNDB    ?= https://vuln.go.dev# vulnerability database of `make lint`; file:///… for a local copy
FOR       ?= 30m# how long `make soak` and `make powercut` run
SPAWN     ?= sqlite# what `make soak` tests: sqlite, mysql or cluster
PKG       ?= ./...# packages for `make test`, `race`, `fuzz` and `bench`

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)
GOBUILD  = CGO_ENABLED=0 go build -trimpath -ldflags '-X main.stamp=$(VERSION)'

.DEFAULT_GOAL := help
.PHONY: help build chat-and-chatd chatdemo run demo cluster cluster-down test race lint fuzz bench soak crash powercut firefox webkit screenshots clean

help: ## show this help
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1\t/' | expand -t 16
	@echo
	@echo 'Variables, for example "make run PORT=7000":'
	@grep -E '^[A-Z]+ +\?=' $(MAKEFILE_LIST) | sed -E 's/^([A-Z]+) +\?= ?([^#]*)# (.*)/  \1=\2\t\3/' | expand -t 32

build: chat-and-chatd chatdemo ## build bin/chatd (server), bin/chat (terminal client), bin/chatbench (load generator), bin/chatdemo (demo)
	$(if $(wildcard bench/*.go),$(GOBUILD) -o bin/chatbench ./bench)

# `make run` and `make demo` don't need the load generator, so they don't build it.
chat-and-chatd:
	$(GOBUILD) -o bin/chatd .
	$(if $(wildcard client/chat/*.go),$(GOBUILD) -o bin/chat ./client/chat)

chatdemo:
	$(if $(wildcard client/demo/*.go),$(GOBUILD) -o bin/chatdemo ./client/demo)

run: chat-and-chatd ## build, then run a single node with its data in DATA
	@mkdir -p -m 700 '$(DATA)'
	@exec bin/chatd '$(IP)' '$(PORT)' --http '$(HTTP)' --db 'sqlite:$(DATA)/chatd.db'

demo: chat-and-chatd chatdemo ## build, then run a demo: a server with temporary data, and scripted users who chat and reply
	@exec bin/chatdemo

cluster: build ## build, then start MariaDB, Redis, three nodes and nginx on loopback, with data in ./data/cluster
	@deploy/cluster.sh up

cluster-down: ## stop what `make cluster` started, and keep its data
	@deploy/cluster.sh down

test: ## run all tests, with the race detector if there is a C compiler
	@scripts/test.sh $(PKG)

race: ## run all tests with the race detector; needs a C compiler
	CGO_ENABLED=1 go test -race -gcflags=modernc.org/sqlite/lib=-race=false -count=1 -timeout 30m $(PKG)

lint: ## run gofmt, go vet and staticcheck, and check go.mod and known vulnerabilities
	@VULNDB='$(VULNDB)' scripts/lint.sh

fuzz: ## run each fuzz target for FUZZTIME
	@scripts/fuzz.sh $(FUZZTIME) $(PKG)

bench: build ## run all benchmarks, then short load tests against a server and the bare relay (5 minutes)
	@scripts/bench.sh $(BENCHTIME) $(PKG)

crash: build ## break parts of a three-node cluster for ten minutes; fail if a message is lost
	go run ./internal/testbuild/clockd bin/chatd-clock
	bin/chatbench crash --chatd bin/chatd-clock --duration 10m --nodes 3 $(if $(SEED),--seed $(SEED))

soak: build ## put load on SPAWN for half an hour (FOR); fail if memory, goroutines or file descriptors grow
	@mkdir -p -m 700 data
	bin/chatbench soak --spawn '$(SPAWN)' --duration '$(FOR)' --dir data

powercut: ## cut SQLite's power and break its disk at random moments, for at least FOR; SEED repeats a run
	CHATD_DISK_TIME='$(FOR)' CHATD_DISK_SEED='$(SEED)' go test -count=1 -v -timeout 0 -run 'PowerCut|FailedSync|IOErrors' ./model

firefox: ## test the web client in Firefox (`make test` uses Chromium)
	CHATD_BROWSER=firefox scripts/test.sh -v -run TestBrowser ./client/web/browsertest

webkit: ## test the web client in WebKit, the engine of Safari
	CHATD_BROWSER=webkit scripts/test.sh -v -run TestWebKit ./client/web/browsertest

screenshots: ## update docs/images: the web client in Chromium (all in data/screenshots), and the terminal client
	@mkdir -p docs/images data/screenshots
	CHATD_SCREENSHOTS='$(CURDIR)/data/screenshots' go test -count=1 -v -run TestScreenshots ./client/web/browsertest
	cp data/screenshots/light.webp data/screenshots/dark.webp data/screenshots/phone.webp docs/images/
	go test -count=1 -run TestPicture ./client/chat -args -svg '$(CURDIR)/docs/images/terminal.svg'

clean: ## delete ./bin; keep the data
	rm -rf bin
