#!/usr/bin/env bash
# Checks the chart: lint, the manifests of both installs (cluster-wide and one
# namespace), that values which mean nothing are refused, and that the install
# without Helm is as the chart renders it.
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

chart=$root/charts/poolwright
PATH=$("$cluster/parts.sh" --path):$PATH

# kinds ARGUMENT… — what a template run renders, sorted, in one line.
kinds() {
  helm template release "$chart" --namespace poolwright --kube-version 1.34.0 "$@" | awk '/^kind:/ {print $2}' | sort | paste -sd' '
}

# renders EXPECTED ARGUMENT…
renders() {
  local expected=$1 got
  shift
  got=$(kinds "$@")
  [[ $got == "$expected" ]] || fail "helm template $*: rendered '$got'" "expected: '$expected'"
  say "ok: helm template $*"
}

# refuses ARGUMENT…
refuses() {
  ! kinds "$@" >/dev/null 2>&1 || fail "helm template $* was accepted" "expected: refused by values.schema.json"
  say "ok: refused: $*"
}

helm lint --strict "$chart"
renders "ClusterRole ClusterRoleBinding CustomResourceDefinition Deployment Role RoleBinding ServiceAccount"
renders "CustomResourceDefinition Deployment Role Role RoleBinding RoleBinding ServiceAccount" --set watchNamespace=apps
renders "ClusterRole ClusterRoleBinding Deployment Role RoleBinding ServiceAccount" --set crds.install=false
kinds='tenantKinds[0].apiGroup=example.com,tenantKinds[0].resource=workspaces'
renders "ClusterRole ClusterRole ClusterRoleBinding ClusterRoleBinding Deployment Role RoleBinding ServiceAccount" --set "crds.install=false,$kinds"
renders "Deployment Role Role Role RoleBinding RoleBinding RoleBinding ServiceAccount" --set "crds.install=false,watchNamespace=apps,$kinds"
renders "ClusterRole ClusterRoleBinding Deployment Role Role RoleBinding RoleBinding ServiceAccount" --set "crds.install=false,watchNamespace=apps,tenantsInAllNamespaces=true,$kinds"
renders "Deployment" --set crds.install=false,rbac.create=false,serviceAccount.create=false,serviceAccount.name=own
renders "ClusterRole ClusterRoleBinding CustomResourceDefinition Deployment NetworkPolicy Role RoleBinding ServiceAccount" --set networkPolicy.enabled=true
refuses --set image.tga=1
refuses --set replicas=0
refuses --set image.pullPolicy=Sometimes
refuses --set networkPolicy.metrics=all
refuses --set watchNamespace=Not_A_Name
refuses --set serviceAccount.create=false
refuses --set 'tenantKinds[0].resource=workspaces'
refuses --set 'tenantKinds[0].apiGroup=example.com,tenantKinds[0].resource=Workspace'
refuses --set tenantsInAllNamespaces=maybe
"$root/scripts/manifest.sh" --check
