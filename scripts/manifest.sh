#!/usr/bin/env bash
# Writes deploy/base/poolwright.yaml, the install without Helm: what the chart
# renders by its defaults, in a namespace of its own.
#
#   manifest.sh           write it
#   manifest.sh --check   fail if it is stale, change nothing
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PATH=$("$cluster/parts.sh" --path):$PATH
file=$root/deploy/base/poolwright.yaml

manifest() {
  cat <<EOF
# The operator and its CustomResourceDefinition, as the chart renders them by its
# defaults: make manifest writes this file.
apiVersion: v1
kind: Namespace
metadata:
  name: poolwright
EOF
  helm template poolwright "$root/charts/poolwright" --namespace poolwright --kube-version 1.34.0 --skip-tests |
    sed -e '/^ *helm\.sh\//d' -e '/^# Source:/d' -e 's/managed-by: Helm/managed-by: manifest/'
}

case ${1:-write} in
  write) manifest >"$root/deploy/base/.fresh" && mv "$root/deploy/base/.fresh" "$file" && say "wrote ${file#"$root/"}" ;;
  --check)
    diff -u "$file" <(manifest) || fail "${file#"$root/"} is stale" "run: make manifest, and commit it"
    say "ok: ${file#"$root/"} is what the chart renders"
    ;;
  *) fail "unknown argument $1" "usage: manifest.sh [--check]" ;;
esac
