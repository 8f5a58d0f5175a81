#!/usr/bin/env bash
# Writes the files that have their source elsewhere: the CRD and its reference page from the
# types in crds/, the chart's copies of it and of the operator's rules, the table of settings
# in docs/ and the operator's examples from their tests.
#
#   generate.sh           write them
#   generate.sh --check   fail if one is stale, change nothing
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

# These tests compare, or with UPDATE=1 write, what stands beside them. They are
# counted where all tests run, so here only a failure speaks.
by_tests() {
  compare -p poolwright-settings reference && compare -p poolwright-operator build
}

compare() {
  local output
  output=$(cargo test --quiet --locked "$@" 2>&1) || { echo "$output" && return 1; }
}

crd() { cargo run --quiet --locked -p poolwright-crds -- "$@"; }

check_crd() {
  diff -u crds/poolerclusters.yaml <(crd) || fail "crds/poolerclusters.yaml is stale" "run: make generate, and commit it"
  diff -u docs/poolercluster.md <(crd reference) || fail "docs/poolercluster.md is stale" "run: make generate, and commit it"
}

case ${1:-write} in
  write)
    crd >crds/.poolerclusters.yaml && mv crds/.poolerclusters.yaml crds/poolerclusters.yaml
    crd reference >docs/.poolercluster.md && mv docs/.poolercluster.md docs/poolercluster.md
    scripts/sync-chart.sh
    UPDATE=1 by_tests
    ;;
  --check) check_crd && scripts/sync-chart.sh --check && by_tests && say "the generated files are up to date" ;;
  *) fail "unknown argument $1" "usage: generate.sh [--check]" ;;
esac
