# shellcheck shell=bash
# What the clients meet: a PostgreSQL of our own, and in front of it our pooler
# in transaction mode with TLS, SCRAM, and 2 server connections for each database.
# All of it is on the loopback and goes when the script ends.
# shellcheck disable=SC2154 # root, logs and in_vain come from scripts/lib.sh

stage=
pooler_pid=
seen=0
client_password='secret of app'

stage_up() {
  stage=$(mktemp -d /tmp/poolwright-drivers.XXXXXX)
  chmod 0711 "$stage"
  start_postgres "$@"
  make_certificate
  write_pooler_settings "$@" >"$stage/settings.yaml"
  start_pooler
}

stage_down() {
  [[ -n $stage ]] || return 0
  [[ -z $pooler_pid ]] || kill -KILL "$pooler_pid" 2>/dev/null || true
  [[ ! -d $stage/pg ]] || "$root/scripts/postgres.sh" stop "$stage/pg" >/dev/null 2>&1 || true
  cp "$stage/pooler.log" "$logs/drivers/pooler.log" 2>/dev/null || true
  cp "$stage/pg/log" "$logs/drivers/postgres.log" 2>/dev/null || true
  rm -rf "$stage"
}

pooler_binary() {
  pooler=${POOLWRIGHT_POOLER:-}
  [[ -z $pooler ]] || return 0
  step build-pooler cargo build --manifest-path "$root/Cargo.toml" --locked -p poolwright-pooler
  pooler=${CARGO_TARGET_DIR:-$root/target}/debug/poolwright-pooler
}

# Nobody listens on it; below the range that outgoing connections use.
free_port() {
  local port
  while true; do
    port=$((18000 + RANDOM % 14000))
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
  done
}

as_superuser() { "$root/scripts/postgres.sh" psql "$stage/pg" --no-align --tuples-only "$@"; }

start_postgres() {
  local database
  postgres_port=$(free_port)
  "$root/scripts/postgres.sh" start "$stage/pg" 127.0.0.1 "$postgres_port" 100 5
  as_superuser --command 'ALTER SYSTEM SET wal_level = logical' --command 'ALTER SYSTEM SET max_wal_senders = 5'
  "$root/scripts/postgres.sh" stop "$stage/pg"
  "$root/scripts/postgres.sh" start "$stage/pg" 127.0.0.1 "$postgres_port" 100 5
  as_superuser --command "CREATE ROLE app LOGIN REPLICATION PASSWORD '$client_password'"
  for database in "$@"; do as_superuser --command "CREATE DATABASE $database OWNER app"; done
}

make_certificate() {
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$stage/tls.key" -out "$stage/tls.crt" 2>"$stage/openssl.log"
}

write_pooler_settings() {
  pooler_port=$(free_port)
  admin_port=$(free_port)
  cat <<YAML
listen:
  address: 127.0.0.1
  port: $pooler_port
  tls: {mode: allow, certFile: tls.crt, keyFile: tls.key}
admin: {address: 127.0.0.1, port: $admin_port}
servers:
- {name: main, host: 127.0.0.1, port: $postgres_port, maxConnections: 60}
pool: {mode: transaction, size: 2, waitTimeout: 30s}
users:
- {name: app, password: $client_password}
databases:
YAML
  printf -- '- name: %s\n' "$@"
}

start_pooler() {
  # Not a job of this shell, which would tell of its end.
  pooler_pid=$("$pooler" "$stage/settings.yaml" >"$stage/pooler.log" 2>&1 & echo $!)
  wait_until 20 "the pooler's start" "$stage/pooler.log" pooler_is_ready
}

# From here on the pooler's log is the next client's.
note_log() { seen=$(wc -l <"$stage/pooler.log"); }

pooler_is_ready() {
  kill -0 "$pooler_pid" 2>/dev/null || return "$in_vain"
  curl --silent --fail --max-time 5 "http://127.0.0.1:$admin_port/readyz"
}

# client_environment DATABASE — libpq's variables, which most clients read. For
# those that cannot be told everything so: URL, without a query.
client_environment() {
  local url="postgres://app:${client_password// /%20}@127.0.0.1:$pooler_port/$1"
  echo "PGHOST=127.0.0.1 PGPORT=$pooler_port PGUSER=app PGDATABASE=$1 PGPASSFILE=$(passfile) URL=$url"
}

passfile() {
  [[ -f $stage/pgpass ]] || (umask 077 && echo "*:*:*:app:$client_password" >"$stage/pgpass")
  echo "$stage/pgpass"
}

# trouble_of_stage DATABASE [WARNING] — what a client that has gone must not leave: a dead
# pooler, another warning in its log than the one announced, more server connections than
# its pool has, or one that is not idle. One line or nothing.
trouble_of_stage() {
  local warnings held open
  kill -0 "$pooler_pid" 2>/dev/null || { echo "the pooler has ended" && return; }
  warnings=$(tail -n "+$((seen + 1))" "$stage/pooler.log" | grep -E ' (WARN|ERROR) ' | grep -vE "${2:-^$}" | head -n 1) || true
  [[ -z $warnings ]] || { echo "the pooler warns: $warnings" && return; }
  # A connection that was pinned is being reset, and autovacuum works here for a moment.
  for _ in {1..50}; do
    open=$(backends "$1" "AND state <> 'idle'")
    ((open == 0)) && break
    sleep 0.1
  done
  ((open == 0)) || { echo "$open server connections are not idle after the client has gone" && return; }
  held=$(backends "$1")
  ((held <= 2)) || echo "$held server connections are held, expected at most 2"
}

# backends DATABASE [CONDITION] — how many there are, but for those of the server's own.
backends() {
  as_superuser --command "SELECT count(*) FROM pg_stat_activity WHERE datname = '$1' AND backend_type <> 'autovacuum worker' ${2:-}"
}
