#!/usr/bin/env bash
# Fuzzes what reads bytes that a stranger sent. With nightly Rust by cargo-fuzz (libFuzzer and
# AddressSanitizer), which is installed into the cache; else on stable Rust, without coverage.
#
#   fuzz.sh [TARGET [SECONDS]]    a target or "all", for so many seconds each (60)
#   fuzz.sh --keep [TARGET]       the smallest inputs that reach as much go into fuzz/seeds
#
# Inputs that reach something new stay in the cache, and the next run goes on from there.
# POOLWRIGHT_STABLE=1 does without nightly Rust.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap stop_ticker EXIT
cd "$root"

targets=(startup messages backend scram settings session)
corpora=$POOLWRIGHT_CACHE/fuzz

has_nightly() {
  [[ -z ${POOLWRIGHT_STABLE:-} ]] && rustup run nightly rustc --version >/dev/null 2>&1
}

need_cargo_fuzz() {
  command -v cargo-fuzz >/dev/null ||
    step cargo-fuzz nice -n 5 cargo install --locked cargo-fuzz@0.13.1 --root "$POOLWRIGHT_CACHE/tools"
}

# A slow input, one that takes too much memory and a crash end the run; the input is in fuzz/artifacts.
by_libfuzzer() {
  local target=$1 seconds=$2
  mkdir -p "$corpora/$target"
  (cd fuzz && cargo +nightly fuzz run --target-dir "$POOLWRIGHT_CACHE/fuzz-target" "$target" \
    "$corpora/$target" "seeds/$target" -- -max_total_time="$seconds" -max_len=12000 -timeout=10 \
    -rss_limit_mb=1024 -print_final_stats=1 2>&1) |
    grep -E '^(error|stat::|SUMMARY|==[0-9]+==|panicked|thread |artifact_prefix|Test unit)|panicked at' |
    sed "s/^/$target: /"
}

on_stable() {
  local target=$1 seconds=$2
  mkdir -p "$corpora/$target"
  "${CARGO_TARGET_DIR:-target}/debug/poolwright-fuzz-bodies" "$target" "$seconds" \
    "$corpora/$target" "fuzz/seeds/$target"
}

# merge TARGET — what the cache has found, as few inputs as reach as much, beside the named ones.
merge() {
  local target=$1 kept=$corpora/$1.kept
  rm -rf "$kept" && mkdir -p "$kept"
  (cd fuzz && cargo +nightly fuzz run --target-dir "$POOLWRIGHT_CACHE/fuzz-target" "$target" \
    "$kept" "seeds/$target" "$corpora/$target" -- -merge=1 -max_len=512 2>&1) | grep 'MERGE-OUTER' | tail -n 1
  find "$kept" -type f -size -1k -print0 | sort -z | head -zn 60 | xargs -0r -I{} cp {} "fuzz/seeds/$target/"
  rm -rf "$kept"
}

run=by_libfuzzer
if ! has_nightly; then
  say "no nightly Rust: on stable, without coverage"
  step build-fuzz cargo build --locked -p poolwright-fuzz-bodies
  run=on_stable
else
  need_cargo_fuzz
fi
seconds=${2:-60}
if [[ ${1:-} == --keep ]]; then
  run=merge
  shift
fi
[[ ${1:-all} == all ]] || targets=("$1")
for target in "${targets[@]}"; do "$run" "$target" "$seconds"; done
