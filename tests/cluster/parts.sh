#!/usr/bin/env bash
# Builds the parts of the local cluster (Kubernetes, etcd, CoreDNS, kubectl,
# helm, pause) from the Go module in parts/, and Helm 3 from the one in helm3/,
# and keeps them by the content of those folders, so that a fresh clone finds
# them. Safe to interrupt and to run again: a binary appears under its name only
# when it is whole.
#
#   parts.sh                  build what is missing, with progress
#   parts.sh --path [MODULE]  print the folder of a module's binaries (parts, if
#                             none is named) and build nothing
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/local/go/bin:/usr/sbin:/sbin
source "$here/lib/say.sh"
source "$here/lib/packages.sh"

modules=(parts helm3)
cache=${POOLWRIGHT_CACHE:-${HOME:-/root}/.cache/poolwright}
runtime_packages=(containerd runc containernetworking-plugins nftables conntrack iproute2 openssl util-linux)

# choose MODULE — what is built from now on, and where it is kept.
choose() {
  [[ -f $here/$1/build.list ]] || fail "unknown module $1" "usage: parts.sh [--path [parts|helm3]]"
  module=$here/$1
  target=$cache/parts/$(content_hash)
  log=$target/build.log
}

content_hash() {
  (cd "$module" && find . -type f | LC_ALL=C sort | xargs sha256sum && uname -m) | sha256sum | cut -c1-16
}

need_go() {
  local wanted have
  wanted=$(awk '$1 == "go" {print $2}' "$module/go.mod")
  command -v go >/dev/null || fail "Go $wanted or later is needed to build the cluster's parts" \
    "install it: sudo apt-get install golang-go (or a newer release from the Go project)"
  have=$(go env GOVERSION)
  [[ $(printf '%s\n' "$wanted" "${have#go}" | sort -V | head -n 1) == "$wanted" ]] ||
    fail "Go $wanted or later is needed, this is ${have#go}"
}

# build_part NAME PACKAGE FLAGS — to a temporary name first, then renamed.
build_part() {
  local name=$1 package=$2 flags=$3
  [[ -x $target/$name ]] && return
  say "building $name (log: $log)"
  (cd "$module" && CGO_ENABLED=0 nice -n 5 go build -trimpath -buildvcs=false -ldflags "-s -w $flags" \
    -o "$target/.$name.$$" "$package") >>"$log" 2>&1 || {
    rm -f "$target/.$name.$$"
    tail -n 15 "$log" >&2
    fail "building $name failed" "log: $log"
  }
  mv "$target/.$name.$$" "$target/$name"
  say "built $name, $(du -m "$target/$name" | cut -f1) MB"
}

build_all() {
  local name package flags
  while read -r name package flags; do
    [[ -z $name || $name == \#* ]] || build_part "$name" "$package" "$flags"
  done <"$module/build.list"
}

all_built() {
  local name _
  while read -r name _; do
    [[ -z $name || $name == \#* || -x $target/$name ]] || return 1
  done <"$module/build.list"
}

build_module() {
  choose "$1"
  mkdir -p "$target"
  all_built || build_missing
  say "$1 is ready in $target"
}

# One build at a time on this machine: another may be at the same parts.
build_missing() {
  need_go
  exec 9>"$cache/parts/.lock"
  flock -n 9 || { say "another build of the parts is running: waiting for it" && flock 9; }
  rm -f "$target"/.*.[0-9]*
  say "building ${module##*/}; the first time takes some minutes on 2 cores"
  build_all
  exec 9>&-
}

if [[ ${1:-} == --path ]]; then
  choose "${2:-parts}"
  echo "$target"
  exit
fi
[[ $# -eq 0 ]] || fail "unknown argument $1" "usage: parts.sh [--path [MODULE]]"

choose parts
mkdir -p "$target"
need_packages "$log" "${runtime_packages[@]}"
for name in "${modules[@]}"; do build_module "$name"; done
