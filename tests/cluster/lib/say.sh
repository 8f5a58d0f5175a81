# shellcheck shell=bash
# How the cluster's scripts speak: one line for each step with the seconds
# since the script began, and errors that name the remedy. Noise never comes
# here; it goes to log files.

pw_began=${EPOCHREALTIME//[!0-9]/}

elapsed() {
  local micros=$((${EPOCHREALTIME//[!0-9]/} - pw_began))
  printf '%d.%d' $((micros / 1000000)) $((micros / 100000 % 10))
}

say() { printf '[%6s s] %s\n' "$(elapsed)" "$*"; }

# fail MESSAGE… — one line for each argument, then exit 1.
fail() {
  printf 'error: %s\n' "$1" >&2
  shift
  [[ $# -eq 0 ]] || printf '       %s\n' "$@" >&2
  exit 1
}

# What a polled command returns when waiting is in vain.
in_vain=3

# wait_until SECONDS WHAT LOG CMD… — polls CMD every 0.1 s; when the time is
# over, or CMD returns $in_vain, fails with the log's last lines.
wait_until() {
  local seconds=$1 what=$2 log=$3 until status
  shift 3
  until=$((${EPOCHREALTIME//[!0-9]/} + seconds * 1000000))
  while true; do
    status=0
    "$@" >/dev/null 2>&1 || status=$?
    [[ $status -ne 0 ]] || return 0
    [[ $status -ne $in_vain ]] || give_up "$log" "$what is in vain: the process ended"
    ((${EPOCHREALTIME//[!0-9]/} < until)) || give_up "$log" "$what did not happen within $seconds s"
    sleep 0.1
  done
}

give_up() {
  tail -n 15 "$1" >&2 2>/dev/null
  fail "$2" "log: $1"
}
