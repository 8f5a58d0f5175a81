#!/usr/bin/env bash
# How many instructions one transaction costs the pooler that ships, counted by
# callgrind and compared with benches/instructions.tsv; fails when one has grown.
#
#   benches/instructions.sh     compare
#   RECORD=1                    write the counts down as the new figures
#   POOLWRIGHT_POOLER=/path     another build of the pooler
set -euo pipefail
# shellcheck source=../scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
cd "$root"

command -v valgrind >/dev/null || fail "valgrind was not found" "install it: make setup"
if [[ -z ${POOLWRIGHT_POOLER:-} ]]; then
  scripts/build.sh poolwright-pooler
  export POOLWRIGHT_POOLER=$root/dist/poolwright-pooler
fi
# What counts need not be fast: its release build took longer than all counting.
cargo build --locked --quiet -p poolwright-benches --bin poolwright-instructions
arguments=(--lists "$logs")
[[ -z ${RECORD:-} ]] || arguments+=(--record)
timeout 300 "${CARGO_TARGET_DIR:-target}/debug/poolwright-instructions" "${arguments[@]}"
