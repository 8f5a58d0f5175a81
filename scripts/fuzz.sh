#!/usr/bin/env bash
# Fuzzes what reads bytes that a stranger sent. With nightly Rust by cargo-fuzz (libFuzzer and
# AddressSanitizer), which is installed into the cache; else on stable Rust, without coverage.
#
#   fuzz.sh [TARGET [SECONDS]]    a target or "all", for so many seconds each (60), in turns
#   fuzz.sh status                the CPU seconds that each target has had so far
#   fuzz.sh --record              moves that from the cache to fuzz/spent
#   fuzz.sh --keep [TARGET]       few small inputs that reach much go into fuzz/seeds
#
# Inputs that reach something new stay in the cache, and the next run goes on from there; what was
# spent adds up there too. POOLWRIGHT_STABLE=1 does without nightly Rust.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=fuzz-spent.sh
source "$(dirname "${BASH_SOURCE[0]}")/fuzz-spent.sh"
cd "$root"

targets=(startup messages backend scram settings session)
corpora=$POOLWRIGHT_CACHE/fuzz
built=$POOLWRIGHT_CACHE/fuzz-target
# A run that is killed loses what it has spent in its turn.
turn=120
# Bytes of all inputs in fuzz/seeds/TARGET that --keep found, and of each.
kept_total=24000
kept_each=400

has_nightly() {
  [[ -z ${POOLWRIGHT_STABLE:-} ]] && rustup run nightly rustc --version >/dev/null 2>&1
}

build() {
  note_code
  if has_nightly; then
    command -v cargo-fuzz >/dev/null ||
      step cargo-fuzz cargo install --locked cargo-fuzz@0.13.1 --root "$POOLWRIGHT_CACHE/tools"
    step build-fuzz build_for_libfuzzer
    how=libfuzzer
  else
    say "no nightly Rust: on stable, without coverage"
    step build-fuzz cargo build --locked -p poolwright-fuzz-bodies
    how=stable
  fi
}

build_for_libfuzzer() { (cd fuzz && cargo +nightly fuzz build --target-dir "$built"); }

# The program of a target, as cargo-fuzz would start it.
libfuzzer() {
  local target=$1
  shift
  ASAN_OPTIONS=detect_odr_violation=0 exec "$built/$(uname -m)-unknown-linux-gnu/release/$target" \
    -artifact_prefix="$corpora/found/$target-" -max_len=12000 "$@"
}

# A slow input, one that takes too much memory and a crash end the run; the input is kept. The clock
# goes on where others have the processor: what hangs hangs for a minute, too.
by_libfuzzer() {
  libfuzzer "$1" "$corpora/$1" "fuzz/seeds/$1" -max_total_time="$2" -timeout=60 -rss_limit_mb=1024 \
    -print_final_stats=1
}

by_stable() {
  exec "${CARGO_TARGET_DIR:-target}/debug/poolwright-fuzz-bodies" "$1" "$2" "$corpora/$1" "fuzz/seeds/$1"
}

# one_turn TARGET SECONDS — what it costs is noted, also when this script is ended.
one_turn() {
  local log=$logs/fuzz-$1.log result=0
  mkdir -p "$corpora/$1" "$corpora/found"
  begin_turn "$1" "$how"
  "by_$how" "$@" >"$log" 2>&1 </dev/null &
  running=$!
  wait "$running" || result=$?
  running=
  end_turn "$result"
  ((result != 0)) || return 0
  failed+=("$1")
  say "$1 has found something; the end of $log says where the input is:"
  tail -n 40 "$log" | sed 's/^/    /'
}

# A signal ends the target's program first, so that nothing runs on when this script has ended.
interrupted() {
  if [[ -n $running ]]; then
    kill "$running" 2>/dev/null || true
    wait "$running" || true
    end_turn 0
  fi
  say "interrupted"
  print_spent
  exit 130
}

# Turn by turn, so that all get their share however early it ends.
in_turns() {
  local left=$1 length target
  while ((left > 0)); do
    length=$((left < turn ? left : turn))
    for target in "${targets[@]}"; do
      [[ " ${failed[*]} " == *" $target "* ]] || one_turn "$target" "$length"
    done
    left=$((left - length))
  done
}

# keep TARGET — the longest of the inputs that cover all, as long ones reach most: 60 at most.
keep() {
  local target=$1 draft=$corpora/$1.kept size total=0 file
  rm -rf "$draft" && mkdir -p "$draft"
  find "fuzz/seeds/$target" -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
  (libfuzzer "$target" "$draft" "fuzz/seeds/$target" "$corpora/$target" -set_cover_merge=1 -max_len=$kept_each) \
    >"$logs/fuzz-keep-$target.log" 2>&1 || fail "inputs of $target could not be merged" "log: $logs/fuzz-keep-$target.log"
  while read -r size file; do
    ((size <= kept_each && total + size <= kept_total)) || continue
    total=$((total + size))
    cp "$draft/$file" "fuzz/seeds/$target/"
  done < <(cd "$draft" && find . -type f -printf "%s %f\n" | sort -k 1,1nr -k 2 | head -n 60)
  say "$target: $(find "fuzz/seeds/$target" -type f | wc -l) inputs, $total bytes of them found by fuzzing"
  rm -rf "$draft"
}

main() {
  local verb=fuzz target
  if [[ ${1:-} == --keep ]]; then
    verb=keep
    shift
  fi
  case ${1:-all} in
    all) ;;
    status) print_spent && return ;;
    --record) record_spent && print_spent && return ;;
    *)
      [[ " ${targets[*]} " == *" $1 "* ]] || fail "unknown target $1" "known are: ${targets[*]}"
      targets=("$1")
      ;;
  esac
  trap stop_ticker EXIT
  build
  if [[ $verb == keep ]]; then
    [[ $how == libfuzzer ]] || fail "only libFuzzer knows what an input reaches" "install nightly Rust"
    for target in "${targets[@]}"; do keep "$target"; done
    return
  fi
  running=
  failed=()
  trap interrupted INT TERM
  in_turns "${2:-60}"
  print_spent
  ((${#failed[@]} == 0)) || fail "found something: ${failed[*]}"
}

main "$@"
