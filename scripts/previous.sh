#!/usr/bin/env bash
# Builds the version before, from which the tests of upgrades start: the commit
# that tests/previous names. Its image and its chart are kept in the cache.
#
#   previous.sh          build what is missing
#   previous.sh --path   print their folder and build nothing
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$root"
commit=$(<tests/previous)
folder=$POOLWRIGHT_CACHE/previous/$commit
[[ ${1:-} != --path ]] || { echo "$folder" && exit; }
[[ $# -eq 0 ]] || fail "unknown argument $1" "usage: previous.sh [--path]"
[[ ! -d $folder ]] || { say "the version before is in $folder" && exit; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
git archive "$commit" >"$work/source.tar" ||
  fail "the commit $commit of tests/previous is not here" "fetch it: git fetch origin $commit"
mkdir "$work/source" "$work/kept"
tar -C "$work/source" -xf "$work/source.tar"
# A folder of its own, so that its programs never stand where today's belong.
export CARGO_TARGET_DIR=${POOLWRIGHT_PREVIOUS_TARGET:-$root/target/previous}
POOLWRIGHT_LOGS=$logs "$work/source/scripts/build.sh"
"$work/source/tests/cluster/image.sh" "$work/kept"
cp -r "$work/source/charts/poolwright" "$work/kept/chart"
mkdir -p "${folder%/*}"
cp -r "$work/kept" "$folder.$$" && mv "$folder.$$" "$folder"
say "the version before is in $folder"
