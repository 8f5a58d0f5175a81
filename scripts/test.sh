#!/usr/bin/env bash
# Everything that CI runs, part by part: each prints its seconds, keeps its
# noise in target/logs, and a failure of one does not hide the others'.
#
#   test.sh          all
#   test.sh quick    the inner loop: no cluster, no release build
#   test.sh cluster  what needs a cluster, at full length, from the previous version too
#   test.sh lint | drift | docs    one group of parts
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap 'stop_ticker; end_beside' EXIT
trap 'stop_ticker; echo; say "interrupted"; exit 130' INT TERM
cd "$root"

# limited SECONDS COMMAND… — on a terminal Ctrl-C must reach the command.
limited() {
  local foreground=()
  [[ ! -t 1 ]] || foreground=(--foreground)
  timeout "${foreground[@]}" --kill-after 20 "$@"
}

cargo_test() {
  local seconds=$1
  shift
  limited "$seconds" cargo test --locked --no-fail-fast "$@"
}

clippy() { part clippy cargo clippy --locked --workspace --all-targets -- -D warnings; }
small_lints() {
  part fmt cargo fmt --all --check
  part shellcheck scripts/shellcheck.sh
}
deny() { part deny cargo deny --locked check bans licenses sources; }
lints() {
  small_lints
  clippy
  deny
}

drifts() { part drift scripts/generate.sh --check; }
# What of it no test compares.
copies() { part copies scripts/sync-chart.sh --check; }
docs() { RUSTDOCFLAGS='-D warnings' part docs cargo doc --locked --workspace --no-deps; }
units() { part unit cargo_test 900 --workspace --exclude poolwright-tests; }
integration() {
  part build-pooler cargo build --locked -p poolwright-pooler
  # They wait more than they compute.
  part integration cargo_test 900 -p poolwright-tests -- --test-threads 4
}

# released NAME COMMAND… — a part that looks at the pooler that ships.
released() {
  passed build || { skip "$1" "there is no release build"; return; }
  POOLWRIGHT_POOLER=$root/dist/poolwright-pooler part "$@"
}

# What a debug build takes minutes for.
many_names() {
  released many-names cargo_test 300 -p poolwright-tests --test integration -- --ignored ten_thousand_databases
}

# What depends most on the server's version, where the newest was brought (make postgres-versions).
newest_postgres() {
  local programs
  programs=$(scripts/postgres-versions.sh --path 18)
  [[ -d $programs ]] || return 0
  POOLWRIGHT_PG_BIN=$programs part postgres-18 cargo_test 300 -p poolwright-tests --test integration -- \
    --test-threads 4 protocol:: cancel:: state::
}

# Slices of what `make differential`, `make simulate` and `make bites` do; that of `make fuzz` is among the
# unit tests.
simulation() { part simulation limited 600 scripts/simulate.sh 3000000; }
differential() { released differential limited 600 scripts/differential.sh 2200; }
bites() { part bites limited 600 scripts/bites.sh --quick; }

# The light ones of the real clients; `make drivers` runs all.
drivers() { part drivers limited 600 tests/drivers/drivers.sh psql pgbench psycopg; }

# What has time, while the cluster's tests wait for pods. First what does without the lock of cargo's that
# they need at their beginning.
aside() {
  simulation
  clippy
  docs
  instructions
}

short_cluster() {
  begin_beside aside
  part cluster limited 2700 env POOLWRIGHT_SHORT=1 scripts/cluster-tests.sh
  join_beside
}

whole_cluster() { part cluster limited 7200 env -u POOLWRIGHT_SHORT scripts/cluster-tests.sh; }

build() { part build limited 3600 scripts/build.sh; }

# The shipped binaries in their image, on a real cluster, after their build.
#
#   shipped COMMAND    plays the cluster's tests
shipped() {
  local name
  part build-tests cargo build --locked -p poolwright-tests --tests --bins
  part cluster-parts tests/cluster/parts.sh
  if ! passed build || ! passed build-tests || ! passed cluster-parts; then
    for name in cluster-check image chart cluster; do skip "$name" "a part before it failed"; done
    return
  fi
  part cluster-check limited 300 tests/cluster/check.sh
  part image tests/cluster/image.sh
  part chart scripts/chart.sh
  if passed image; then "$@"; else skip cluster "there is no image"; fi
}

instructions() { released instructions limited 600 benches/instructions.sh; }

all() {
  scripts/setup.sh
  small_lints
  deny
  begin_beside build
  units
  copies
  join_beside
  shipped short_cluster
  integration
  many_names
  newest_postgres
  differential
  bites
  drivers
}

on_cluster() {
  scripts/setup.sh
  part previous scripts/previous.sh
  build
  shipped whole_cluster
  figures
}

# What the cluster's tests tell: the installs' checks, then each test with its times and counts.
figures() {
  passed image || return 0
  say "figures:"
  grep -E '^\[ *[0-9.]+ s\] (ok|FAILED|skipped)' "$logs/cluster.log" || true
  sed -e '1,/^running [0-9]/d' -e '/^--- the end of/,/^---$/d' "$logs/cluster.log" |
    grep -E '^(  |    )?[^ ]' | grep -vE '^(ok|note|test|stack|failures)|^$' || true
}

quick() {
  small_lints
  clippy
  units
  copies
}

summary() {
  local name passed=0 failed=0
  say "parts:"
  print_parts
  print_failures
  for name in "${ran[@]}"; do
    passed=$((passed + $(sum "$name" passed)))
    failed=$((failed + $(sum "$name" failed)))
  done
  ((failed || ${#failed_parts[@]} == 0)) || failed=${#failed_parts[@]}
  ((${#failed_parts[@]} == 0)) || say "failed: ${failed_parts[*]}"
  say "logs: $logs"
  ((passed + failed == 0)) || echo "$passed passed, $failed failed"
  ((failed == 0))
}

# sum PART WORD — of cargo's lines "test result: … N WORD;" and the shell
# checks' lines "N passed, N failed".
sum() {
  awk -v word="$2" '
    /^test result: / || /^[0-9]+ passed, [0-9]+ failed$/ {
      for (i = 2; i <= NF; i++) if ($i ~ "^" word "[;,]?$") n += $(i - 1)
    }
    END { print n + 0 }' "$logs/$1.log"
}

case ${1:-all} in
  all | quick) "${1:-all}" ;;
  cluster) on_cluster ;;
  lint) lints ;;
  drift) drifts ;;
  docs) docs ;;
  *) fail "unknown argument $1" "usage: test.sh [quick|cluster|lint|drift|docs]" ;;
esac
summary
