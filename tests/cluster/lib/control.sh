# shellcheck shell=bash
# The control plane on node 1: etcd, the API server with its audit log, the
# controllers, the scheduler, and the cluster's DNS. All of it listens only
# inside node 1's network namespace.

kube() { "$parts/kubectl" --kubeconfig "$state/etc/admin.kubeconfig" --request-timeout 5s "$@"; }
kube_in() { in_node 1 "$parts/kubectl" --kubeconfig "$state/etc/admin.kubeconfig" --request-timeout 5s "$@"; }

# The data is thrown away with the cluster, so etcd need not wait for the disk.
start_etcd() {
  spawn 1 etcd "$parts/etcd" --name "$name" --data-dir "$state/data/etcd" --unsafe-no-fsync --log-level warn \
    --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
    --listen-peer-urls http://127.0.0.1:2380
}

# What `up` was asked for: a controller to leave out, a namespace whose reads count.
without=
audit_reads=

reads_rule() {
  [[ -z $audit_reads ]] || echo "- {level: Metadata, userGroups: ['system:serviceaccounts:$audit_reads']}"
}

# Writes only, without their bodies: enough to tell who wrote what, and when.
write_audit_policy() {
  cat >"$state/etc/audit-policy.yaml" <<EOF
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
$(reads_rule)
- level: None
EOF
}

start_apiserver() {
  local pki=$state/pki
  write_audit_policy
  spawn 1 apiserver "$parts/kubernetes" kube-apiserver \
    --etcd-servers http://127.0.0.1:2379 --secure-port 6443 --advertise-address "$(node_address 1)" \
    --service-cluster-ip-range "$service_range" --authorization-mode Node,RBAC --allow-privileged \
    --enable-admission-plugins NodeRestriction --client-ca-file "$pki/ca.crt" \
    --tls-cert-file "$pki/apiserver.crt" --tls-private-key-file "$pki/apiserver.key" \
    --service-account-issuer https://kubernetes.default.svc.cluster.local \
    --service-account-key-file "$pki/service-accounts.pub" \
    --service-account-signing-key-file "$pki/service-accounts.key" \
    --kubelet-client-certificate "$pki/apiserver-to-kubelet.crt" \
    --kubelet-client-key "$pki/apiserver-to-kubelet.key" --kubelet-preferred-address-types InternalIP \
    --audit-log-path "$state/audit.log" --audit-log-maxsize 4096 --audit-policy-file "$state/etc/audit-policy.yaml" --audit-log-mode blocking
}

start_controllers() {
  # Where it takes part in an election, it ends when the API server is away for long, and has a new
  # look at the nodes after that. This one stays, and would take them for lost: it gets more patience.
  spawn 1 controllers "$parts/kubernetes" kube-controller-manager --kubeconfig "$state/etc/controllers.kubeconfig" \
    --controllers "*${without:+,-$without}" \
    --leader-elect=false --node-monitor-grace-period 2m \
    --bind-address 127.0.0.1 --use-service-account-credentials \
    --service-account-private-key-file "$state/pki/service-accounts.key" --root-ca-file "$state/pki/ca.crt" \
    --cluster-signing-cert-file "$state/pki/ca.crt" --cluster-signing-key-file "$state/pki/ca.key"
}

start_scheduler() {
  spawn 1 scheduler "$parts/kubernetes" kube-scheduler --kubeconfig "$state/etc/scheduler.kubeconfig" \
    --leader-elect=false --bind-address 127.0.0.1
}

# Names for servers outside Kubernetes go into $state/dns/hosts; CoreDNS reads
# the file anew within a second.
start_dns() {
  local address
  address=$(node_address 1)
  echo "$address postgres.poolwright.test" >"$state/dns/hosts"
  cat >"$state/etc/Corefile" <<EOF
. {
  bind $address
  errors
  ready $address:8181
  hosts $state/dns/hosts {
    ttl 5
    reload 1s
    fallthrough
  }
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $state/etc/dns.kubeconfig
    ttl 5
  }
}
EOF
  spawn 1 dns "$parts/coredns" -conf "$state/etc/Corefile"
}

api_ready() { daemon_up apiserver kube_in get --raw /readyz; }

start_control() {
  start_etcd
  start_apiserver
  wait_until 60 "the API server's start" "$state/log/apiserver.log" api_ready
  say "the API server answers"
  start_controllers
  start_scheduler
  start_dns
}
