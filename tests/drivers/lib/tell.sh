# shellcheck shell=bash
# How a client's check in shell tells its results; README.md has the words. The
# first failure ends it.

version() { echo "version $*"; }
ok() { echo "ok $*"; }
not_yet() { echo "not yet $*"; }
failed() {
  echo "FAILED $*"
  exit 1
}

# expect NAME EXPECTED FOUND
expect() {
  [[ $2 == "$3" ]] || failed "$1: expected ${2@Q}, found ${3@Q}"
  ok "$1"
}

# expect_not_yet NAME DOCUMENTED FOUND — the documented behaviour of a feature that
# the pooler has not got. Turns red when that changes.
expect_not_yet() {
  [[ $2 == "$3" ]] || failed "$1: expected the documented ${2@Q}, found ${3@Q}; if the pooler has it now, expect it here and in docs/compatibility.md"
  not_yet "$1: ${2//$'\n'/, }"
}
