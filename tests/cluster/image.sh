#!/usr/bin/env bash
# Builds the image that is shipped, from the repository's Dockerfile and the
# release binaries in dist/ (`make build`), into an archive that
# `cluster.sh load-image` takes. With a Docker engine it uses that and the real
# base image; without one, buildah and a base that is put together from the
# distribution's own packages. It pushes nothing anywhere.
#
#   image.sh            target/image/poolwright.tar, its name in target/image/name
#   image.sh FOLDER     the same two files in FOLDER
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:/usr/sbin:/sbin
source "$here/lib/say.sh"
source "$here/lib/packages.sh"
source "$here/lib/base.sh"

root=$(cd "$here/../.." && pwd)
cache=${POOLWRIGHT_CACHE:-${HOME:-/root}/.cache/poolwright}
out=${1:-$root/target/image}
log=$cache/image.log
programs=(poolwright-operator poolwright-pooler)

has_docker() { command -v docker && timeout 10 docker info; } >/dev/null 2>&1

need_programs() {
  local program
  for program in "${programs[@]}"; do
    [[ -x $root/dist/$program ]] || fail "dist/$program is missing" "build it: make build"
  done
}

# Only what the shipping stage reads, so that no build folder is copied about.
make_context() {
  context=$(mktemp -d)
  trap 'rm -rf "$context"' EXIT
  cp "$root/Dockerfile" "$context/"
  mkdir "$context/dist"
  cp "${programs[@]/#/$root/dist/}" "$context/dist/"
}

context_hash() { (cd "$context" && sha256sum Dockerfile dist/* && echo "$1") | sha256sum | cut -c1-12; }

build_with_docker() {
  docker build --target ship --build-arg "BASE=$1" --tag "$image" "$context" >>"$log" 2>&1
  docker save --output "$archive.$$" "$image" >>"$log" 2>&1
}

# --isolation chroot needs no runtime; vfs needs no kernel feature.
build_with_buildah() {
  make_base
  store bud --isolation chroot --target ship --build-arg "BASE=$1" --tag "$image" "$context" >>"$log" 2>&1
  rm -f "$archive.$$"
  store push --quiet "$image" "docker-archive:$archive.$$:$image" >>"$log" 2>&1
  store rmi "$image" >>"$log" 2>&1
}

build_image() {
  say "building $image with $tool (log: $log)"
  "build_with_$tool" "$1" || {
    tail -n 15 "$log" >&2
    fail "the image could not be built" "log: $log"
  }
  mv "$archive.$$" "$archive"
}

# Each build of the programs is another archive; the last three are kept.
forget_old_archives() {
  find "$cache/images" -name '[0-9a-f]*.tar' ! -name 'base-*' -printf '%T@ %p\n' | sort -rn | tail -n +4 |
    cut -d' ' -f2- | xargs -r rm -f
}

mkdir -p "$cache/images" "$out"
need_programs
make_context
tool=$(if has_docker; then echo docker; else echo buildah; fi)
base=$("base_for_$tool")
image=poolwright.dev/poolwright:$(context_hash "$base")
archive=$cache/images/${image##*:}.tar
exec 9>"$cache/images/.lock"
flock 9
if [[ ! -f $archive ]]; then
  : >"$log"
  [[ $tool == docker ]] || need_packages "$log" buildah mmdebstrap
  build_image "$base"
  forget_old_archives
fi
ln -f "$archive" "$out/poolwright.tar" 2>/dev/null || cp "$archive" "$out/poolwright.tar"
echo "$image" >"$out/name"
say "$image, $(du -m "$archive" | cut -f1) MB: $out/poolwright.tar"
