#!/usr/bin/env bash
# A real Kubernetes on this machine, in network and mount namespaces of its
# own: no container registry, no virtual machine, nothing of it in the host's
# network. See README.md beside this file.
#
#   cluster.sh [--name NAME] up [--nodes 1|2]    start it, or add the second node
#       [--without CONTROLLER]      without one of Kubernetes' own controllers
#       [--audit-reads NAMESPACE]   the audit log also holds what the service
#                                   accounts of this namespace read
#   cluster.sh [--name NAME] down                end it and remove every trace
#   cluster.sh [--name NAME] status              what runs
#   cluster.sh [--name NAME] shell               the line that enters it
#   cluster.sh [--name NAME] exec -- CMD…        CMD inside, with kubectl and helm
#   cluster.sh [--name NAME] load-image TAR…     archives into every node
#   cluster.sh [--name NAME] node-lost|node-back 2   cut or mend the link to node 2
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck disable=SC1090
for file in say packages settings process ranges space cgroups identity images control node elsewhere down; do
  source "$here/lib/$file.sh"
done

usage() { sed -n '6,15s/^# *//p' "${BASH_SOURCE[0]}" >&2; exit 2; }

nodes() { (cd "$state/ns" 2>/dev/null && ls -d net[0-9]) 2>/dev/null | tr -dc '0-9\n'; }

require_root() { [[ $EUID -eq 0 ]] || fail "$1 needs root" "run: sudo $here/cluster.sh --name $name $1"; }

is_up() { [[ -e $state/.up ]] && alive apiserver && alive kubelet-1; }

require_up() {
  is_up || fail "the cluster '$name' is not up ($state)" "start it: $here/cluster.sh --name $name up"
}

# One up or down at a time for each name.
lock() {
  exec 9>"/run/lock/poolwright-$name.lock"
  flock -n 9 || { say "another up or down of '$name' is running: waiting for it" && flock 9; }
}

# What an up that did not reach its end leaves: the logs, if it failed. A second
# signal, such as timeout(1) sends, must not end it halfway.
undo() {
  local status=$?
  trap '' INT TERM HUP
  trap - EXIT
  set +e
  exec >&7 2>&7
  if [[ $1 == interrupted ]]; then
    say "interrupted: taking '$name' away again"
    (set -e && down)
    exit 130
  fi
  [[ -e $state/.poolwright-cluster ]] || exit "$status"
  (stop_cluster)
  say "the logs stay in $state/log until the next up or down"
  exit "$status"
}

# A trap speaks into whatever redirection it interrupts, hence the copy.
watch_for_the_end() {
  exec 7>&1
  trap 'undo failed' EXIT
  trap 'undo interrupted' INT TERM HUP
}

prepare() {
  need_packages /dev/null iproute2 util-linux
  "$here/parts.sh"
  parts=$("$here/parts.sh" --path)
  check_host_ranges
  check_other_clusters
}

first_node() {
  make_state
  register_cluster
  make_space 1
  start_containerd 1
  make_identities
  make_node_identity 1
  say "namespaces, addresses and keys are made"
  start_control
  start_node 1
}

second_node() {
  make_space 2
  join_node 2
  start_containerd 2
  make_node_identity 2
  start_node 2
}

up() {
  local count=1
  while (($#)); do
    [[ $# -ge 2 ]] || usage
    case $1 in
      --nodes) count=$2 ;;
      --without) without=$2 ;;
      --audit-reads) audit_reads=$2 ;;
      *) usage ;;
    esac
    shift 2
  done
  [[ $count == [12] ]] || fail "--nodes '$count' is not valid" "expected: 1 or 2"
  require_root up
  lock
  prepare
  if is_up; then
    say "the cluster '$name' is already up"
  else
    [[ ! -e $state ]] || { say "removing what an earlier '$name' left" && down; }
    watch_for_the_end
    first_node
  fi
  if [[ $count -eq 2 && ! -e $state/ns/net2 ]]; then
    watch_for_the_end
    second_node
  fi
  touch "$state/.up"
  trap - EXIT INT TERM HUP
  say "the cluster '$name' is up; enter it: $(shell_line)"
}

shell_line() { echo "$here/cluster.sh --name $name exec -- bash"; }

status() {
  local file daemon
  [[ -e $state/.up ]] || require_up
  for file in "$state"/run/*.pid; do
    daemon=$(basename "$file" .pid)
    if alive "$daemon"; then
      echo "$daemon runs, pid $(cut -d' ' -f1 "$file")"
    else
      echo "$daemon HAS ENDED, log: $state/log/$daemon.log"
    fi
  done
  echo "ranges: pods $pod_range, services $service_range, links $link_range; node 1: $(node_address 1)"
  echo "state: $state; audit log: $state/audit.log"
  is_up && kube_in get nodes -o wide
}

# setns(2) forgets the working folder, so a shell inside goes back to it.
run_inside() {
  [[ ${1:-} != -- ]] || shift
  [[ $# -gt 0 ]] || fail "exec needs a command" "such as: $here/cluster.sh --name $name exec -- kubectl get pods -A"
  require_root exec
  require_up
  local enter=(nsenter --net="$state/ns/net1" --mount="$state/ns/mnt1" --)
  ! inside || enter=()
  exec "${enter[@]}" env KUBECONFIG="$kubeconfig" PATH="$parts:$PATH" \
    POOLWRIGHT_CLUSTER="$name" POOLWRIGHT_STATE="$state" sh -c 'cd "$0" && exec "$@"' "$PWD" "$@"
}

link() {
  require_up
  [[ ${2:-} == 2 && -e $state/ns/net2 ]] ||
    fail "$1 takes the number of a node that has a link: 2" "start one: $here/cluster.sh --name $name up --nodes 2"
  if [[ $1 == node-lost ]]; then lower_link 2; else raise_link 2; fi
  say "the link to $(node_name 2) is $([[ $1 == node-lost ]] && echo cut || echo back)"
}

local_verb() {
  local verb=$1
  shift
  [[ $verb == exec ]] || ! inside ||
    fail "this shell runs inside the cluster '$name', where only exec is possible" "leave it first: exit"
  case $verb in
    up) up "$@" ;;
    down) require_root down && lock && down ;;
    status) status ;;
    shell) require_up && shell_line ;;
    exec) run_inside "$@" ;;
    load-image) load_images "$@" ;;
    node-lost | node-back) link "$verb" "$@" ;;
    *) usage ;;
  esac
}

main() {
  if [[ ${1:-} == --name ]]; then
    POOLWRIGHT_CLUSTER=${2:-}
    shift 2
  fi
  [[ $# -gt 0 ]] || usage
  read_settings
  parts=$("$here/parts.sh" --path)
  "$(where)_verb" "$@"
}

main "$@"
