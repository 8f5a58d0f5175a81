#!/usr/bin/env bash
# Builds the two programs in release mode and puts them, without debug sections,
# into dist/: the binaries that the image ships and the cluster's tests run. The
# compiler is told which ways through the pooler are usual (docs/decisions/0027).
#
#   build.sh               both
#   build.sh PROGRAM…      these
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap stop_ticker EXIT

cd "$root"
target=${CARGO_TARGET_DIR:-target}
programs=("$@")
(($#)) || programs=(poolwright-pooler poolwright-operator)
export RUSTFLAGS="${RUSTFLAGS:-} -Cprofile-use=$root/pooler/usual.profdata"
mkdir -p dist
for name in "${programs[@]}"; do
  # By itself: what two programs want of a library together gives its functions, and all that call them,
  # other names than the profile has.
  step "build-$name" cargo build --release --locked --package "$name"
  strip --strip-debug -o "dist/.$name" "$target/release/$name"
  cmp -s "dist/.$name" "dist/$name" || mv "dist/.$name" "dist/$name"
  rm -f "dist/.$name"
  say "dist/$name: $(du -m "dist/$name" | cut -f1) MB"
done
