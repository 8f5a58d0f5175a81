#!/usr/bin/env bash
# Installs what building and testing need and this machine lacks: packages with
# apt, cargo-deny with cargo. Rust and Go are prerequisites: if they are missing
# it says how to install them. Removes and replaces nothing; safe to repeat.
#
#   setup.sh            everything (make test)
#   setup.sh --plan     print what would be installed, install nothing
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap stop_ticker EXIT

go_wanted=$(awk '$1 == "go" {print $2}' "$cluster/parts/go.mod")
rust_wanted=$(awk -F'"' '$1 ~ /^channel/ {print $2}' "$root/rust-toolchain.toml")

# A package, and the command or file that shows it is there (whoever brought it).
apt_table() {
  cat <<'TABLE'
ca-certificates           /etc/ssl/certs/ca-certificates.crt
gcc                       cc
libc6-dev                 /usr/include/stdlib.h
binutils                  strip
git                       git
make                      make
curl                      curl
jq                        jq
procps                    ps
shellcheck                shellcheck
postgresql                /usr/lib/postgresql/*/bin/pgbench
containerd                containerd
runc                      runc
containernetworking-plugins /usr/lib/cni/bridge,/opt/cni/bin/bridge
nftables                  nft
conntrack                 conntrack
iproute2                  ip
openssl                   openssl
util-linux                nsenter
buildah                   buildah
mmdebstrap                mmdebstrap
valgrind                  valgrind
TABLE
}

# is_there COMMAND, or /FILE,/OTHER of which one is enough; globs expand.
is_there() {
  local file
  [[ $1 == /* ]] || { command -v "$1" >/dev/null && return; }
  for file in ${1//,/ }; do [[ -e $file ]] && return; done
  return 1
}

missing_packages() {
  local package witness
  apt_table | while read -r package witness; do
    is_there "$witness" || echo "$package"
  done
}

need_rust() {
  command -v cargo >/dev/null || fail "Rust $rust_wanted is a prerequisite and cargo was not found" \
    "install it: curl https://sh.rustup.rs -sSf | sh -s -- -y --default-toolchain $rust_wanted"
  (cd "$root" && cargo --version >/dev/null 2>&1) || fail "Rust $rust_wanted is not installed" \
    "install it: rustup toolchain install $rust_wanted -c clippy -c rustfmt"
}

need_go() {
  command -v go >/dev/null || fail "Go $go_wanted or later is a prerequisite and go was not found" \
    "install it: sudo apt-get install golang-go, or a newer release from https://go.dev/doc/install"
  local have
  have=$(go env GOVERSION)
  [[ $(printf '%s\n' "$go_wanted" "${have#go}" | sort -V | head -n 1) == "$go_wanted" ]] ||
    fail "Go $go_wanted or later is a prerequisite and this is ${have#go}" \
      "install a newer release: https://go.dev/doc/install"
}

print_plan() {
  if ((${#missing[@]})); then
    echo "  install with apt:   ${missing[*]}"
  else
    echo "  install with apt:   nothing, all is there"
  fi
  if have_deny; then
    echo "  install with cargo: nothing, cargo-deny is there"
  else
    echo "  install with cargo: cargo-deny into $POOLWRIGHT_CACHE/tools (some minutes, once)"
  fi
  echo "  remove or replace:  nothing"
}

have_deny() { command -v cargo-deny >/dev/null; }

# Debian's postgresql package starts a server of its own when it is installed;
# the tests start theirs, so it is told not to. The note goes again afterwards.
install_missing() {
  local note=/etc/postgresql-common/createcluster.d/poolwright-setup.conf status=0
  if [[ " ${missing[*]} " == *" postgresql "* ]]; then
    mkdir -p "${note%/*}"
    echo 'create_main_cluster = false' >"$note"
  fi
  install_packages "${missing[@]}" || status=$?
  rm -f "$note"
  return "$status"
}

need_root() {
  [[ $EUID -eq 0 ]] || fail "installing packages needs root" \
    "run: sudo apt-get install --no-install-recommends ${missing[*]}"
  command -v apt-get >/dev/null || fail "this machine has no apt-get" \
    "install with its package manager what gives: ${missing[*]}"
}

main() {
  mapfile -t missing < <(missing_packages)
  say "setup, the plan:"
  print_plan
  [[ ${1:-} != --plan ]] || return 0
  need_rust
  need_go
  if ((${#missing[@]})); then
    need_root
    step apt install_missing
  fi
  have_deny || step cargo-deny nice -n 5 cargo install --locked cargo-deny@0.20.2 --root "$POOLWRIGHT_CACHE/tools"
}

main "$@"
