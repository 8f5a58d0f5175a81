#!/usr/bin/env bash
# Writes pooler/usual.profdata anew: which ways through the code are usual, by which the
# release build lays it out (docs/decisions/0027). Builds the pooler with counters, has the
# bench's load go through it, and merges what was counted: a matter of how often, not of
# how fast, so that any machine will do. About 10 minutes.
set -euo pipefail
# shellcheck source=../scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
trap stop_ticker EXIT
cd "$root"

cells=simple-16,simple-64,extended-16,extended-64,prepared-16,prepared-64,parameters-64
cells+=,prepared-tls-64,rows,rows-tls,connect-trust,connect-scram,connect-tls
work=$root/target/profile
counts=$work/counts

# Of the compiler's own LLVM: others may not know its format.
profdata() {
  local sysroot major
  sysroot=$(rustc --print sysroot)
  major=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
  first_file "$sysroot"/lib/rustlib/*/bin/llvm-profdata "/usr/bin/llvm-profdata-$major" && return
  need_packages "$logs/profile-packages.log" "llvm-$major" >&2
  echo "/usr/bin/llvm-profdata-$major"
}

# The bench kills its subjects, and counts are written at an orderly end.
wrap() {
  cat >"$work/pooler" <<EOF
#!/usr/bin/env bash
export LLVM_PROFILE_FILE=$counts/%p.profraw
exec 9<"$counts"
flock --shared 9
setpriv --pdeathsig TERM "$work/release/poolwright-pooler" "\$@" &
wait \$!
EOF
  chmod +x "$work/pooler"
}

play() {
  POOLER=$work/pooler CELLS=$cells SUBJECTS=poolwright \
    benches/bench.sh --rounds 1 --seconds 3 --repeats 0 --results "$work/results"
  flock --timeout 120 "$counts" true || fail "a pooler did not end" "its counts would be missing"
}

tool=$(profdata)
rm -rf "$counts"
mkdir -p "$counts"
# Build scripts count too; nobody wants to know.
step build-counting env CARGO_TARGET_DIR="$work" RUSTFLAGS=-Cprofile-generate LLVM_PROFILE_FILE=/dev/null \
  cargo build --release --locked -p poolwright-pooler
wrap
step play play
"$tool" merge --sparse -o pooler/usual.profdata "$counts"/*.profraw
say "pooler/usual.profdata: $(du -k pooler/usual.profdata | cut -f1) KB; now: make bench-instructions RECORD=1"
