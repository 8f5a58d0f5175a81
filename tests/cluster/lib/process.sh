# shellcheck shell=bash
# Starts the cluster's daemons and remembers each as "pid start-time", so that
# a pid that the kernel has since given to somebody else is never signalled.

# process_field PID N — field N of /proc/PID/stat, counted as proc(5) does,
# for N ≥ 3 (the command's name before it may hold spaces).
process_field() {
  local stat fields
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -ra fields <<<"${stat##*) }"
  echo "${fields[$(($2 - 3))]}"
}

started_at() { process_field "$1" 22; }

# running PID START — the very process, and not a zombie. An interrupted start may have left a record
# without a time: then this is nobody's, and only its namespaces tell whose process it is.
running() {
  [[ -n $1 && -n ${2:-} && $(started_at "$1") == "$2" ]] && [[ $(process_field "$1" 3) != Z ]]
}

# spawn NODE NAME CMD… — a detached daemon inside NODE's namespaces.
spawn() {
  local node=$1 daemon=$2
  shift 2
  setsid env --default-signal=INT,QUIT nsenter --net="$state/ns/net$node" --mount="$state/ns/mnt$node" \
    -- "$@" >>"$state/log/$daemon.log" 2>&1 </dev/null 7>&- 9>&- &
  echo "$! $(started_at $!)" >"$state/run/$daemon.pid"
  disown
}

# alive NAME
alive() {
  local pid start
  read -r pid start <"$state/run/$1.pid" && running "$pid" "$start"
} 2>/dev/null

# any_alive STATE — is any recorded daemon of the cluster in STATE running?
any_alive() {
  local file pid start
  for file in "$1"/run/*.pid; do
    [[ -f $file ]] || continue
    read -r pid start <"$file"
    running "$pid" "$start" && return
  done
  return 1
}

# signal_daemons SIGNAL GLOB
signal_daemons() {
  local file pid start
  for file in "$state"/run/$2.pid; do
    [[ -f $file ]] || continue
    read -r pid start <"$file" || continue
    if running "$pid" "$start"; then kill "-$1" "$pid" 2>/dev/null || true; fi
  done
}

# daemon_up NAME CMD… — CMD, as long as the daemon has not ended.
daemon_up() {
  local daemon=$1
  shift
  alive "$daemon" || return "$in_vain"
  "$@"
}
