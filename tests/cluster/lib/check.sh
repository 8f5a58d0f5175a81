# shellcheck shell=bash
# How the cluster's own checks speak: each check is a sentence and a command;
# all are run, and the exit status tells whether one failed.

passed=0
failed=0

# check SENTENCE CMD… — CMD's output is shown only when it fails.
check() {
  local sentence=$1 output
  shift
  if output=$("$@" 2>&1); then
    passed=$((passed + 1))
    say "ok: $sentence"
  else
    failed=$((failed + 1))
    say "FAILED: $sentence"
    printf '%s\n' "$output" | tail -n 20
  fi
}

# eventually SECONDS CMD… — CMD until it succeeds.
eventually() {
  local until=$((SECONDS + $1)) output
  shift
  until output=$("$@" 2>&1); do
    ((SECONDS < until)) || { echo "$output" && return 1; }
    sleep 0.2
  done
  echo "$output"
}

# says TEXT CMD… — CMD succeeds and its output holds TEXT.
says() {
  local text=$1 output
  shift
  output=$("$@" 2>&1) || { echo "$output" && return 1; }
  [[ $output == *"$text"* ]] || { echo "expected '$text' in: $output" && return 1; }
}

# refused CMD… — CMD fails; what it said goes to standard output.
refused() { ! "$@" 2>&1; }

# status_is STATUS CMD…
status_is() {
  local wanted=$1 status=0
  shift
  "$@" || status=$?
  [[ $status -eq $wanted ]] || { echo "expected status $wanted, got $status" && return 1; }
}

summary() {
  echo "$passed passed, $failed failed"
  [[ $failed -eq 0 ]]
}
