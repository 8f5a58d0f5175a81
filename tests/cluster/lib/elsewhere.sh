# shellcheck shell=bash
# Clusters that these scripts did not make: one that the user names with
# POOLWRIGHT_CONTEXT (never touched beyond what `exec` is told to run), and
# kind where POOLWRIGHT_KIND=1 asks for it. KUBECONFIG alone selects nothing.

where() {
  if [[ -n ${POOLWRIGHT_CONTEXT:-} ]]; then
    echo context
  elif [[ ${POOLWRIGHT_KIND:-} == 1 ]]; then
    echo kind
  else
    echo local
  fi
}

# A kubeconfig with only the named context, so that no default can be meant.
context_kubeconfig() {
  kubeconfig=$(mktemp)
  PATH=$parts:$PATH kubectl config view --raw --minify --flatten --context "$POOLWRIGHT_CONTEXT" >"$kubeconfig" ||
    fail "POOLWRIGHT_CONTEXT '$POOLWRIGHT_CONTEXT' is in no kubeconfig" "see: kubectl config get-contexts"
}

context_verb() {
  local verb=$1
  shift
  case $verb in
    up | down) say "POOLWRIGHT_CONTEXT names the cluster '$POOLWRIGHT_CONTEXT': nothing to bring $verb" ;;
    load-image) say "the cluster '$POOLWRIGHT_CONTEXT' pulls its images itself: IMAGE=${IMAGE:-(not set)}" ;;
    status) context_exec kubectl --request-timeout 10s get nodes ;;
    shell) echo "kubectl --context $POOLWRIGHT_CONTEXT …" ;;
    exec) context_exec "$@" ;;
    *) fail "$verb is not possible on the cluster '$POOLWRIGHT_CONTEXT'" "it is not ours to break" ;;
  esac
}

context_exec() {
  local status=0
  [[ $1 != -- ]] || shift
  context_kubeconfig
  env KUBECONFIG="$kubeconfig" PATH="$parts:$PATH" "$@" || status=$?
  rm -f "$kubeconfig"
  return "$status"
}

kind_verb() {
  local verb=$1
  shift
  command -v kind >/dev/null || fail "POOLWRIGHT_KIND=1 but kind is not installed" "install kind, or unset POOLWRIGHT_KIND"
  case $verb in
    up) mkdir -p "$state" && kind_nodes "$@" | kind create cluster --name "$name" --kubeconfig "$kubeconfig" --wait 120s --config - ;;
    down) kind delete cluster --name "$name" --kubeconfig "$kubeconfig" && rm -rf "$kubeconfig" ;;
    load-image) for archive in "$@"; do kind load image-archive --name "$name" "$archive"; done ;;
    status) kind get nodes --name "$name" ;;
    shell) echo "env KUBECONFIG=$kubeconfig PATH=$parts:\$PATH bash" ;;
    exec) [[ $1 != -- ]] || shift && env KUBECONFIG="$kubeconfig" PATH="$parts:$PATH" "$@" ;;
    *) fail "$verb is not possible with kind" "unset POOLWRIGHT_KIND" ;;
  esac
}

kind_nodes() {
  local count=1
  [[ ${1:-} != --nodes ]] || count=$2
  printf 'kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnodes:\n- role: control-plane\n'
  [[ $count -lt 2 ]] || printf -- '- role: worker\n'
}
