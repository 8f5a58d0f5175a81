# shellcheck shell=bash
# One node: containerd, the kubelet and kube-proxy in the node's namespaces,
# with folders and a cgroup root of their own. Two kubelets that share a
# cgroup root end each other's pods as orphans.

pause_image=poolwright.dev/pause:1

write_network() {
  local folder=$state/etc/cni$1
  mkdir -p "$folder"
  cat >"$folder/10-pods.conflist" <<EOF
{"cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local",
   "dataDir": "$state/data/node$1/addresses", "routes": [{"dst": "0.0.0.0/0"}],
   "ranges": [[{"subnet": "$(pod_subnet "$1")", "gateway": "$(pod_gateway "$1")"}]]}}]}
EOF
}

# overlayfs cannot lie on overlayfs, as in a container.
snapshotter() {
  case $(stat -f -c %T "$state") in overlayfs) echo native ;; *) echo overlayfs ;; esac
}

# restrict_oom_score_adj: where root may not lower oom_score_adj, every
# sandbox would fail without it ("can't get final child's PID from pipe").
write_containerd() {
  cat >"$state/etc/containerd$1.toml" <<EOF
version = 2
root = "$state/data/node$1/containerd"
state = "$state/run/containerd$1"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]
[grpc]
address = "$(containerd_socket "$1")"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "$pause_image"
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "$(cni_folder)"
conf_dir = "$state/etc/cni$1"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "$(snapshotter)"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
EOF
}

containerd_socket() { echo "$state/run/containerd$1.sock"; }

ctr_in() {
  local node=$1
  shift
  in_node "$node" ctr --address "$(containerd_socket "$node")" --namespace k8s.io "$@"
}

containerd_ready() { daemon_up "containerd-$1" ctr_in "$1" version; }

write_kubelet() {
  cat >"$state/etc/kubelet$1.yaml" <<EOF
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $state/pki/ca.crt}}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: /$(cgroup_root "$1")
clusterDNS: [$(node_address 1)]
clusterDomain: cluster.local
containerRuntimeEndpoint: unix://$(containerd_socket "$1")
enforceNodeAllocatable: []
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}
failCgroupV1: false
failSwapOn: false
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
makeIPTablesUtilChains: false
maxPods: 200
podLogsDir: $state/data/node$1/pod-logs
resolvConf: $state/etc/resolv-node.conf
volumePluginDir: $state/data/node$1/volume-plugins
EOF
}

write_proxy() {
  cat >"$state/etc/proxy$1.yaml" <<EOF
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: $state/etc/proxy.kubeconfig}
clusterCIDR: $pod_range
conntrack: {maxPerCore: 0}
healthzBindAddress: 127.0.0.1:10256
hostnameOverride: $(node_name "$1")
metricsBindAddress: 127.0.0.1:10249
EOF
}

start_containerd() {
  write_network "$1"
  write_containerd "$1"
  spawn "$1" "containerd-$1" containerd --config "$state/etc/containerd$1.toml"
}

start_kubelet() {
  write_kubelet "$1"
  make_cgroup "$(cgroup_root "$1")"
  spawn "$1" "kubelet-$1" "$parts/kubernetes" kubelet --config "$state/etc/kubelet$1.yaml" \
    --kubeconfig "$state/etc/kubelet-$1.kubeconfig" --root-dir "$state/data/node$1/kubelet" \
    --cert-dir "$state/data/node$1/kubelet-pki" --hostname-override "$(node_name "$1")" --node-ip "$(node_address "$1")"
}

start_proxy() {
  write_proxy "$1"
  spawn "$1" "proxy-$1" "$parts/kubernetes" kube-proxy --config "$state/etc/proxy$1.yaml"
}

# Ready, and the taint of a node that is not is lifted: pods may come.
node_ready() {
  local readiness
  readiness=$(daemon_up "kubelet-$1" kube_in get node "$(node_name "$1")" \
    -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}{.spec.taints}') || return
  [[ $readiness == True ]]
}

# start_node N — containerd must already have been started.
start_node() {
  wait_until 30 "containerd's start" "$state/log/containerd-$1.log" containerd_ready "$1"
  import_image "$1" "$(pause_archive)"
  start_kubelet "$1"
  start_proxy "$1"
  wait_until 60 "the node's readiness" "$state/log/kubelet-$1.log" node_ready "$1"
  say "node $(node_name "$1") is ready"
}
