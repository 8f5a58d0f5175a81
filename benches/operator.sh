#!/usr/bin/env bash
# What the operator costs with many PoolerClusters, on a real Kubernetes without
# its StatefulSet controller, so that no pod is made and all else is real.
#
#   benches/operator.sh [arguments of poolwright-operator-bench]
#   CLUSTERS=1000  REST=120      so many PoolerClusters; seconds at rest
set -euo pipefail
# shellcheck source=../scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

export POOLWRIGHT_CLUSTER=bench
export POOLWRIGHT_POD_RANGE=${POOLWRIGHT_POD_RANGE:-10.80.0.0/16}
export POOLWRIGHT_SERVICE_RANGE=${POOLWRIGHT_SERVICE_RANGE:-10.81.0.0/16}
export POOLWRIGHT_LINK_RANGE=${POOLWRIGHT_LINK_RANGE:-10.82.0.0/24}
unset POOLWRIGHT_CONTEXT POOLWRIGHT_KIND POOLWRIGHT_STATE
cd "$root"

arguments=(--clusters "${CLUSTERS:-1000}" --rest "${REST:-120}" "$@")
[[ -f target/image/poolwright.tar ]] || fail "no image is built" "run: make image"
cargo build --locked --quiet -p poolwright-benches --bin poolwright-operator-bench
trap '"$cluster/cluster.sh" down' EXIT
trap 'exit 130' INT TERM
"$cluster/cluster.sh" up --without statefulset-controller --audit-reads poolwright-tests
"$cluster/cluster.sh" load-image target/image/poolwright.tar
"$cluster/cluster.sh" exec -- timeout 1400 \
  "${CARGO_TARGET_DIR:-target}/debug/poolwright-operator-bench" "${arguments[@]}" &
wait $!
