# shellcheck shell=bash
# Installs with apt what a step needs and the machine lacks. It never removes
# or replaces a package: what would conflict is refused by apt and reported.

# The first executable file among the arguments, or nothing.
first_file() {
  local file
  for file in "$@"; do [[ -x $file ]] && echo "$file" && return; done
  return 1
}

cni_folder() { dirname "$(first_file /usr/lib/cni/ptp /opt/cni/bin/ptp)"; }

present() {
  case $1 in
    containernetworking-plugins) first_file /usr/lib/cni/ptp /opt/cni/bin/ptp ;;
    nftables) command -v nft ;;
    iproute2) command -v ip ;;
    util-linux) command -v nsenter ;;
    procps) command -v ps ;;
    *) command -v "$1" ;;
  esac >/dev/null
}

# need_packages LOG PACKAGE… — installs those that are missing.
need_packages() {
  local log=$1 package missing=()
  shift
  for package in "$@"; do present "$package" || missing+=("$package"); done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  [[ $EUID -eq 0 ]] || fail "missing: ${missing[*]}" "install them: sudo apt-get install ${missing[*]}"
  command -v apt-get >/dev/null || fail "missing: ${missing[*]}" "install them with this machine's package manager"
  say "apt installs ${missing[*]}"
  install_packages "${missing[@]}" >>"$log" 2>&1 ||
    fail "apt could not install ${missing[*]}" "what is installed is never removed for it" "log: $log"
}

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  local options=(-y --no-remove --no-install-recommends -o DPkg::Lock::Timeout=120)
  apt-get install "${options[@]}" "$@" && return
  apt-get update && apt-get install "${options[@]}" "$@"
}
