# The verbs of this repository; `make` lists them. Recipes are one line: the
# work is in scripts/, and CI runs the same verbs (.ci/run is `make test`).

.DEFAULT_GOAL := help
SHELL := /bin/bash

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## install what is missing (apt, cargo-deny); prints its plan
	@scripts/setup.sh

build: ## release binaries into dist/
	@scripts/build.sh

image: ## the container image, built from dist/
	@scripts/build.sh && tests/cluster/image.sh

test: ## everything that CI runs, the longest tests shortened
	@scripts/test.sh

test-quick: ## the inner loop: under 2 minutes warm, no cluster
	@scripts/test.sh quick

lint: ## formatting, clippy, dependencies, shell scripts
	@scripts/test.sh lint

drift: ## generated files are as their source says
	@scripts/test.sh drift

generate: ## write the generated files anew
	@scripts/generate.sh

manifest: ## write deploy/base, the install without Helm, from the chart
	@scripts/manifest.sh

docs: ## the Rust documentation, without a warning
	@scripts/test.sh docs

previous: ## build the version that tests of upgrades start from (once; kept as the parts are)
	@scripts/previous.sh

cluster: ## all that needs a real cluster, at full length: installs, upgrades, every test
	@scripts/test.sh cluster

cluster-parts: ## build the parts of the local cluster (once; kept in ~/.cache/poolwright)
	@tests/cluster/parts.sh

cluster-up: ## start the local cluster
	@tests/cluster/cluster.sh up

cluster-down: ## end the local cluster and remove every trace
	@tests/cluster/cluster.sh down

demo: ## 20 workspaces, 300 clients, a roll and a scale, on a real cluster
	@scripts/demo.sh

demo-down: ## remove the demo
	@scripts/demo.sh down

postgres-versions: ## bring PostgreSQL 17 and 18 beside this machine's (once; nothing is replaced)
	@scripts/setup.sh && scripts/postgres-versions.sh

integration: ## the pooler between clients and a real PostgreSQL: TESTS="cancel:: tls::", POSTGRES=18
	@scripts/setup.sh && scripts/integration.sh $(TESTS)

differential: ## random clients through the pooler and straight on PostgreSQL, compared: SEEDS=3000, SEED=17, POSTGRES=18
	@scripts/setup.sh && scripts/differential.sh "$(SEEDS)" "$(SEED)"

simulate: ## sessions, pools and fake servers with faults, checked at each step: STEPS=10000000, SEED=1
	@scripts/simulate.sh $(or $(STEPS),10000000) $(or $(SEED),1)

fuzz: ## bytes that a stranger sent, for SECONDS=60 each: TARGET=startup, TARGET=status
	@scripts/fuzz.sh $(or $(TARGET),all) $(or $(SECONDS),60)

bites: ## each check of an invariant, against a pooler that breaks it: FAULTS="NoReset"
	@scripts/setup.sh && scripts/bites.sh $(FAULTS)

drivers: ## real clients through one port in transaction mode: DRIVERS="psql pgx", POSTGRES=18
	@scripts/setup.sh && tests/drivers/drivers.sh $(DRIVERS)

large: ## messages of 1 GiB both ways, about 4 minutes, 4 GB of memory
	@scripts/setup.sh && cargo build --locked -p poolwright-pooler && \
	  cargo test --locked -p poolwright-tests --test integration large:: -- --ignored --nocapture

bench: ## every cell beside PgBouncer, Odyssey and pgagroal: CELLS=simple-64, POOLER=/path
	@scripts/setup.sh && benches/bench.sh

bench-instructions: ## instructions of a transaction beside the recorded ones (RECORD=1 writes them)
	@scripts/setup.sh && benches/instructions.sh

profile: ## count anew which ways through the pooler are usual, for the release build
	@scripts/setup.sh && benches/profile.sh

bench-operator: ## the operator with 1,000 PoolerClusters, about 15 minutes: CLUSTERS=100, REST=600
	@scripts/build.sh && tests/cluster/image.sh && benches/operator.sh

bench-quick: ## the cells that a commit can move, under 10 minutes
	@scripts/setup.sh && benches/bench.sh --quick

.PHONY: help setup build image test test-quick lint drift generate manifest docs previous cluster cluster-parts cluster-up cluster-down demo demo-down postgres-versions integration differential simulate fuzz bites drivers large bench bench-quick bench-instructions profile bench-operator
