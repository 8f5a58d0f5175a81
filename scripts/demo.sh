#!/usr/bin/env bash
# The demonstration: a real PostgreSQL with twenty workspaces, a real Kubernetes,
# Poolwright from its chart, 300 clients in every protocol, then a rolling restart
# and a scale-up under load. Stays up to be looked at; Ctrl-C removes all of it.
#
#   demo.sh         run it
#   demo.sh down    remove it
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=lib.sh
source "$here/lib.sh"
# shellcheck source=demo/workspaces.sh
source "$here/demo/workspaces.sh"
# shellcheck source=demo/report.sh
source "$here/demo/report.sh"

# A cluster of its own name, with address ranges that no other of ours uses.
unset POOLWRIGHT_CONTEXT POOLWRIGHT_KIND POOLWRIGHT_STATE KUBECONFIG
export POOLWRIGHT_CLUSTER=demo
export POOLWRIGHT_POD_RANGE=${POOLWRIGHT_DEMO_POD_RANGE:-10.92.0.0/16}
export POOLWRIGHT_SERVICE_RANGE=${POOLWRIGHT_DEMO_SERVICE_RANGE:-10.93.0.0/16}
export POOLWRIGHT_LINK_RANGE=${POOLWRIGHT_DEMO_LINK_RANGE:-10.94.0.0/24}
state=/var/lib/poolwright/demo
node=${POOLWRIGHT_POD_RANGE%.0/16}.1
namespace=demo
reserved=5
budget=50
seconds=${POOLWRIGHT_DEMO_SECONDS:-20}
load_seconds=${POOLWRIGHT_DEMO_LOAD_SECONDS:-60}
programs=${CARGO_TARGET_DIR:-$root/target}/debug

in_cluster() { "$cluster/cluster.sh" exec -- "$@"; }
kubectl() { in_cluster kubectl --request-timeout 20s "$@"; }
ours() { kubectl --namespace "$namespace" "$@"; }
sql() { in_cluster "$here/postgres.sh" psql "$state/postgres" "$@"; }

plan() {
  cat <<PLAN
make demo, the plan:
  1. install what is missing (the list follows); nothing installed is removed
  2. build the two programs, the image, and, once, the parts of a Kubernetes
     (first time 20 to 30 minutes on 2 cores; later about 2 minutes)
  3. start Kubernetes and PostgreSQL in a network namespace of their own
     (state in $state; nothing of it in this machine's network)
  4. $workspaces workspaces in ${#databases[@]} databases; Poolwright by Helm; a PoolerCluster of 2 pods
  5. 300 pgbench clients through the Service for $seconds s: simple, extended, prepared
  6. a rolling restart and a scale from 2 to 3 pods while a client that reconnects
     goes on working
It stays up afterwards; \`make demo-down\` removes it. Ctrl-C removes it at any time.

PLAN
}

need_root() {
  [[ $EUID -eq 0 ]] || fail "make demo needs root for its network namespaces" "run: sudo env PATH=\"\$PATH\" make demo"
}

build() {
  "$here/setup.sh"
  "$here/build.sh"
  cd "$root"
  step build-load cargo build --locked -p poolwright-tests --bins
  step cluster-parts "$cluster/parts.sh"
  step image "$cluster/image.sh"
}

start_postgres() {
  in_cluster "$here/postgres.sh" start "$state/postgres" "$node" 5432 $((budget + reserved)) "$reserved" || return
  write_accounts "$accounts" || return
  sampler_password=$(openssl rand -hex 12)
  { roles_sql "$accounts" && echo "CREATE ROLE sampler SUPERUSER LOGIN PASSWORD '$sampler_password';"; } |
    stdin_sql postgres || return
  local database
  for database in "${databases[@]}"; do schemas_sql "$accounts" "$database" | stdin_sql "$database" || return; done
}

stdin_sql() { sql --dbname "$1" --file -; }

install_operator() {
  in_cluster helm upgrade --install poolwright "$root/charts/poolwright" --namespace poolwright --create-namespace \
    --set "image.repository=${image%:*},image.tag=${image##*:},image.pullPolicy=Never" --wait --timeout 120s
}

# The example of the documentation, pointed at this PostgreSQL.
pooler_cluster() {
  sed -e "s/postgres\.example:5432/$node:5432/" "$root/examples/workspaces.yaml"
}

apply_workspaces() {
  kubectl create namespace "$namespace" || return
  users_secret "$accounts" users | ours apply --filename - || return
  pooler_cluster | ours apply --filename - || return
  ours wait --for=condition=Ready poolercluster/workspaces --timeout 90s --request-timeout 100s || return
  # kube-proxy learns of ready pods a moment after the operator does.
  # shellcheck disable=SC2016
  in_cluster timeout 30 bash -c 'until (: >"/dev/tcp/$0/5432") 2>/dev/null; do sleep 0.2; done' "workspaces.$namespace"
}

set_up() {
  step cluster-up "$cluster/cluster.sh" up
  (umask 077 && mkdir -p "$state/demo")
  image=$(<"$root/target/image/name")
  step load-image "$cluster/cluster.sh" load-image "$root/target/image/poolwright.tar"
  step postgres start_postgres
  step helm-install install_operator
  step workspaces apply_workspaces
}

# start_inside NAME COMMAND… — in the background; its pid is remembered.
start_inside() {
  local name=$1
  shift
  "$cluster/cluster.sh" exec -- "$@" >"$state/demo/$name.json" 2>"$logs/demo-$name.log" </dev/null &
  background[$name]=$!
}

start_sampler() {
  start_inside sampler "$programs/poolwright-sampler" --host "$node" --user sampler --password "$sampler_password"
}

clients() {
  in_cluster "$here/demo/traffic.sh" "$accounts" "workspaces.$namespace" "$seconds" 5 "$state/demo/pgbench" \
    >"$state/demo/clients.json"
}

pod_ids() { ours get pods --selector "$(ours get poolercluster workspaces -o 'jsonpath={.status.selector}')" -o 'jsonpath={.items[*].metadata.uid}'; }

ready_pods() { ours get poolercluster workspaces -o 'jsonpath={.status.readyReplicas}'; }

# all_new OLD-IDS — none of them is left and two pods are ready.
all_new() {
  local id now
  now=$(pod_ids) || return
  for id in $1; do [[ " $now " != *" $id "* ]] || return 1; done
  [[ $(wc -w <<<"$now") -eq 2 && $(ready_pods) == 2 ]]
}

three_ready() { [[ $(ready_pods) == 3 ]]; }

# until_true SECONDS COMMAND…
until_true() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do
    ((SECONDS < until)) || { echo "not true in time: $*" && return 1; }
    sleep 0.5
  done
}

roll() {
  local before
  before=$(pod_ids) || return
  ours annotate poolercluster workspaces "poolwright.dev/restartedAt=$(date -u +%FT%TZ)" --overwrite || return
  until_true 180 all_new "$before"
}

scale() {
  ours scale poolercluster workspaces --replicas 3 || return
  until_true 90 three_ready
}

# Pods that end take their counters with them, so these are read all the time:
# lines "pod count".
watch_metrics() {
  local pod
  while sleep 1; do
    for pod in $(ours get pods -o 'jsonpath={range .items[*]}{.status.podIP} {end}' 2>/dev/null); do
      in_cluster curl --silent --max-time 2 "http://$pod:9187/metrics" |
        awk -v pod="$pod" '/^poolwright_requests_cut_total/ { n += $2 } END { print pod, n + 0 }' >>"$state/demo/cut"
    done
  done
}

moves() {
  start_inside load "$programs/poolwright-load" --host "workspaces.$namespace" --users-file "$accounts" \
    --clients 40 --pause 5 --seconds "$load_seconds" --json
  watch_metrics 2>/dev/null &
  background[metrics]=$!
  sleep 2
  note rolling-restart roll
  note scale-up scale
  kill -0 "${background[load]}" 2>/dev/null || problems+=("the load ended before the scale: give POOLWRIGHT_DEMO_LOAD_SECONDS")
  quiet load wait_for load || problems+=("poolwright-load reported errors")
  end_background metrics
}

# note NAME COMMAND… — as step, but a failure is kept for the report.
note() {
  if quiet "$@"; then say "$1: $spent s"; else problems+=("$1 failed, log: $logs/$1.log"); fi
}

wait_for() { wait "${background[$1]}"; }

end_background() {
  local pid=${background[$1]:-}
  [[ -n $pid ]] || return 0
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  unset "background[$1]"
}

# What still runs in the background lives in the cluster's network, but for the
# watcher; `down` ends what is in there.
remove() {
  [[ -z ${background[metrics]:-} ]] || kill "${background[metrics]}" 2>/dev/null || true
  "$cluster/cluster.sh" down
}

# The signal may come while a step's output goes to its log.
interrupted() {
  trap '' INT TERM
  exec >&3 2>&3
  stop_ticker
  echo
  say "interrupted: removing the demo"
  remove
  exit 130
}

main() {
  need_root
  plan
  trap stop_ticker EXIT
  trap interrupted INT TERM
  build
  set_up
  start_sampler
  note clients clients
  moves
  end_background sampler
  judge_reports
  print_report
  print_hints
  ((${#problems[@]} == 0)) || fail "the demo found problems" "${problems[@]}"
  say "all of it worked: no error, and never more than $budget server connections"
}

exec 3>&1
declare -A background=()
problems=()
accounts=$state/demo/accounts
case ${1:-run} in
  run) main ;;
  down) need_root && remove ;;
  *) fail "unknown argument $1" "usage: demo.sh [down]" ;;
esac
