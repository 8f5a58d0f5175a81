#!/usr/bin/env bash
# pgbench as each workspace in each of its three protocols, all at once. Runs
# inside the cluster's network; prints the sum as one line of JSON.
#
#   traffic.sh ACCOUNTS HOST SECONDS CLIENTS_EACH FOLDER
set -uo pipefail
accounts=$1 host=$2 seconds=$3 each=$4 folder=$5
protocols=(simple extended prepared)
pgbench=$(printf '%s\n' /usr/lib/postgresql/*/bin/pgbench | sort -V | tail -n 1)

mkdir -p "$folder"
cat >"$folder/script.sql" <<'SQL'
\set channel random(1, 100)
BEGIN;
UPDATE channels SET posts = posts + 1 WHERE id = :channel;
SELECT posts FROM channels WHERE id = :channel;
END;
SQL

# A thread for each client: pgbench prepares statements without letting the
# other clients of its thread go on, so one that waits for a server connection
# would stop those that hold one inside a transaction.
pids=()
while read -r user password database; do
  for protocol in "${protocols[@]}"; do
    PGPASSWORD=$password timeout --kill-after 5 $((seconds + 60)) "$pgbench" --no-vacuum --file "$folder/script.sql" \
      --protocol "$protocol" --client "$each" --jobs "$each" --time "$seconds" --host "$host" --port 5432 --username "$user" \
      "$database" >"$folder/$user-$protocol.log" 2>&1 </dev/null &
    pids+=($!)
  done
done <"$accounts"

unclean=0
for pid in "${pids[@]}"; do wait "$pid" || unclean=$((unclean + 1)); done

# total TEXT — the numbers after TEXT in all reports, summed.
total() { cat "$folder"/*.log | awk -v text="$1" 'index($0, text) == 1 { sub(/^[^:]*: /, ""); n += $1 } END { print n + 0 }'; }
transactions=$(total "number of transactions actually processed")
failed=$(total "number of failed transactions")
aborted=$(cat "$folder"/*.log | grep -c -E 'aborted|^pgbench: error' || true)
echo "{\"clients\": $((${#pids[@]} * each)), \"processes\": ${#pids[@]}, \"unclean\": $unclean," \
  "\"transactions\": $transactions, \"failed\": $failed, \"errors\": $aborted}"
((unclean + failed + aborted == 0))
