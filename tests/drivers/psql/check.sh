#!/usr/bin/env bash
# psql: simple and extended queries, \copy, \gdesc, \watch's kin, Ctrl-C; and in plain
# SQL every feature that docs/compatibility.md says the pooler has not got.
set -euo pipefail
# shellcheck source=../lib/tell.sh
source "$(dirname "${BASH_SOURCE[0]}")/../lib/tell.sh"
newest=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
PATH=${POOLWRIGHT_PG_BIN:-$newest}:$PATH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# One session each; its statements come on standard input.
ask() { psql --no-psqlrc --no-align --tuples-only --quiet --set VERBOSITY=verbose "$@" 2>&1; }
# Only the SQLSTATEs of what went wrong.
states() { sed -nE 's/^(psql:[^ ]+ )?ERROR:  ([0-9A-Z]{5}): .*/\2/p'; }
last_line() { tail -n 1; }

queries() {
  expect "a query" 42 "$(ask <<<'SELECT 42')"
  expect "a text with quotes and other letters" "it's ünïcode ✓" "$(ask --set v="it's ünïcode ✓" <<<"SELECT :'v'")"
  expect "types before the query runs (\\gdesc)" $'n|integer\nt|text' "$(ask <<<"SELECT 1 AS n, 'x'::text AS t \\gdesc")"
  expect "several statements in one message" $'1\n2\n3' "$(ask -c 'SELECT 1; SELECT 2; SELECT 3')"
  expect "rows in parts (FETCH_COUNT)" 5000 "$(ask --set FETCH_COUNT=100 <<<'SELECT generate_series(1, 5000)' | wc -l)"
  expect "a row of 20 MB" 20000000 "$(ask <<<"SELECT repeat('x', 20000000)" | tr -d '\n' | wc -c)"
}

transactions() {
  ask <<<'CREATE TABLE account (id int PRIMARY KEY, amount int); INSERT INTO account VALUES (1, 100)'
  expect "a rollback" 100 "$(ask <<<'BEGIN; UPDATE account SET amount = 0; ROLLBACK; SELECT amount FROM account')"
  expect "a savepoint" 101 "$(ask <<'SQL'
BEGIN;
UPDATE account SET amount = amount + 1;
SAVEPOINT s;
UPDATE account SET amount = 0;
ROLLBACK TO s;
COMMIT;
SELECT amount FROM account;
SQL
)"
  expect "an error inside a transaction" $'22012\n25P02' "$(ask <<<'BEGIN; SELECT 1/0; SELECT 2; ROLLBACK;' | states)"
  expect "the query after such an error" 101 "$(ask <<<'BEGIN; SELECT 1/0; ROLLBACK; SELECT amount FROM account' | last_line)"
  expect "an error in one message of several" $'1\n22012\n4' "$(ask -c 'SELECT 1; SELECT 1/0; SELECT 3' -c 'SELECT 4' | sed -E '/^LOCATION/d; s/^ERROR:  ([0-9A-Z]{5}).*/\1/')"
}

copies() {
  seq 1 20000 | sed 's/.*/&\ttext &/' >"$work/in"
  ask <<<'CREATE TABLE copied (n int, t text)'
  ask <<<"\\copy copied from '$work/in'"
  ask <<<"\\copy (SELECT * FROM copied ORDER BY n) to '$work/out'"
  expect "COPY in and out" "$(sha256sum <"$work/in")" "$(sha256sum <"$work/out")"
  echo 'no number' >"$work/bad"
  expect "an error within COPY" 22P02 "$(ask <<<"\\copy copied from '$work/bad'" | states)"
  expect "no row of a failed COPY" 20000 "$(ask <<<'SELECT count(*) FROM copied')"
}

# 8 sessions of 40 transactions: each must read its own mark, over 2 connections.
session_of() {
  local n
  for n in {1..40}; do
    echo "BEGIN; SELECT '$1-$n|' || pg_backend_pid(); SELECT pg_sleep(0.002) \\g /dev/null"
    echo "SELECT '$1-$n|' || pg_backend_pid(); COMMIT;"
  done
}
expected_of() {
  local n
  for n in {1..40}; do echo "$1-$n" && echo "$1-$n"; done
}
concurrency() {
  local client pids=()
  for client in {1..8}; do
    session_of "$client" | ask >"$work/rows-$client" &
    pids+=($!)
  done
  wait "${pids[@]}"
  for client in {1..8}; do
    [[ $(cut -d '|' -f 1 "$work/rows-$client") == "$(expected_of "$client")" ]] || failed "concurrency: client $client read other rows than its own, see $(head -n 3 "$work/rows-$client")"
    [[ $(uniq -c "$work/rows-$client" | awk '$1 != 2' | wc -l) -eq 0 ]] || failed "concurrency: a transaction of client $client changed its server"
  done
  ok "8 sessions read their own rows only"
  expect "they share 2 server connections" 2 "$(cut -d '|' -f 2 "$work"/rows-* | sort -u | wc -l)"
}

# Ctrl-C is a cancel request on a connection of its own.
cancels() {
  (exec psql --no-psqlrc --no-align --tuples-only --quiet --set VERBOSITY=verbose >"$work/cancelled" 2>&1 <<<'SELECT pg_sleep(60)') &
  local pid=$! waited=0
  until [[ $(ask <<<"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)%'") == 1 ]]; do
    ((waited++ < 100)) || failed "cancel: the query did not begin"
    sleep 0.1
  done
  kill -INT "$pid"
  wait "$pid" || true
  expect "a cancel" 57014 "$(states <"$work/cancelled")"
  expect "the next session after a cancel" 5 "$(ask <<<"SELECT 5")"
}

state() {
  expect "a parameter that PostgreSQL reports is kept" 'Asia/Tokyo' "$(ask <<<"SET TimeZone = 'Asia/Tokyo'; SHOW TimeZone")"
  expect "a startup parameter" 7s "$(PGOPTIONS='-c statement_timeout=7s' ask <<<'SHOW statement_timeout')"
  expect "SET LOCAL within its transaction" 3s "$(ask <<<"BEGIN; SET LOCAL lock_timeout = '3s'; SHOW lock_timeout; COMMIT")"
}

# pg_recvlogical of the same folder, as a client of a replication connection.
replication() {
  local slot=(pg_recvlogical --dbname "$PGDATABASE" --slot drivers)
  expect "a replication connection's command" 4 "$(ask 'replication=database' <<<'IDENTIFY_SYSTEM' | awk -F '|' '{print NF}')"
  "${slot[@]}" --create-slot --plugin test_decoding
  ask <<<'CREATE TABLE followed (n int); BEGIN; SET LOCAL synchronous_commit = on; INSERT INTO followed VALUES (1), (2); COMMIT'
  "${slot[@]}" --start --endpos "$(ask <<<'SELECT pg_current_wal_lsn()')" --file "$work/changes"
  "${slot[@]}" --drop-slot
  expect "changes by pg_recvlogical" 2 "$(grep -c 'table public.followed: INSERT' "$work/changes")"
}

features() {
  expect "SET of other parameters" 5s "$(ask <<<"SET statement_timeout = '5s'; SHOW statement_timeout")"
  expect "search_path" pg_catalog "$(ask <<<"SET search_path = pg_catalog; SHOW search_path")"
  expect "a temporary table" 0 "$(ask <<<'CREATE TEMPORARY TABLE t (n int); SELECT count(*) FROM t')"
  expect "a session advisory lock" 1 "$(ask <<<"SELECT pg_advisory_lock(11) \\g /dev/null
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()")"
  expect "LISTEN" 1 "$(ask <<<'LISTEN news; NOTIFY news; SELECT 1' | grep -c '^Asynchronous notification')"
  expect "PREPARE" 1 "$(ask <<<'PREPARE p AS SELECT 1; EXECUTE p')"
  expect "a cursor WITH HOLD" 1 "$(ask <<<'DECLARE c CURSOR WITH HOLD FOR SELECT 1; FETCH c')"
  ask <<<'CREATE SEQUENCE numbers'
  expect_not_yet "currval in a later transaction is refused" $'1\n55000' "$(ask <<<"SELECT nextval('numbers'); SELECT currval('numbers')" | sed -E '/^(LOCATION|HINT|DETAIL)/d; s/^ERROR:  ([0-9A-Z]{5}).*/\1/')"
}

version "$(psql --version | awk '{print $3}')"
queries
transactions
copies
concurrency
cancels
state
replication
features
echo 'done'
