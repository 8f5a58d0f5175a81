#!/usr/bin/env bash
# Real clients, with the defaults of each, through one transaction-mode port of
# our pooler in front of a real PostgreSQL: 2 server connections for each. One
# line for each client, its noise in target/logs/drivers; README.md has the rules.
#
#   drivers.sh              all
#   drivers.sh psql pgx …   these
#   POOLWRIGHT_POOLER=/path another build of our pooler than the debug build
#   POSTGRES=18             another version of PostgreSQL than this machine's
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=../../scripts/lib.sh
source "$here/../../scripts/lib.sh"
# shellcheck source=lib/stage.sh
source "$here/lib/stage.sh"
# shellcheck source=lib/languages.sh
source "$here/lib/languages.sh"
trap 'stop_ticker; stage_down' EXIT
trap 'echo; say "interrupted"; exit 130' INT TERM

all=(psql pgbench psycopg sqlalchemy asyncpg django pgx pq golang-migrate node-postgres postgres-js prisma
  pgjdbc pdo activerecord tokio-postgres sqlx)
longest=${POOLWRIGHT_DRIVER_SECONDS:-300}
noise=$logs/drivers
mkdir -p "$noise"

# "node-postgres" is a name of a folder; databases are named without quotes.
database_of() { echo "${1//-/_}"; }

count() { grep -c "^$2 " "$noise/$1.log" || true; }
version_of() { sed -n 's/^version //p' "$noise/$1.log" | head -n 1; }

# The first thing that is wrong with a run, or nothing. What the program says
# counts, how it ended, and what it left behind.
first_failure() {
  local name=$1 status=$2 log=$noise/$1.log database
  database=$(database_of "$name")
  if grep -q '^FAILED ' "$log"; then
    sed -n 's/^FAILED //p' "$log" | head -n 1
  elif ((status == 124 || status == 137)); then
    echo "it did not end within $longest s"
  elif ((status != 0)); then
    echo "it ended with status $status: $(tail -n 1 "$log")"
  elif [[ $(tail -n 1 "$log") != 'done' ]]; then
    echo "it ended before its last check"
  elif (($(count "$name" ok) == 0)); then
    echo "it checked nothing"
  else
    trouble_of_stage "$database" "$(sed -n 's/^warns //p' "$log" | head -n 1)"
  fi
}

run() {
  local name=$1 start=$SECONDS status=0 failure line
  note_log
  # shellcheck disable=SC2046 # the variables of the client, one a word
  env $(client_environment "$(database_of "$name")") timeout --kill-after 10 "$longest" \
    "${command[@]}" >"$noise/$name.log" 2>&1 </dev/null || status=$?
  failure=$(first_failure "$name" "$status")
  line="$name $(version_of "$name")"
  if [[ -z $failure ]]; then
    passed=$((passed + 1))
    say "$(printf 'ok      %-34s %3d checks passed, %2d not yet, %3d s' "$line" "$(count "$name" ok)" "$(count "$name" 'not yet')" $((SECONDS - start)))"
    sed -n 's/^not yet /             not yet: /p' "$noise/$name.log"
  else
    failed=$((failed + 1))
    say "$(printf 'FAILED  %-34s %s' "$line" "$failure")"
    echo "             log: $noise/$name.log"
  fi
}

main() {
  local name passed=0 failed=0 command chosen=("$@")
  [[ $# -gt 0 ]] || chosen=("${all[@]}")
  for name in "${chosen[@]}"; do
    [[ " ${all[*]} " == *" $name "* ]] || fail "unknown driver $name" "known are: ${all[*]}"
  done
  use_postgres
  bring_languages "${chosen[@]}"
  pooler_binary
  stage_up "${chosen[@]//-/_}"
  for name in "${chosen[@]}"; do
    command_of "$name"
    run "$name"
  done
  say "logs: $noise"
  echo "$passed passed, $failed failed"
  ((failed == 0))
}

main "$@"
