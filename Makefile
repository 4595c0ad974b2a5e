# Aisle's workshop. `make help` lists the targets; `make run` and `make test` need nothing but a Go toolchain, and on
# Debian the right to install packages.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export CGO_ENABLED := 0

CACHE     := .cache/bin
FUZZTIME  ?= 20s
FUZZ      ?= .
PARSERS   := (XMLBodies|Lifecycle|Website|Tagging|CORS|Notification|Parse|Pattern|Chunks|ChunkedReader|Head|Authorization|Presigned|Form)$$
SEEDS     ?= 500
E2E       ?= .
TIMEOUT   ?= 30m
TORTURE   ?= 10m
SEED      ?=
FAULTS    ?=
BENCHARGS ?=
VERSION   ?= $(shell git describe --always --dirty 2>/dev/null)

# What failed is said again at the end, after the output of all packages.
NAMES = || { rc=$$?; echo "== failed:"; grep -aE '^( *--- FAIL|FAIL|panic:|\s+Test\S+ \()' .cache/$@.log; exit $$rc; }

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## build bin/aisle: node, CLI and load generator in one static binary
	@mkdir -p bin
	go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/aisle ./cmd/aisle

.PHONY: run
run: build ## start a 3-node cluster on this machine and print how to use it; Ctrl-C stops it
	bin/aisle dev

.PHONY: test
test: ## install what the tests need, then run all that CI runs
	$(MAKE) clients lint build
	$(MAKE) unit
	$(MAKE) fuzz FUZZ='$(PARSERS)' FUZZTIME=10s
	$(MAKE) e2e

.PHONY: test-fast
test-fast: ## the inner loop: unit tests, fewer seeds, nothing installed
	AISLE_SIM_SEEDS=20 go test -short ./...

.PHONY: unit
unit: # unit tests, simulated clusters and the seeds of every fuzz target
	@mkdir -p .cache
	AISLE_SIM_SEEDS=$(SEEDS) go test -timeout $(TIMEOUT) $$(go list ./... | grep -v /cmd/lint) 2>&1 | tee .cache/$@.log $(NAMES)

.PHONY: faulty
faulty: # the program with a layer of faults under its disks, for the end-to-end tests
	@mkdir -p bin
	go build -trimpath -tags e2e -ldflags "-X main.version=$(VERSION)" -o bin/aisle-faults ./cmd/aisle

.PHONY: torture
torture: build faulty ## break a real cluster of 5 nodes under load for TORTURE (10m), by SEED; what failed leaves its evidence
	AISLE_TORTURE=$(TORTURE) AISLE_SEED=$(SEED) AISLE_FAULTS='$(FAULTS)' go test -tags e2e -count=1 -v -timeout 0 -run '^TestTorture$$' ./cmd/e2e

.PHONY: e2e
e2e: build faulty ## real processes, stock clients, faults; E2E=PATTERN picks tests
	@mkdir -p .cache
	go test -tags e2e -count=1 -timeout $(TIMEOUT) -run '$(E2E)' ./cmd/e2e 2>&1 | tee .cache/$@.log $(NAMES)

.PHONY: race
race: ## unit tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 AISLE_SIM_SEEDS=20 go test -race -timeout $(TIMEOUT) ./...

.PHONY: lint
lint: $(CACHE)/golangci-lint ## formatting, vet, linters, house rules, NOTICE, generated code
	go vet ./...
	go vet -tags e2e ./cmd/... ./target
	$(CACHE)/golangci-lint run
	go test -count=1 ./cmd/lint

.PHONY: generate
generate: ## write generated code, docs/config.md and NOTICE again
	go generate ./...
	go test -count=1 ./cmd/lint -run 'TestNotice' -update

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (20s); FUZZ=PATTERN picks targets
	@grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do \
		sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' "$$file" | { grep -E '^Fuzz$(FUZZ)' || :; } | while read -r target; do \
			echo "== $$(dirname "$$file") $$target"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null || exit 1; \
		done || exit 1; \
	done

.PHONY: bench
bench: build $(CACHE)/minio ## the same load on Aisle and on MinIO, interleaved; ratios and CPU per operation
	go run ./cmd/compare -aisle bin/aisle -minio $(CACHE)/minio $(BENCHARGS)

.PHONY: clients
clients: $(CACHE)/s5cmd $(CACHE)/mc # the stock S3 clients that the tests drive
	tools/install-clients awscli python3-boto3 s3cmd rclone

# Programs that are not part of Aisle: each has a go.mod of its own, which pins it, and runs as a process of its own.
$(CACHE)/%: tools/%/go.mod tools/%/go.sum
	@mkdir -p $(CACHE)
	cd tools/$* && go build -trimpath -o ../../$@ "$$(sed -n 's/^tool //p' go.mod)"
	@touch $@

.PHONY: clean
clean: ## remove what was built; data of a dev cluster stays
	rm -rf bin .cache
