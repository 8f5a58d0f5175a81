#!/usr/bin/env bash
# Copies into the chart what has its source elsewhere: the CRD from crds/ (with
# the note that Helm leaves it on uninstall) and the operator's rules from
# operator/rbac.yaml.
#
#   sync-chart.sh           write the copies
#   sync-chart.sh --check   say which copy is stale, change nothing
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

files=$root/charts/poolwright/files
mode=${1:-write}

crd() {
  awk '
    NR == 1 { print "# A copy of crds/poolerclusters.yaml that Helm leaves in place: make generate" }
    /^#/ { next }
    /^metadata:/ { inside = 1; print; next }
    inside && /^  annotations:/ { print; print "    helm.sh/resource-policy: keep"; inside = 0; next }
    inside && /^[^ ]/ { print "  annotations:"; print "    helm.sh/resource-policy: keep"; inside = 0 }
    { print }
  ' "$root/crds/poolerclusters.yaml"
}

# The rules of the one role in operator/rbac.yaml.
rules() { awk '/^rules:/ { on = 1 } on && /^(---|[a-z]*[A-Z])/ { exit } on' "$root/operator/rbac.yaml"; }

# put FILE — its new content comes on standard input.
put() {
  local file=$files/$1 fresh
  fresh=$(cat)
  [[ -n $fresh ]] || fail "the source of ${file#"$root/"} is empty"
  [[ ! -f $file || $fresh != "$(<"$file")" ]] || return 0
  [[ $mode != --check ]] || fail "${file#"$root/"} is stale" "run: make generate, and commit it"
  printf '%s\n' "$fresh" >"$file"
  say "wrote ${file#"$root/"}"
}

[[ $mode == write || $mode == --check ]] || fail "unknown argument $mode" "usage: sync-chart.sh [--check]"
mkdir -p "$files"
crd | put poolerclusters.yaml
rules | put rules.yaml
