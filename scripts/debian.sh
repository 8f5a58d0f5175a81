# shellcheck shell=bash
# Packages of another Debian release in a folder of their own, with all that they need. Nothing of
# this machine is replaced, and no script of a package runs.

debian_mirror() {
  [[ -z ${POOLWRIGHT_DEBIAN:-} ]] || { echo "$POOLWRIGHT_DEBIAN" && return; }
  # shellcheck disable=SC2016 # apt expands it
  apt-get indextargets --format '$(REPO_URI) $(ORIGIN)' 'Created-By: Packages' |
    awk '$2 == "Debian" && $1 ~ /\/debian\/?$/ {print $1; exit}'
}

# debian_extract PACKAGES RELEASE FOLDER MIRROR — A mirror may lag behind by weeks, past the date
# that the lists carry; their signature is checked all the same.
debian_extract() {
  mmdebstrap --quiet --variant=extract --aptopt='Acquire::Check-Valid-Until "false"' \
    --include="$1" "$2" "$3" "$4" && chmod 755 "$3"
}
