#!/usr/bin/env bash
# Checks the chart with Helm 4 and Helm 3: lint, the manifests of both installs
# (cluster-wide and one namespace), that values which mean nothing are refused; and
# that the install without Helm is as the chart renders it.
#
#   chart.sh          all
#   chart.sh helm3    with Helm 3 alone
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

chart=$root/charts/poolwright
PATH=$("$cluster/parts.sh" --path "${1:-parts}"):$PATH

# kinds ARGUMENT… — what a template run renders, sorted, in one line.
kinds() {
  helm template release "$chart" --namespace poolwright --kube-version 1.34.0 --skip-tests "$@" | awk '/^kind:/ {print $2}' | sort | paste -sd' '
}

# renders EXPECTED ARGUMENT…
renders() {
  local expected=$1 got
  shift
  got=$(kinds "$@")
  [[ $got == "$expected" ]] || fail "helm template $*: rendered '$got'" "expected: '$expected'"
  say "ok: helm template $*"
}

# test_has TEXT ARGUMENT… — it is in the pod of helm test.
test_has() {
  local text=$1 pod
  shift
  pod=$(helm template release "$chart" --show-only templates/tests/test.yaml --kube-version 1.34.0 "$@")
  [[ $pod == *"$text"* ]] || fail "the pod of helm test with $* has no $text" "$pod"
  say "ok: the pod of helm test has $text"
}

# refuses ARGUMENT…
refuses() {
  ! kinds "$@" >/dev/null 2>&1 || fail "helm template $* was accepted" "expected: refused by values.schema.json"
  say "ok: refused: $*"
}

helm version --short
helm lint --strict "$chart"
renders "ClusterRole ClusterRoleBinding CustomResourceDefinition Deployment Role Role RoleBinding RoleBinding ServiceAccount"
renders "CustomResourceDefinition Deployment Role Role Role RoleBinding RoleBinding RoleBinding ServiceAccount" --set watchNamespace=apps
renders "ClusterRole ClusterRoleBinding Deployment Role Role RoleBinding RoleBinding ServiceAccount" --set crds.install=false
kinds='tenantKinds[0].apiGroup=example.com,tenantKinds[0].resource=workspaces'
renders "ClusterRole ClusterRole ClusterRoleBinding ClusterRoleBinding Deployment Role Role RoleBinding RoleBinding ServiceAccount" --set "crds.install=false,$kinds"
renders "Deployment Role Role Role Role RoleBinding RoleBinding RoleBinding RoleBinding ServiceAccount" --set "crds.install=false,watchNamespace=apps,$kinds"
renders "ClusterRole ClusterRoleBinding Deployment Role Role Role RoleBinding RoleBinding RoleBinding ServiceAccount" --set "crds.install=false,watchNamespace=apps,tenantsInAllNamespaces=true,$kinds"
renders "Deployment" --set crds.install=false,rbac.create=false,serviceAccount.create=false,serviceAccount.name=own
renders "ClusterRole ClusterRoleBinding CustomResourceDefinition Deployment NetworkPolicy Role Role RoleBinding RoleBinding ServiceAccount" --set networkPolicy.enabled=true
test_has /usr/local/bin/poolwright-operator
named=test.poolerCluster=app,test.database=app,test.user=alice,test.secret=users
test_has /usr/local/bin/poolwright-pooler --set "$named"
test_has "secretName: \"alice-tls\"" --set "$named,test.clientCertificate=alice-tls"
test_has "PGSSLROOTCERT, value: /etc/poolwright-test/ca.crt" \
  --set "$named,test.clientCertificate=alice-tls,test.sslmode=verify-full"
refuses --set test.poolerCluster=app,test.database=app,test.user=alice
refuses --set "$named,test.sslmode=verify-ca"
refuses --set "$named,test.sslmode=disable"
refuses --set image.tga=1
refuses --set replicas=0
refuses --set image.pullPolicy=Sometimes
refuses --set networkPolicy.metrics=all
refuses --set watchNamespace=Not_A_Name
refuses --set serviceAccount.create=false
refuses --set 'tenantKinds[0].resource=workspaces'
refuses --set 'tenantKinds[0].apiGroup=example.com,tenantKinds[0].resource=Workspace'
refuses --set tenantsInAllNamespaces=maybe
if [[ $# -eq 0 ]]; then
  "$root/scripts/manifest.sh" --check
  exec "$0" helm3
fi
