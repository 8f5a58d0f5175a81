#!/usr/bin/env bash
# Writes the files that have their source elsewhere: the CRD from the types in
# crds/, the chart's copies of it and of the operator's rules.
#
#   generate.sh           write them
#   generate.sh --check   fail if one is stale, change nothing
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$root"

crd() { cargo run --quiet --locked -p poolwright-crds; }

check_crd() {
  diff -u crds/poolerclusters.yaml <(crd) || fail "crds/poolerclusters.yaml is stale" "run: make generate, and commit it"
}

case ${1:-write} in
  write)
    crd >crds/.poolerclusters.yaml && mv crds/.poolerclusters.yaml crds/poolerclusters.yaml
    scripts/sync-chart.sh
    ;;
  --check) check_crd && scripts/sync-chart.sh --check && say "the generated files are up to date" ;;
  *) fail "unknown argument $1" "usage: generate.sh [--check]" ;;
esac
