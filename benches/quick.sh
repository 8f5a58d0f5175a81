#!/usr/bin/env bash
# The cells that a commit can move, in under ten minutes: what one transaction
# costs the pooler beside a bare relay and PgBouncer, all in the same minutes.
#
#   benches/quick.sh [arguments of poolwright-bench]
#   POOLWRIGHT_POOLER=/path     another build of the pooler
#   POOLWRIGHT_PGBOUNCER=/path  another PgBouncer
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if ! command -v "${POOLWRIGHT_PGBOUNCER:-pgbouncer}" >/dev/null; then
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "installing pgbouncer (kept afterwards)"
    # Without a policy against it the package would start a service of its own.
    policy=/usr/sbin/policy-rc.d
    [[ -e $policy ]] || { printf '#!/bin/sh\nexit 101\n' >"$policy"; chmod +x "$policy"; trap 'rm -f "$policy"' EXIT; }
    apt-get install -y -qq pgbouncer >/dev/null
  else
    echo "pgbouncer is left out: install it with 'apt-get install pgbouncer'"
  fi
fi

cargo build --locked --release --quiet -p poolwright-benches -p poolwright-pooler
timeout 900 "${CARGO_TARGET_DIR:-target}/release/poolwright-bench" "$@"
