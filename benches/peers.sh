#!/usr/bin/env bash
# Brings the poolers that Debian has (PgBouncer, Odyssey, pgagroal, from sid) into
# a folder of their own, with all the libraries that they need. They run there by
# the folder's own dynamic loader; nothing of this machine is replaced. Once only.
#
#   peers.sh          bring them if they are not there, say where they are
#   peers.sh --path   print the folder and do nothing
#   POOLWRIGHT_DEBIAN=URL   a mirror; else the one that apt uses here
set -euo pipefail
# shellcheck source=../scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"
# shellcheck source=../scripts/debian.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/debian.sh"

packages=pgbouncer,odyssey,pgagroal
target=$POOLWRIGHT_CACHE/peers
[[ ${1:-} != --path ]] || { echo "$target" && exit; }

# What cannot be had is said and left out: the bench then says so in its table.
without() {
  say "peers from Debian are left out: $*"
  exit 0
}

fetch() { debian_extract "$packages" sid "$draft" "$from" && mv "$draft" "$target"; }

if [[ ! -d $target ]]; then
  command -v mmdebstrap >/dev/null || without "mmdebstrap is missing (scripts/setup.sh installs it)"
  from=$(debian_mirror)
  [[ -n $from ]] || without "apt names no mirror of Debian here; set POOLWRIGHT_DEBIAN"
  draft=$POOLWRIGHT_CACHE/.peers.$$
  trap 'stop_ticker; rm -rf "$draft"' EXIT
  say "bringing $packages of Debian sid into $target (about 140 MB, once)"
  step peers fetch
fi
say "peers are in $target"
