# shellcheck shell=bash
# Images without a registry: an image of a single static binary is put together
# by hand, and archives are imported into the nodes' containerd.

# binary_image NAME BINARY ARCHIVE — a docker archive whose entrypoint is
# /BINARY's own name, from scratch.
binary_image() {
  local image=$1 binary=$2 archive=$3 work layer entry
  work=$(mktemp -d)
  entry=$(basename "$binary")
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=0755 \
    -C "$(dirname "$binary")" -cf "$work/layer.tar" "$entry"
  layer=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  cat >"$work/config.json" <<EOF
{"architecture": "$(image_architecture)", "os": "linux", "config": {"Entrypoint": ["/$entry"]},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$layer"]}}
EOF
  echo "[{\"Config\": \"config.json\", \"RepoTags\": [\"$image\"], \"Layers\": [\"layer.tar\"]}]" >"$work/manifest.json"
  tar -C "$work" -cf "$archive.$$" manifest.json config.json layer.tar
  mv "$archive.$$" "$archive"
  rm -r "$work"
}

image_architecture() {
  case $(uname -m) in x86_64) echo amd64 ;; aarch64) echo arm64 ;; *) uname -m ;; esac
}

pause_archive() {
  [[ -f $parts/pause.tar ]] || binary_image "$pause_image" "$parts/pause" "$parts/pause.tar"
  echo "$parts/pause.tar"
}

# import_image NODE ARCHIVE — docker and OCI archives alike.
import_image() {
  ctr_in "$1" images import "$2" >>"$state/log/images.log" 2>&1 ||
    fail "$(node_name "$1") could not import $2" "expected: a docker or OCI archive (tar)" "log: $state/log/images.log"
}

load_images() {
  local archive node imports import
  [[ $# -gt 0 ]] || fail "load-image needs an archive" "such as: $here/cluster.sh --name $name load-image image.tar"
  require_root load-image
  require_up
  for archive in "$@"; do
    [[ -f $archive ]] || fail "$archive is no file" "expected: an archive such as image.sh writes"
    archive=$(realpath "$archive")
    imports=()
    for node in $(nodes); do
      import_image "$node" "$archive" &
      imports+=($!)
    done
    for import in "${imports[@]}"; do wait "$import"; done
    say "loaded $archive into $(nodes | wc -l) node(s)"
  done
}
