#!/usr/bin/env bash
# pgbench: the three protocols and pipelines; 8 clients over 2 server connections. The
# sums of its own tables tell whether each transaction was done once and whole, and a
# script of ours whether each client read its own rows.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")
# shellcheck source=../lib/tell.sh
source "$here/../lib/tell.sh"
newest=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
PATH=${POOLWRIGHT_PG_BIN:-$newest}:$PATH

one() { psql --no-psqlrc --no-align --tuples-only --command "$1"; }

# The tables, and what they must sum up to after each run.
fill() { pgbench --initialize --quiet --scale 2; }

# pgbench_run NAME EXPECTED ARGUMENT… — all transactions are done, none fails. A thread
# for each client, since pgbench waits for a Parse with the whole thread: another client
# of it that holds the last server connection would never go on.
pgbench_run() {
  local name=$1 expected=$2 out
  shift 2
  out=$(pgbench --no-vacuum --client 8 --jobs 8 "$@" 2>&1) || failed "$name: $(grep -E 'error|FATAL|aborted' <<<"$out" | head -n 1)"
  echo "$out"
  expect "$name" "$expected" "$(sed -nE 's/^number of transactions actually processed: ([0-9/]+).*/\1/p' <<<"$out")"
  expect "$name: failures" 0 "$(sed -nE 's/^number of failed transactions: ([0-9]+) .*/\1/p' <<<"$out")"
}

tpcb() {
  one 'TRUNCATE pgbench_history' >/dev/null
  pgbench_run "tpcb, $1" 400/400 --transactions 50 --protocol "$1"
  expect "tpcb, $1: each transaction once" 400 "$(one 'SELECT count(*) FROM pgbench_history')"
  expect "tpcb, $1: the sums are equal" t "$(one 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(bbalance) FROM pgbench_branches)
    AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(bbalance) FROM pgbench_branches)')"
}

# A row that belongs to another client stops the run: the script divides by zero.
marks() { pgbench_run "own rows only, $1" 800/800 --transactions 100 --protocol "$1" --file "$here/marks.sql"; }
pipelines() { pgbench_run "pipelines, $1" 400/400 --transactions 50 --protocol "$1" --file "$here/pipeline.sql"; }

version "$(pgbench --version | awk '{print $3}')"
fill
for protocol in simple extended prepared; do tpcb "$protocol" && marks "$protocol"; done
for protocol in extended prepared; do pipelines "$protocol"; done
echo 'done'
