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

# What the tests installed goes with the cluster, or by itself from one that stays.
# shellcheck disable=SC2317 # the trap below calls it
finish() {
  if [[ -n ${POOLWRIGHT_CONTEXT:-} ]]; then
    "$cluster/cluster.sh" exec -- helm uninstall poolwright-tests --namespace poolwright-tests --ignore-not-found || true
    "$cluster/cluster.sh" exec -- kubectl delete namespace poolwright-tests --ignore-not-found --timeout 60s || true
  fi
  "$cluster/cluster.sh" down
}
trap finish EXIT
trap 'exit 130' INT TERM

# The test program is built out here: in there is no way to a registry, and whoever else builds meanwhile
# would keep it waiting.
built=$(cargo test --locked -p poolwright-tests --test cluster --no-run 2>&1) || { echo "$built"; exit 1; }
program=$(realpath "$(sed -n 's/.*Executable tests\/cluster.*(\(.*\))$/\1/p' <<<"$built")")
[[ -x $program ]] || fail "the test program was not found" "cargo said: $built"
"$cluster/cluster.sh" up --nodes 2
"$cluster/cluster.sh" load-image "$root/target/image/poolwright.tar"
previous=$("$root/scripts/previous.sh" --path)
if [[ -d $previous ]]; then
  "$cluster/cluster.sh" load-image "$previous/poolwright.tar"
  export POOLWRIGHT_PREVIOUS=$previous
fi
IMAGE=${IMAGE:-$(<"$root/target/image/name")}
export IMAGE

installs() { "$root/scripts/install-test.sh" "$IMAGE"; }

# Beside a cluster that is not ours stands no PostgreSQL of ours, and its audit
# log, its nodes and its operator pods are not ours to read or to end.
run_tests() {
  "$cluster/cluster.sh" exec -- "$program" --ignored --nocapture --test-threads 1 "${narrow[@]}" "$@"
}

# In the background, so that a signal ends them at once: `down` finds the rest.
status=0
narrow=()
if [[ -n ${POOLWRIGHT_CONTEXT:-} ]]; then
  say "skipped on a cluster that is not ours: installs, since they add and remove CRDs"
  for topic in clients confined deletion helm moves outages rest tenants trouble upgrades; do
    say "skipped on a cluster that is not ours: $topic, since it needs our node, processes or audit log"
    narrow+=(--skip "$topic::")
  done
elif (($# == 0)); then
  installs || status=1
fi
run_tests "$@" &
wait $! || status=1
exit "$status"
