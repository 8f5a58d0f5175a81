#!/usr/bin/env bash
# Fuzzes each target for some seconds (default 60): fuzz/run.sh [SECONDS [TARGET...]]
# Needs nightly Rust, and cargo-fuzz: cargo install cargo-fuzz
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}
shift || true
if [ $# -eq 0 ]; then
    set -- startup messages scram
fi
for target in "$@"; do
    seeds=()
    [ -d "seeds/$target" ] && seeds=("seeds/$target")
    mkdir -p "corpus/$target"
    cargo +nightly fuzz run "$target" "corpus/$target" "${seeds[@]}" -- \
        -max_total_time="$seconds" -max_len=12000 -print_final_stats=1
done
