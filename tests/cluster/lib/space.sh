# shellcheck shell=bash
# The cluster's rooms: for each node one network and one mount namespace, both
# kept by a bind mount in the state folder, so they outlive any process and
# end with it. The host sees no interface, route, or mount of a node but those
# handles. Nodes are joined by a veth pair that never touches the host.

# Folders that containerd, CNI and the kubelet write to under fixed names; each
# node gets its own, below the state folder.
private_folders=(/run/containerd /var/lib/cni /var/lib/kubelet /var/log/containers)

# What a kubelet insists on; it reads these stand-ins and leaves the host's alone.
kernel_settings=(vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1
  kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000)

# in_node N CMD…
in_node() {
  local node=$1
  shift
  nsenter --net="$state/ns/net$node" --mount="$state/ns/mnt$node" -- "$@"
}

# inside — does this very shell run in one of the cluster's rooms? From there
# the handles cannot be seen, so only commands are possible, no start or end.
inside() { [[ -f $state/run/spaces ]] && grep -qxF "$(readlink /proc/self/ns/net)" "$state/run/spaces"; }

make_state() {
  mkdir -p "$state"
  touch "$state/.poolwright-cluster"
  mkdir -p "$state"/{ns,run,log,pki,etc,dns,data}
  chmod 700 "$state/pki"
  mount --bind "$state/ns" "$state/ns"
  mount --make-private "$state/ns"
}

make_space() {
  local node=$1
  touch "$state/ns/net$node" "$state/ns/mnt$node"
  unshare --net="$state/ns/net$node" --mount="$state/ns/mnt$node" --propagation slave true
  in_node "$node" readlink /proc/self/ns/net >>"$state/run/spaces"
  in_node "$node" mount --make-rshared /
  hide_folders "$node"
  hide_kernel_settings "$node"
  hide_resolver "$node"
  make_addresses "$node"
}

hide_folders() {
  local node=$1 folder own
  for folder in "${private_folders[@]}"; do
    own=$state/data/node$node$folder
    mkdir -p "$own" "$folder"
    in_node "$node" mount --bind "$own" "$folder"
  done
}

hide_kernel_settings() {
  local node=$1 setting file
  mkdir -p "$state/etc/kernel"
  for setting in "${kernel_settings[@]}"; do
    file=$state/etc/kernel/${setting%%=*}
    mkdir -p "${file%/*}"
    echo "${setting#*=}" >"$file"
    in_node "$node" mount --bind "$file" "/proc/sys/${setting%%=*}"
  done
}

# Names of Services and pods resolve for whatever runs inside the rooms.
hide_resolver() {
  printf '%s\n' "nameserver $(node_address 1)" \
    "search default.svc.cluster.local svc.cluster.local cluster.local" "options ndots:5" >"$state/etc/resolv.conf"
  echo "nameserver $(node_address 1)" >"$state/etc/resolv-node.conf"
  sed 's/^hosts:.*/hosts: files dns/' /etc/nsswitch.conf >"$state/etc/nsswitch.conf"
  in_node "$1" mount --bind "$state/etc/resolv.conf" /etc/resolv.conf
  in_node "$1" mount --bind "$state/etc/nsswitch.conf" /etc/nsswitch.conf
}

# pw0 is a bridge without ports: it only carries the node's address and gives
# the Service range a route, which kube-proxy's translation needs to begin.
make_addresses() {
  in_node "$1" sh -euc '
    echo 1 >/proc/sys/net/ipv4/ip_forward
    echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
    echo 0 >/proc/sys/net/ipv4/conf/default/rp_filter
    ip link set lo up
    ip link add pw0 type bridge
    ip link set pw0 up
    ip addr add "$1/32" dev pw0
    ip route add "$2" dev pw0 src "$1"' sh "$(pod_gateway "$1")" "$service_range"
}

# join_node N — a link from node 1 to node N and the routes to each other's pods.
# Handles of namespaces are seen only from the host's mounts, hence nsenter.
join_node() {
  nsenter --net="$state/ns/net1" ip link add "to-node$1" type veth peer name to-node1 netns "$state/ns/net$1"
  in_node 1 ip addr add "$link_prefix.1/24" dev "to-node$1"
  in_node "$1" ip addr add "$link_prefix.$1/24" dev to-node1
  in_node "$1" ip link set to-node1 up
  in_node "$1" ip route add "$(pod_subnet 1)" via "$link_prefix.1"
  raise_link "$1"
}

raise_link() {
  in_node 1 ip link set "to-node$1" up
  in_node 1 ip route replace "$(pod_subnet "$1")" via "$link_prefix.$1" src "$(node_address 1)"
}

# lower_link N — node N is lost to the rest; its pods go on by themselves.
lower_link() { in_node 1 ip link set "to-node$1" down; }
