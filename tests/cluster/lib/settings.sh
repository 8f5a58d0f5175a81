# shellcheck shell=bash
# What a cluster is made of: its name, its folder, its address ranges. Every
# value is checked here once; the other files trust it.

PATH=$PATH:/usr/sbin:/sbin
runtime=/run/poolwright

read_settings() {
  name=${POOLWRIGHT_CLUSTER:-dev}
  [[ $name =~ ^[a-z][a-z0-9-]{0,19}$ ]] ||
    fail "cluster name '$name' is not valid" "expected: a lower-case letter, then up to 19 of a-z 0-9 -"
  state=${POOLWRIGHT_STATE:-/var/lib/poolwright/$name}
  [[ $state == /* && ${#state} -le 60 ]] ||
    fail "POOLWRIGHT_STATE '$state' is not valid" "expected: an absolute path of at most 60 bytes (sockets live below it)"
  read_ranges
  kubeconfig=$state/kubeconfig
}

read_ranges() {
  pod_range=${POOLWRIGHT_POD_RANGE:-10.88.0.0/16}
  service_range=${POOLWRIGHT_SERVICE_RANGE:-10.96.0.0/16}
  link_range=${POOLWRIGHT_LINK_RANGE:-10.89.0.0/24}
  check_range POOLWRIGHT_POD_RANGE "$pod_range" 16
  check_range POOLWRIGHT_SERVICE_RANGE "$service_range" 16
  check_range POOLWRIGHT_LINK_RANGE "$link_range" 24
  pod_prefix=${pod_range%.0.0/16}
  link_prefix=${link_range%.0/24}
  service_prefix=${service_range%.0.0/16}
}

# check_range VARIABLE CIDR LENGTH
check_range() {
  local octet='(25[0-5]|2[0-4][0-9]|1?[0-9]?[0-9])' form
  case $3 in
    16) form="^$octet\\.$octet\\.0\\.0/16\$" ;;
    24) form="^$octet\\.$octet\\.$octet\\.0/24\$" ;;
  esac
  [[ $2 =~ $form ]] || fail "$1 '$2' is not valid" "expected: an IPv4 range of length $3, such as 10.88.0.0/$3"
}

# node_address N — where node N's kubelet, and on node 1 all else, is reached.
node_address() {
  case $1 in
    1) echo "$pod_prefix.0.1" ;;
    *) echo "$link_prefix.$1" ;;
  esac
}

# pod_subnet N, pod_gateway N — nodes count from 1, their subnets from 0.
pod_subnet() { echo "$pod_prefix.$(($1 - 1)).0/24"; }
pod_gateway() { echo "$pod_prefix.$(($1 - 1)).1"; }
node_name() { echo "$name-$1"; }

# Before more than one cluster of a machine would share kernel-wide names.
cgroup_root() { echo "poolwright-$name-$1"; }
