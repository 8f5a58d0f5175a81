# shellcheck shell=bash
# The control groups of a node's pods, on hosts of version 1 and 2 alike. They
# tell which processes are the cluster's containers, even when the container
# runtime itself is gone.

cgroup_mount=/sys/fs/cgroup

cgroup_unified() { [[ -f $cgroup_mount/cgroup.controllers ]]; }

make_cgroup() {
  if cgroup_unified; then make_cgroup_unified "$1"; else make_cgroup_split "$1"; fi
}

make_cgroup_unified() {
  local controller controllers
  read -ra controllers <"$cgroup_mount/cgroup.controllers"
  for controller in "${controllers[@]}"; do
    echo "+$controller" >"$cgroup_mount/cgroup.subtree_control" 2>/dev/null || true
  done
  mkdir -p "$cgroup_mount/$1"
}

# A new cpuset is empty and takes no process until it has processors and memory.
make_cgroup_split() {
  local hierarchy file
  for hierarchy in "$cgroup_mount"/*/; do
    [[ -f $hierarchy/cgroup.procs && ! -L ${hierarchy%/} ]] && mkdir -p "$hierarchy$1"
  done
  for file in cpuset.cpus cpuset.mems; do
    cat "$cgroup_mount/cpuset/$file" >"$cgroup_mount/cpuset/$1/$file"
  done
}

# cgroup_folders — every group of this cluster's nodes, the deepest first.
cgroup_folders() {
  find "$cgroup_mount" -mindepth 1 -maxdepth 2 -type d -name "poolwright-$name-[0-9]" -prune 2>/dev/null |
    while read -r folder; do find "$folder" -depth -type d 2>/dev/null; done
}

cgroup_processes() {
  cgroup_folders | while read -r folder; do cat "$folder/cgroup.procs" 2>/dev/null || true; done | sort -un
}

remove_cgroups() {
  cgroup_folders | while read -r folder; do rmdir "$folder" 2>/dev/null || true; done
}
