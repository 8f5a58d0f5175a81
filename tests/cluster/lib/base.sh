# shellcheck shell=bash
# The image that the shipping stage begins from. Without a registry it is made
# of this machine's own distribution, so that the binaries find the C library
# they were linked with; it is made once and kept.

release() { (source /etc/os-release && echo "${!1:-}"); }

# The real one: slim Debian, or what else the binaries were built on.
base_for_docker() {
  case $(release ID) in
    debian) echo "docker.io/library/debian:$(release VERSION_CODENAME)-slim" ;;
    *) echo "docker.io/library/$(release ID):$(release VERSION_ID)" ;;
  esac
}

base_for_buildah() { echo "localhost/poolwright-base:$(release VERSION_CODENAME)"; }

# A store of our own: whatever images the user has stay out of sight.
store() {
  local verb=$1
  shift
  buildah --storage-driver vfs --root "$cache/buildah" --runroot "$cache/buildah-run" "$verb" "$@"
}

make_base() {
  store inspect --type image "$base" >/dev/null 2>&1 && return
  local tarball container
  tarball=$cache/images/base-$(release VERSION_CODENAME).tar
  [[ -f $tarball ]] || bootstrap "$tarball"
  container=$(store from scratch)
  store add "$container" "$tarball" / >>"$log"
  store config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --cmd /bin/sh "$container"
  store commit --quiet "$container" "$base" >>"$log"
  store rm "$container" >>"$log"
  say "the base image $base is made"
}

# The slim images leave out the same folders.
bootstrap() {
  say "making the base from packages of $(release VERSION_CODENAME); once, about half a minute"
  mmdebstrap --variant=minbase --format=tar \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    "$(release VERSION_CODENAME)" "$1.$$" >>"$log" 2>&1 || fail "mmdebstrap failed" "log: $log"
  mv "$1.$$" "$1"
}
