# shellcheck shell=bash
# Takes a cluster away, whatever state it is in: after a crash, an interrupted
# start, or twice. It ends only what is provably the cluster's own: recorded
# daemons, processes in the cluster's control groups, and processes inside the
# cluster's namespaces (nothing gets in there but through cluster.sh).

# resident_processes — pids whose network or mount namespace is the cluster's.
resident_processes() {
  local wanted
  wanted=$(for file in "$state"/ns/*; do stat -L -c '%t %i' "$file" 2>/dev/null | awk '{print $2}'; done | paste -sd'|')
  [[ -n $wanted ]] || return 0
  find /proc/[0-9]*/ns -maxdepth 1 \( -name net -o -name mnt \) -printf '%h %l\n' 2>/dev/null |
    grep -E "\[($wanted)\]$" | cut -d/ -f3 | sort -un || true
}

# The rest of the cluster's processes: what was started through `exec`.
guest_processes() {
  comm -23 <(resident_processes | sort) <(cat "$state"/run/*.pid 2>/dev/null | cut -d' ' -f1 | sort)
}

signal_all() {
  local signal=$1 pid
  shift
  for pid in "$@"; do kill "-$signal" "$pid" 2>/dev/null || true; done
}

kill_containers() {
  local pids tries
  for tries in {1..20}; do
    mapfile -t pids < <(cgroup_processes)
    [[ ${#pids[@]} -gt 0 ]] || return 0
    signal_all KILL "${pids[@]}"
    sleep "0.0$tries"
  done
}

end_guests() {
  local pids tries
  for tries in {1..30}; do
    mapfile -t pids < <(guest_processes)
    [[ ${#pids[@]} -gt 0 ]] || return 0
    [[ $tries -ne 1 ]] || say "ending what still runs in the cluster's network: $(names_of "${pids[@]}")"
    [[ $tries -ne 1 ]] || signal_all TERM "${pids[@]}"
    sleep 0.1
  done
}

names_of() { ps -o comm= -p "$(IFS=,; echo "$*")" 2>/dev/null | sort | uniq -c | awk '{print $2 " ×" $1}' | paste -sd' '; }

nothing_runs() { [[ -z $(cgroup_processes)$(resident_processes) ]] && ! any_alive "$state"; }

end_everything() {
  local tries pids
  for tries in {1..100}; do
    signal_daemons KILL '*'
    mapfile -t pids < <(resident_processes; cgroup_processes)
    signal_all KILL "${pids[@]}"
    nothing_runs && return
    sleep 0.1
  done
  fail "some processes of the cluster '$name' did not end within 10 s (try $tries)" \
    "look at them: ps -fp $(resident_processes | paste -sd,)"
}

unmount_all() {
  local target
  findmnt -rno TARGET | awk -v under="$state/" 'index($0, under) == 1' | tac | while read -r target; do
    umount "$target" 2>/dev/null || umount --lazy "$target"
  done
}

# The mark goes last, so that what could not be removed is still the next down's.
remove_state() {
  find "$state" -xdev -mindepth 1 -depth ! -path "$state/.poolwright-cluster" -delete || return
  rm -rf --one-file-system "$state"
  rmdir /var/lib/poolwright 2>/dev/null || true
  rmdir "${private_folders[@]}" 2>/dev/null || true
}

# stop_cluster — everything but the state folder's files.
stop_cluster() {
  signal_daemons KILL 'kubelet-*'
  signal_daemons KILL 'proxy-*'
  kill_containers
  end_guests
  end_everything
  remove_cgroups
  unmount_all
  unregister_cluster
}

# Only a folder that make_state marked is ever removed, or an empty one.
down() {
  if [[ ! -e $state/.poolwright-cluster ]]; then
    [[ ! -e $state ]] || rmdir "$state" 2>/dev/null || fail "$state is not a cluster's folder" "set POOLWRIGHT_STATE to the folder that up used"
    unregister_cluster
    say "no cluster '$name' is here ($state)"
    return
  fi
  stop_cluster
  remove_state
  say "the cluster '$name' is gone"
}
