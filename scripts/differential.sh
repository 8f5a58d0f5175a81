#!/usr/bin/env bash
# Plays random sequences of several clients through the pooler and straight on PostgreSQL, and
# compares what each sees.
#
#   differential.sh [SEEDS [SEED]]    so many seeds (3000), from this one (0); one, if only SEED is named
#
# POOLWRIGHT_POOLER names the pooler; without it one is built. POSTGRES=18 takes that version.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap stop_ticker EXIT
cd "$root"

seed=${2:-0}
seeds=${1:-$([[ -n ${2:-} ]] && echo 1 || echo 3000)}
use_postgres
target=${CARGO_TARGET_DIR:-target}
step build-differential cargo build --locked -p poolwright-tests --bin poolwright-differential
if [[ -z ${POOLWRIGHT_POOLER:-} ]]; then
  step build-pooler cargo build --locked -p poolwright-pooler
fi
"$target/debug/poolwright-differential" --seeds "$seeds" --seed "$seed"
# The trials are no seeds: a seed alone is played alone.
[[ -n ${2:-} ]] || "$target/debug/poolwright-differential" --trials
