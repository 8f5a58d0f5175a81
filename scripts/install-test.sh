#!/usr/bin/env bash
# Checks the ways to install on the running cluster: with Helm 4 and Helm 3 the
# chart with its own CRDs, from install over upgrade and rollback to uninstall,
# which keeps CRDs and PoolerClusters; CRDs as plain files before and after the
# chart; one namespace only; without Helm. All pods run where Pod Security takes
# only restricted ones. Prints a sentence for each check.
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
declare -A helms=([3]=$("$cluster/parts.sh" --path helm3)/helm [4]=$("$cluster/parts.sh" --path)/helm)
helm=${helms[4]}

kubectl() { "$cluster/cluster.sh" exec -- kubectl --request-timeout 30s "$@"; }
helm() { "$cluster/cluster.sh" exec -- "$helm" --namespace "$release" "$@"; }
is_helm() { helm version --short | grep -q "^v$1\."; }

# restricted NAMESPACE — makes one that takes only pods that Pod Security calls restricted.
restricted() {
  kubectl apply --filename - <<EOF
{"apiVersion": "v1", "kind": "Namespace",
 "metadata": {"name": "$1", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
EOF
}

install() {
  restricted "$release" || return
  helm upgrade --install "$release" "$root/charts/poolwright" --create-namespace --wait --timeout 90s \
    --set "image.repository=${image%:*},image.tag=${image##*:},image.pullPolicy=IfNotPresent" "$@"
}

uninstall() { helm uninstall "$release" --wait --timeout 60s; }
# kubectl wait fails at once at a CRD that has no conditions yet.
established() { eventually 20 kubectl wait --for=condition=Established "crd/$crd" --timeout 20s; }
apply_crds() { kubectl apply --filename "$root/crds/poolerclusters.yaml" && established; }
delete_crds() { kubectl delete "crd/$crd" --ignore-not-found --wait --timeout 30s; }
example() { kubectl --namespace "$release" apply --filename "$root/examples/smallest.yaml"; }
operator_ready() { kubectl --namespace "$release" rollout status "deployment/$release" --timeout 60s; }
has_condition() { kubectl --namespace "$release" get poolercluster app -o 'jsonpath={.status.conditions[*].type}' | grep -q Ready; }

own_crds() { install && example; }
tested() { helm test "$release" --timeout 60s; }
has_level() { kubectl --namespace "$release" get deployment "$release" --output yaml | grep -A1 'name: RUST_LOG' | grep -qw "$1"; }
upgraded() { install --reuse-values --set logLevel=debug && has_level debug; }
rolled_back() { helm rollback "$release" --wait --timeout 90s && has_level info; }
kept() { kubectl get "crd/$crd" && kubectl --namespace "$release" get poolercluster app; }
has_pod() { kubectl --namespace "$release" get pods --output name | grep /app-; }
has_no_pod() { ! has_pod; }
with_pods() { kubectl --namespace "$release" create secret generic users --from-literal=alice=secret && eventually 30 has_pod; }
without_crd() { delete_crds && eventually 60 has_no_pod && kubectl --namespace "$release" delete secret users; }
crd_back() { apply_crds && example && eventually 60 has_condition; }
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
plain_install() { restricted poolwright && plain "$1" apply && plain_ready; }
plain_answers() { restricted "$release" && example && answered; }
plain_clean() { plain overlays/high-availability delete --ignore-not-found --wait --timeout=90s && unclaim; }
stands_by() { kubectl --namespace poolwright get deployment poolwright -o 'jsonpath={.status.readyReplicas}' | grep -qx 2; }

# The next install is another, which would wait until the claim of this one runs out.
unclaim() { kubectl --namespace default delete lease poolwright-cluster-claim --ignore-not-found; }

clean() {
  uninstall || true
  kubectl delete namespace "$release" --ignore-not-found --wait --timeout 90s
  unclaim
  delete_crds
}

# A release's life with the Helm of this number.
life() {
  local n=$1
  helm=${helms[$n]}
  check "Helm $n is Helm $n" is_helm "$n"
  check "Helm $n installs the chart with its own CRDs" own_crds
  check "and the operator answers a PoolerCluster" answered
  check "helm test finds the operator well" says " leads" tested
  check "an upgrade changes the operator" upgraded
  check "a rollback changes it back" rolled_back
  check "uninstalling works" uninstall
  check "the CRD and the PoolerCluster stay" kept
  check "the chart installs again over the CRD that it left" install
}

clean >/dev/null 2>&1 || true
life 3
check "everything can be removed" clean
life 4
check "every example is accepted by the API server" each_example
check "everything can be removed" clean
check "CRDs as plain files come first, then the chart" crds_first
check "and are removed again" clean
check "the chart comes first, then CRDs as plain files" chart_first
check "and are removed once more" clean
check "an operator for one namespace works" confined
check "and has no right elsewhere" no_cluster_rights
check "poolers run" with_pods
check "the CRD is deleted under the operator, and every pooler goes" without_crd
check "it serves PoolerClusters again when the CRD is back" crd_back
check "and is removed" clean
check "the manifest installs without Helm" plain_install base
check "and its operator answers a PoolerCluster" plain_answers
check "an overlay changes the image in both places" plain_install overlays/own-registry
check "an overlay has a second operator stand by" plain_install overlays/high-availability
check "and it is ready" eventually 30 stands_by
check "the manifest is removed" plain_clean
check "in the end nothing is left" clean
summary
