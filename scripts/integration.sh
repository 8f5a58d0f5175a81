#!/usr/bin/env bash
# The integration tests: the pooler between clients and a real PostgreSQL, this machine's or another.
#
#   integration.sh [NAME…]   those whose names contain one of these; all
#   POSTGRES=18              against that version (scripts/postgres-versions.sh brings it)
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap stop_ticker EXIT
cd "$root"

use_postgres
step build-pooler cargo build --locked -p poolwright-pooler
step build-integration cargo test --locked -p poolwright-tests --test integration --no-run
cargo test --locked -p poolwright-tests --test integration --no-fail-fast -- --test-threads 4 "$@"
