#!/usr/bin/env bash
# The shapes that the pooler's core may have, measured beside a bare relay: the
# tables of docs/decisions/0008. Some 15 minutes; needs a machine for itself.
#
#   benches/shapes.sh [arguments of poolwright-shapes measure]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --locked --release --quiet -p poolwright-benches \
  --bin poolwright-shapes --bin poolwright-relay --bin poolwright-bench-load
"${CARGO_TARGET_DIR:-target}/release/poolwright-shapes" measure "$@"
