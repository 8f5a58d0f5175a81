#!/usr/bin/env bash
# Checks the local cluster itself, before anybody blames it for a product's
# fault: two nodes, restricted pods, Services, names, exec, logs, a drain, a
# lost node, and that nothing is left afterwards, even after kills. It runs a
# cluster of its own name and touches no other.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
source "$here/lib/say.sh"
source "$here/lib/packages.sh"
source "$here/lib/check.sh"
source "$here/lib/images.sh"

export POOLWRIGHT_CLUSTER=check
state=/var/lib/poolwright/check
parts=$("$here/parts.sh" --path)
work=$(mktemp -d)
trap '"$here/cluster.sh" down >/dev/null; rm -rf "$work"' EXIT

cluster() { "$here/cluster.sh" "$@"; }
kubectl() { cluster exec -- kubectl --request-timeout 20s --namespace check "$@"; }
inside() { cluster exec -- timeout 10 "$@"; }
fetch_page() { inside "$parts/probe" get "http://$1/page.txt"; }
reachable() { inside bash -c ": >/dev/tcp/$1/$2"; }

load_and_apply() {
  binary_image poolwright.dev/check:1 "$parts/probe" "$work/check.tar"
  cluster load-image "$work/check.tar" && kubectl apply -f "$here/check.yaml"
}

both_ready() { says 2 kubectl get statefulset web -o 'jsonpath={.status.readyReplicas}'; }
on_two_nodes() { [[ $(kubectl get pods -o 'jsonpath={.items[*].spec.nodeName}' | tr ' ' '\n' | sort -u | wc -l) -eq 2 ]]; }
in_pod() { kubectl exec web-0 -- /probe "$@"; }
drained() { kubectl drain check-2 --ignore-daemonsets --force --timeout 60s && ! kubectl get pods -o wide --no-headers | grep -q check-2; }
lost() { cluster node-lost 2 && ! reachable 10.89.0.2 10250; }
returned() { cluster node-back 2 && eventually 20 reachable 10.89.0.2 10250; }
audited() { jq -e -s 'any(.verb == "create" and .objectRef.resource == "statefulsets")' "$state/audit.log"; }

checks_of_a_running_cluster() {
  check "an image without a registry is loaded and used" load_and_apply
  check "two restricted pods of a Parallel StatefulSet become ready" eventually 60 both_ready
  check "they are spread over both nodes" on_two_nodes
  check "a Service answers by its name in the cluster's network" says "a page from a volume" eventually 20 fetch_page web.check.svc.cluster.local
  check "a pod's own name resolves through the headless Service" says "a page from" eventually 20 fetch_page web-1.web-pods.check.svc.cluster.local:8080
  check "a pod reaches the Service by its name, whichever node answers" says "a page from" eventually 20 in_pod get http://web/page.txt
  start_outside
  check "a pod reaches a server beside the cluster by a name of the hosts file" says "from outside" eventually 20 in_pod get http://outside.poolwright.test:8080/page.txt
  check "kubectl exec runs in a pod, as another user than root" says 65532 in_pod user -
  check "the root file system of a pod is read-only" says "read-only file system" refused in_pod write /x
  check "kubectl logs shows what a pod wrote" says "GET /page.txt" eventually 10 kubectl logs web-0
  check "a pod outside the namespace's security level is refused" says "violates PodSecurity" refused_pod
  check "the audit log holds who made the StatefulSet" audited
  check "exec gives back the command's exit status" status_is 7 cluster exec -- sh -c 'exit 7'
  check "down is refused from inside" says "inside the cluster" refused cluster exec -- "$here/cluster.sh" down
  check "a second cluster in the same ranges is refused" says "the cluster 'check' is running" refused "$here/cluster.sh" --name check-b up
  check "a range of this machine's own network is refused" says POOLWRIGHT_LINK_RANGE refused env POOLWRIGHT_LINK_RANGE=127.0.0.0/24 "$here/cluster.sh" --name check-b up
  check "a drain moves the pods away" drained
  check "an uncordoned node takes its pods again" uncordoned
  check "a lost node is out of reach" lost
  check "a node that is back answers" returned
}

# A server outside Kubernetes, in the cluster's network, as Postgres will be.
start_outside() {
  echo "10.88.0.1 outside.poolwright.test" >>"$state/dns/hosts"
  "$here/cluster.sh" exec -- sh -c 'cd "$1" && printf "a page from outside" >page.txt && exec "$2" serve .' sh "$work" "$parts/probe" >/dev/null 2>&1 &
}

refused_pod() { refused kubectl run root --image poolwright.dev/check:1 --privileged; }
uncordoned() { kubectl uncordon check-2 && eventually 60 both_ready; }

# Whatever could be left behind: processes, mounts, groups, interfaces, folders.
traces() {
  findmnt -rno TARGET | grep poolwright/check
  find /sys/fs/cgroup -maxdepth 2 -name 'poolwright-check-*'
  find /proc/[0-9]*/cgroup -maxdepth 0 -exec grep -l poolwright-check {} + 2>/dev/null
  pgrep -fa "$state/" | grep -v pgrep
  ls -d "$state" /run/poolwright/check 2>/dev/null
  diff "$work/links" <(ip -o link | cut -d: -f2) && diff "$work/kernel" <(kernel_values)
}
no_traces() { [[ -z $(traces) ]] || { traces && return 1; }; }
kernel_values() { cat /proc/sys/vm/{overcommit_memory,panic_on_oom} /proc/sys/kernel/{panic,panic_on_oops} /proc/sys/net/ipv4/ip_forward; }

killed_and_down() {
  local daemon
  for daemon in containerd-1 kubelet-1 apiserver containerd-2; do kill -9 "$(cut -d' ' -f1 "$state/run/$daemon.pid")"; done
  cluster down
}

# interrupted SECONDS SIGNAL — an up that is ended midway; where it was too quick
# for that, or had no chance to clean up, down follows.
interrupted() {
  local status=0
  setsid timeout --preserve-status -s "$2" "$1" "$here/cluster.sh" up || status=$?
  [[ $2 == INT && $status -ne 0 ]] || cluster down
}

ip -o link | cut -d: -f2 >"$work/links"
kernel_values >"$work/kernel"
"$here/parts.sh"
need_packages "$work/apt.log" jq procps
check "a cluster of two nodes comes up" cluster up --nodes 2
checks_of_a_running_cluster
check "down works after kills of its daemons, and ends its guests" says "probe" killed_and_down
check "nothing is left" no_traces
check "down once more does nothing" cluster down
for seconds in 0.3 1 3; do
  check "an up interrupted after $seconds s takes itself away" interrupted "$seconds" INT
  check "nothing is left of it" no_traces
  check "an up killed after $seconds s is taken away by down" interrupted "$seconds" KILL
  check "nothing is left of that" no_traces
done
summary
