#!/usr/bin/env bash
# Builds what is measured and measures it: every cell with all poolers that Debian
# has, or with `--quick` the cells that a commit can move.
#
#   benches/bench.sh [arguments of poolwright-bench]
#   CELLS=simple-64,rows          only these cells (`CELLS=list` names all)
#   SUBJECTS=poolwright,relay     only these subjects
#   POOLER=/path/to/binary        another build of our pooler
#   POOLWRIGHT_PGBOUNCER=/path    another PgBouncer; so for _ODYSSEY and _PGAGROAL
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# With 10,000 clients each side of a connection needs as many files.
files() {
  ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
}

arguments=("$@")
[[ -z ${CELLS:-} ]] || arguments+=(--cells "$CELLS")
[[ -z ${SUBJECTS:-} ]] || arguments+=(--subjects "$SUBJECTS")
if [[ -n ${POOLER:-} ]]; then
  export POOLWRIGHT_POOLER=$POOLER
elif [[ -z ${POOLWRIGHT_POOLER:-} ]]; then
  scripts/build.sh poolwright-pooler
  export POOLWRIGHT_POOLER=$PWD/dist/poolwright-pooler
fi

benches/peers.sh
cargo build --locked --release --quiet -p poolwright-benches
files
exec "${CARGO_TARGET_DIR:-target}/release/poolwright-bench" "${arguments[@]}"
