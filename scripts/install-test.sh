#!/usr/bin/env bash
# Checks the ways to install on the running cluster: the chart with its own CRDs,
# CRDs as plain files before and after the chart, one namespace only, and that
# uninstalling keeps CRDs and PoolerClusters. Prints a sentence for each check.
#
#   install-test.sh IMAGE:TAG
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=../tests/cluster/lib/check.sh
source "$cluster/lib/check.sh"

image=$1
release=poolwright-install
crd=poolerclusters.poolwright.dev

kubectl() { "$cluster/cluster.sh" exec -- kubectl --request-timeout 30s "$@"; }
helm() { "$cluster/cluster.sh" exec -- helm --namespace "$release" "$@"; }

install() {
  helm upgrade --install "$release" "$root/charts/poolwright" --create-namespace --wait --timeout 90s \
    --set "image.repository=${image%:*},image.tag=${image##*:},image.pullPolicy=IfNotPresent" "$@"
}

uninstall() { helm uninstall "$release" --wait --timeout 60s; }
apply_crds() { kubectl apply --filename "$root/crds/poolerclusters.yaml" && kubectl wait --for=condition=Established "crd/$crd" --timeout 20s; }
delete_crds() { kubectl delete "crd/$crd" --ignore-not-found --wait --timeout 30s; }
example() { kubectl --namespace "$release" apply --filename "$root/examples/smallest.yaml"; }
operator_ready() { kubectl --namespace "$release" rollout status "deployment/$release" --timeout 60s; }
has_condition() { kubectl --namespace "$release" get poolercluster app -o 'jsonpath={.status.conditions[*].type}' | grep -q Ready; }

own_crds() { install && example; }
kept() { kubectl get "crd/$crd" && kubectl --namespace "$release" get poolercluster app; }
answered() { eventually 30 has_condition; }
crds_first() { apply_crds && install --set crds.install=false && example && answered; }
chart_first() {
  install --set crds.install=false --wait=false && sleep 2 && apply_crds && operator_ready && example && answered
}
confined() { install --set "watchNamespace=$release" && example && answered; }

no_cluster_rights() {
  local who="system:serviceaccount:$release:$release"
  [[ $(kubectl auth can-i list secrets --namespace default --as "$who" || true) == no ]]
}

each_example() {
  local file
  for file in "$root"/examples/*.yaml; do kubectl apply --dry-run=server --filename "$file" || return; done
}

# The install without Helm, with the image under test.
plain() {
  kubectl kustomize "$root/deploy/$1" | sed "s#\(registry.example/\)\?poolwright:0.1.0#$image#" | kubectl "$2" --filename - "${@:3}"
}
plain_ready() { kubectl --namespace poolwright rollout status deployment/poolwright --timeout 90s; }
plain_install() { plain "$1" apply && plain_ready; }
plain_answers() { kubectl create namespace "$release" && example && answered; }
plain_clean() { plain overlays/high-availability delete --ignore-not-found --wait --timeout=90s; }
stands_by() { kubectl --namespace poolwright get deployment poolwright -o 'jsonpath={.status.readyReplicas}' | grep -qx 2; }

clean() {
  uninstall || true
  kubectl delete namespace "$release" --ignore-not-found --wait --timeout 90s
  delete_crds
}

clean >/dev/null 2>&1 || true
check "the chart installs with its own CRDs" own_crds
check "the operator answers a PoolerCluster" answered
check "every example is accepted by the API server" each_example
check "uninstalling works" uninstall
check "the CRD and the PoolerCluster stay" kept
check "the chart installs again over the CRD that it left" install
check "everything can be removed" clean
check "CRDs as plain files come first, then the chart" crds_first
check "and are removed again" clean
check "the chart comes first, then CRDs as plain files" chart_first
check "and are removed once more" clean
check "an operator for one namespace works" confined
check "and has no right elsewhere" no_cluster_rights
check "and is removed" clean
check "the manifest installs without Helm" plain_install base
check "and its operator answers a PoolerCluster" plain_answers
check "an overlay changes the image in both places" plain_install overlays/own-registry
check "an overlay has a second operator stand by" plain_install overlays/high-availability
check "and it is ready" eventually 30 stands_by
check "the manifest is removed" plain_clean
check "in the end nothing is left" clean
summary
