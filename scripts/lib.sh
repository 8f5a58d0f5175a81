# shellcheck shell=bash
# What the scripts share: where things are, parts that print their seconds and
# keep their noise in a log, and the summary at the end. Starts nothing itself.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export HOME=${HOME:-/root}
export POOLWRIGHT_CACHE=${POOLWRIGHT_CACHE:-$HOME/.cache/poolwright}
logs=${POOLWRIGHT_LOGS:-$root/target/logs}
tools=$POOLWRIGHT_CACHE/tools/bin
# shellcheck disable=SC2034 # the scripts that source this one use it
cluster=$root/tests/cluster
PATH=$tools:$HOME/.cargo/bin:/usr/local/cargo/bin:$PATH:/usr/local/go/bin:/usr/sbin:/sbin
mkdir -p "$logs" "$POOLWRIGHT_CACHE"

# shellcheck source=../tests/cluster/lib/say.sh
source "$root/tests/cluster/lib/say.sh"
# shellcheck source=../tests/cluster/lib/packages.sh
source "$root/tests/cluster/lib/packages.sh"

ticker=
# shellcheck disable=SC2034 # for the summary at the end
ran=()
failed_parts=()
part_lines=()

# Shows that a long part is alive: on a terminal the seconds and the log's last
# line, elsewhere one line each minute.
tick() {
  local name=$1 log=$2 start=$SECONDS spent
  while sleep 1; do
    spent=$((SECONDS - start))
    if [[ -t 1 ]]; then
      printf '\r\033[K  %4d s  %s: %.60s' "$spent" "$name" "$(tail -n 1 "$log" | tr -cd '[:print:]')"
    elif ((spent % 60 == 0)); then
      say "… $name, $spent s"
    fi
  done
}

start_ticker() {
  tick "$@" 2>/dev/null &
  ticker=$!
}

stop_ticker() {
  [[ -n $ticker ]] || return 0
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  ticker=
  [[ ! -t 1 ]] || printf '\r\033[K'
}

# quiet NAME COMMAND… — runs it with its output in target/logs/NAME.log; on
# failure shows the log's end. Its exit status is the command's.
quiet() {
  local name=$1 log=$logs/$1.log start=$SECONDS status=0
  shift
  : >"$log"
  start_ticker "$name" "$log"
  "$@" >>"$log" 2>&1 </dev/null || status=$?
  stop_ticker
  spent=$((SECONDS - start))
  ((status == 0)) && return
  say "$name failed after $spent s with status $status; the end of $log:"
  tail -n "${POOLWRIGHT_TAIL:-60}" "$log" | sed 's/^/    /'
  return "$status"
}

# step NAME COMMAND… — a part that everything after it needs.
step() {
  local name=$1 spent=0
  quiet "$@" || exit 1
  say "$name: $spent s"
}

# part NAME COMMAND… — a part whose failure is noted, so that the others run.
part() {
  local name=$1 spent=0
  say "$name …"
  ran+=("$name")
  if quiet "$@"; then
    part_lines+=("$(printf '%6d s  ok      %s' "$spent" "$name")")
  else
    failed_parts+=("$name")
    part_lines+=("$(printf '%6d s  FAILED  %s' "$spent" "$name")")
  fi
  grep -hE '^test result: |^[0-9]+ passed, [0-9]+ failed$' "$logs/$name.log" | grep -v ' 0 passed; 0 failed' || true
  say "$name: $spent s"
}

# skip NAME WHY — a part that cannot run because an earlier one failed.
skip() {
  failed_parts+=("$1")
  part_lines+=("$(printf '%8s  SKIPPED %s: %s' - "$1" "$2")")
}

beside=

# begin_beside COMMAND… — parts that run at the lowest priority while others wait; join_beside takes over
# what came of them.
begin_beside() {
  run_beside "$@" >"$logs/beside.log" 3>"$logs/beside.parts" &
  beside=$!
}

run_beside() {
  renice -n 19 -p "$BASHPID" >/dev/null
  ran=() failed_parts=() part_lines=()
  "$@"
  tell_array ran "${ran[@]}"
  tell_array failed_parts "${failed_parts[@]}"
  tell_array part_lines "${part_lines[@]}"
}

# tell_array NAME ELEMENT… — lines of shell that append these to the array.
tell_array() {
  local name=$1 element
  shift
  for element; do printf '%s+=(%q)\n' "$name" "$element" >&3; done
}

join_beside() {
  [[ -n $beside ]] || return 0
  start_ticker "what runs beside" "$logs/beside.log"
  wait "$beside" || skip beside "it ended before its time: see $logs/beside.log"
  stop_ticker
  beside=
  cat "$logs/beside.log"
  # shellcheck source=/dev/null
  source "$logs/beside.parts"
}

end_beside() {
  [[ -n $beside ]] || return 0
  # It must not begin the next part when its child has ended.
  kill -STOP "$beside" 2>/dev/null || true
  pkill -P "$beside" || true
  kill -KILL "$beside" 2>/dev/null || true
  beside=
}

passed() {
  local name
  for name in "${failed_parts[@]}"; do [[ $name != "$1" ]] || return 1; done
}

# Has what follows use the version of PostgreSQL that POSTGRES names, if it does.
use_postgres() {
  [[ -n ${POSTGRES:-} ]] || return 0
  "$root/scripts/postgres-versions.sh" "$POSTGRES" || exit 1
  POOLWRIGHT_PG_BIN=$("$root/scripts/postgres-versions.sh" --path "$POSTGRES")
  export POOLWRIGHT_PG_BIN
}

# What of each failed part went wrong, once more and briefly: whoever keeps only the end of the output of
# a long run has it. A part that does not say is told by its last words.
print_failures() {
  local name said
  for name in "${failed_parts[@]}"; do
    [[ -s $logs/$name.log ]] || continue
    said=$(grep -aE 'FAILED|^error|panicked at' "$logs/$name.log" | grep -avE '^test result:|^error: test failed' | awk '!seen[$0]++') || true
    [[ -n $said ]] || said=$(grep -av '^ *$' "$logs/$name.log" | tail -n 8)
    say "$name:"
    head -n 10 <<<"$said" | cut -c 1-160 | sed 's/^/    /'
  done
}

print_parts() { printf '%s\n' "${part_lines[@]}"; }
