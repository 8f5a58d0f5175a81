#!/usr/bin/env bash
# Shows that the checks of the invariants bite: builds a pooler that commits a fault when it is asked
# to, and plays for each fault the check that must find it. A fault that nothing finds fails the run.
#
#   bites.sh             all faults
#   bites.sh FAULT…      these
#   bites.sh --quick     those that are found within seconds
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap stop_ticker EXIT
cd "$root"
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
pooler=$target/debug/poolwright-pooler-mutable
differential=$target/debug/poolwright-differential

# The usual pooler is put back where the other tests look for it.
build() {
  cargo build --locked -p poolwright-tests --bin poolwright-differential
  cargo build --locked -p poolwright-pooler --features mutations
  cp "$target/debug/poolwright-pooler" "$pooler"
  cargo build --locked -p poolwright-pooler
}

chosen() {
  if [[ ${1:-} == --quick ]]; then
    grep ' quick '
  elif (($#)); then
    grep -wE "$(IFS='|' && echo "$*")"
  else
    cat
  fi
}

# The same pooler with no fault chosen: what is found below is the fault's doing.
control() {
  POOLWRIGHT_POOLER=$pooler "$differential" --seed 1040 --seeds 300 --patience 4
  POOLWRIGHT_POOLER=$pooler "$differential" --trials --patience 4
}

# told PATTERN LOG: what a check said when it found something; nothing where it failed in another way.
told() {
  grep -aE -A 3 "$1" "$2" | tr -s '\n' ' ' | tr -cd '[:print:]' | cut -c1-110
}

step build-mutable build
step no-fault control
found=0 missed=0
while read -r invariant fault _ check; do
  log=$logs/bite-$fault-${check##* }.log pattern='^seed [0-9]+:'
  [[ $check != --trial* ]] || pattern="^Error: ${check#--trial }"
  start=$SECONDS
  # shellcheck disable=SC2086 # the check is a list of arguments
  if POOLWRIGHT_MUTATION=$fault POOLWRIGHT_POOLER=$pooler RUST_BACKTRACE=0 \
    timeout 300 "$differential" $check --patience 4 </dev/null >"$log" 2>&1; then
    by=
  else
    by=$(told "$pattern" "$log" || true)
  fi
  if [[ -n $by ]]; then found=$((found + 1)); else missed=$((missed + 1)); fi
  printf '%-4s %-22s %3d s  found by %s\n' "$invariant" "$fault" "$((SECONDS - start))" "${by:-NOTHING: see $log}"
done < <("$differential" --faults | chosen "$@")
echo "$found passed, $missed failed"
((missed == 0 && found > 0))
