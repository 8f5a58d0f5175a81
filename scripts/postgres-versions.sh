#!/usr/bin/env bash
# Brings other major versions of PostgreSQL than this machine's, as Debian's later releases have
# them, each into a folder of its own with all the libraries that it needs. Its programs are wrapped
# so that they run by the folder's own dynamic loader; nothing of this machine is replaced. Once only.
#
#   postgres-versions.sh [MAJOR…]      brings them (17 18) if they are not there, says where they are
#   postgres-versions.sh --path MAJOR  prints the folder of its programs and does nothing
#   POOLWRIGHT_DEBIAN=URL              a mirror; else the one that apt uses here
#
# The folders are in the cache; for root in /var/cache/poolwright, since the server then runs as the
# user postgres, who cannot enter root's home. POOLWRIGHT_POSTGRES names another place.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=debian.sh
source "$(dirname "${BASH_SOURCE[0]}")/debian.sh"

default=$POOLWRIGHT_CACHE/postgres
[[ $EUID -ne 0 ]] || default=/var/cache/poolwright/postgres
place=${POOLWRIGHT_POSTGRES:-$default}

# The Debian release that has a major version.
release_of() {
  case $1 in
    17) echo trixie ;;
    18) echo sid ;;
    *) fail "PostgreSQL $1 is not known here" "known are 17 and 18; POOLWRIGHT_PG_BIN names the folder of any other's programs" ;;
  esac
}

programs_of() { echo "$place/$1/usr/lib/postgresql/$1/bin"; }

bring() {
  local major=$1 release=$2 draft=$place/.$1.$$ from
  from=$(debian_mirror)
  command -v mmdebstrap >/dev/null || fail "mmdebstrap is missing" "scripts/setup.sh installs it"
  [[ -n $from ]] || fail "apt names no mirror of Debian here" "set POOLWRIGHT_DEBIAN"
  mkdir -p "$place"
  # shellcheck disable=SC2064 # this draft
  trap "stop_ticker; rm -rf '$draft'" EXIT
  say "bringing PostgreSQL $major of Debian $release into $place/$major (about 400 MB, once)"
  step "postgres-$major" whole "$major" "$release" "$draft" "$from"
}

whole() {
  local major=$1 release=$2 draft=$3 from=$4
  debian_extract "postgresql-$major" "$release" "$draft" "$from" &&
    wrap "$draft" "$place/$major" "$major" && mv "$draft" "$place/$major"
}

# wrap DRAFT PLACE MAJOR — programs look for each other, and for their files, beside the name that
# they were called by: that is the wrapper's.
wrap() {
  local draft=$1 final=$2 folder=usr/lib/postgresql/$3 loader libraries program
  libraries=usr/lib/$(uname -m)-linux-gnu
  loader=usr/lib64/ld-linux-x86-64.so.2
  [[ -e $draft/$loader ]] || loader=usr/lib/ld-linux-aarch64.so.1
  mv "$draft/$folder/bin" "$draft/$folder/elf" && mkdir "$draft/$folder/bin"
  for program in "$draft/$folder/elf"/*; do
    program=${program##*/}
    cat >"$draft/$folder/bin/$program" <<WRAPPER
#!/bin/sh
exec $final/$loader --library-path $final/$libraries --argv0 "\$0" $final/$folder/elf/$program "\$@"
WRAPPER
    chmod 755 "$draft/$folder/bin/$program"
  done
}

if [[ ${1:-} == --path ]]; then
  release_of "$2" >/dev/null
  programs_of "$2"
  exit
fi
[[ $# -gt 0 ]] || set -- 17 18
for major in "$@"; do
  release=$(release_of "$major")
  [[ -d $place/$major ]] || bring "$major" "$release"
  say "PostgreSQL $("$(programs_of "$major")/postgres" --version | awk '{print $3}') is in $(programs_of "$major")"
done
