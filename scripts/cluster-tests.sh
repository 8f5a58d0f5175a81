#!/usr/bin/env bash
# The tests that need a Kubernetes: brings up one of their own name (or uses the
# one that POOLWRIGHT_CONTEXT names), loads the image, runs them inside it one at
# a time, and takes it down again, however they end.
#
#   cluster-tests.sh            the installs, then all tests
#   cluster-tests.sh NAME…      only the tests whose names contain one of these
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Ranges of its own, so that a cluster of `make cluster-up` or the demo may stay.
export POOLWRIGHT_CLUSTER=${POOLWRIGHT_CLUSTER:-test}
export POOLWRIGHT_POD_RANGE=${POOLWRIGHT_POD_RANGE:-10.84.0.0/16}
export POOLWRIGHT_SERVICE_RANGE=${POOLWRIGHT_SERVICE_RANGE:-10.85.0.0/16}
export POOLWRIGHT_LINK_RANGE=${POOLWRIGHT_LINK_RANGE:-10.86.0.0/24}
cd "$root"
trap '"$cluster/cluster.sh" down' EXIT
trap 'exit 130' INT TERM

# The test program is built out here: in there is no way to a registry.
tests=(cargo test --locked -p poolwright-tests --test cluster)
"${tests[@]}" --no-run
"$cluster/cluster.sh" up
"$cluster/cluster.sh" load-image "$root/target/image/poolwright.tar"
IMAGE=${IMAGE:-$(<"$root/target/image/name")}
export IMAGE

installs() {
  if [[ -n ${POOLWRIGHT_CONTEXT:-} ]]; then
    say "skipped on a cluster that is not ours: installs, since they add and remove CRDs"
  else
    "$root/scripts/install-test.sh" "$IMAGE"
  fi
}

status=0
(($#)) || installs || status=1
"$cluster/cluster.sh" exec -- "${tests[@]}" --offline -- --ignored --nocapture --test-threads 1 "$@" || status=1
exit "$status"
