#!/usr/bin/env bash
# A throw-away PostgreSQL in a folder, for the demo and the cluster's tests. Run
# it inside the cluster's namespace (cluster.sh exec) and pods reach it as they
# would reach one outside the cluster. Logs SQLSTATEs, waits for no disk.
#
#   postgres.sh start DIR ADDRESS PORT MAX_CONNECTIONS RESERVED
#   postgres.sh stop DIR
#   postgres.sh psql DIR ARGUMENT…     as superuser, over the socket
#
# RESERVED of MAX_CONNECTIONS are for superusers. As root the server runs as
# the user postgres, and DIR must lie where that user may go. POOLWRIGHT_PG_BIN
# names the folder of other programs than this machine's newest.
set -euo pipefail
# shellcheck source=../tests/cluster/lib/say.sh
source "$(dirname "${BASH_SOURCE[0]}")/../tests/cluster/lib/say.sh"

programs() {
  local newest
  [[ -z ${POOLWRIGHT_PG_BIN:-} ]] || { echo "$POOLWRIGHT_PG_BIN" && return; }
  newest=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  [[ -x $newest/initdb ]] || newest=$(dirname "$(readlink -f "$(command -v initdb)")")
  [[ -x $newest/psql ]] || fail "PostgreSQL's server programs were not found" "install them: make setup"
  echo "$newest"
}

as_server() {
  if [[ $EUID -eq 0 ]]; then
    setpriv --reuid postgres --regid postgres --init-groups env HOME="$dir" "$@"
  else
    "$@"
  fi
}

write_settings() {
  cat >>"$dir/data/postgresql.conf" <<EOF
listen_addresses = '$1'
port = $2
max_connections = $3
superuser_reserved_connections = $4
unix_socket_directories = '$dir'
shared_buffers = 64MB
fsync = off
full_page_writes = off
synchronous_commit = off
max_wal_senders = 0
wal_level = minimal
autovacuum_naptime = 5s
password_encryption = scram-sha-256
log_line_prefix = '%m [%p] %u@%d %e '
log_connections = on
log_disconnections = on
EOF
  cat >"$dir/data/pg_hba.conf" <<'EOF'
local all all           trust
host  all all 0.0.0.0/0 scram-sha-256
host  all all ::0/0     scram-sha-256
EOF
}

make_data() {
  mkdir -p "$dir"
  [[ $EUID -ne 0 ]] || chown postgres: "$dir"
  chmod 0700 "$dir"
  as_server "$bin/initdb" --pgdata "$dir/data" --username postgres --auth trust --encoding UTF8 --locale C.UTF-8 \
    --no-sync >"$dir/initdb.log" 2>&1 || fail "initdb failed" "$(tail -n 5 "$dir/initdb.log")"
  write_settings "$@"
}

start() {
  [[ $# -eq 4 ]] || fail "start needs DIR ADDRESS PORT MAX_CONNECTIONS RESERVED"
  [[ -d $dir/data ]] || make_data "$@"
  as_server "$bin/pg_ctl" --pgdata "$dir/data" --log "$dir/log" --wait --timeout 60 --silent start >/dev/null ||
    fail "PostgreSQL did not start" "$(tail -n 5 "$dir/log")"
}

stop() { as_server "$bin/pg_ctl" --pgdata "$dir/data" --mode fast --wait --timeout 30 --silent stop; }

# The port is in the name of the socket.
as_superuser() {
  local socket=("$dir"/.s.PGSQL.*[0-9])
  exec "$bin/psql" --no-psqlrc --quiet --set ON_ERROR_STOP=1 --host "$dir" --username postgres \
    --port "${socket[0]##*.}" "$@"
}

main() {
  local verb=${1:-}
  dir=${2:-}
  [[ $dir == /* ]] || fail "DIR must be an absolute path" "usage: postgres.sh start|stop|psql DIR …"
  shift 2
  bin=$(programs)
  case $verb in
    start) cd / && start "$@" ;;
    stop) cd / && stop ;;
    psql) as_superuser "$@" ;;
    *) fail "unknown verb '$verb'" "usage: postgres.sh start|stop|psql DIR …" ;;
  esac
}

main "$@"
