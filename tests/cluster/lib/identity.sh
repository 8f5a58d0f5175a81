# shellcheck shell=bash
# Keys, certificates and kubeconfigs of one cluster. They live as long as the
# state folder and are good for nothing else.

openssl_quiet() { openssl "$@" 2>>"$state/log/openssl.log"; }

new_key() { openssl_quiet ecparam -name prime256v1 -genkey -noout -out "$1"; }

make_authority() {
  new_key "$state/pki/ca.key"
  openssl_quiet req -x509 -new -key "$state/pki/ca.key" -days 30 -subj "/CN=poolwright-$name" -out "$state/pki/ca.crt"
  new_key "$state/pki/service-accounts.key"
  openssl_quiet pkey -in "$state/pki/service-accounts.key" -pubout -out "$state/pki/service-accounts.pub"
}

# issue FILE SUBJECT EXTENSIONS
issue() {
  local base=$state/pki/$1
  new_key "$base.key"
  openssl_quiet req -new -key "$base.key" -subj "$2" -out "$base.csr"
  openssl_quiet x509 -req -in "$base.csr" -CA "$state/pki/ca.crt" -CAkey "$state/pki/ca.key" -CAcreateserial \
    -days 30 -extfile <(printf '%s\n' "$3") -out "$base.crt"
}

issue_server() {
  local names="DNS:localhost,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc"
  names+=",DNS:kubernetes.default.svc.cluster.local,IP:127.0.0.1,IP:$service_prefix.0.1,IP:$(node_address 1)"
  issue apiserver /CN=kube-apiserver "$(printf 'extendedKeyUsage=serverAuth\nsubjectAltName=%s' "$names")"
}

# client FILE USER GROUP — a certificate and a kubeconfig that holds it.
client() {
  issue "$1" "/O=$3/CN=$2" extendedKeyUsage=clientAuth
  write_kubeconfig "$1" "$state/etc/$1.kubeconfig"
}

write_kubeconfig() {
  cat >"$2" <<EOF
apiVersion: v1
kind: Config
clusters:
- name: $name
  cluster:
    server: https://$(node_address 1):6443
    certificate-authority-data: $(base64 -w0 "$state/pki/ca.crt")
users:
- name: $1
  user:
    client-certificate-data: $(base64 -w0 "$state/pki/$1.crt")
    client-key-data: $(base64 -w0 "$state/pki/$1.key")
contexts:
- name: $name
  context: {cluster: $name, user: $1}
current-context: $name
EOF
  chmod 600 "$2"
}

make_identities() {
  make_authority
  issue_server
  client apiserver-to-kubelet apiserver-to-kubelet system:masters
  client admin admin system:masters
  client controllers system:kube-controller-manager system:controllers
  client scheduler system:kube-scheduler system:schedulers
  client proxy system:kube-proxy system:proxies
  client dns coredns system:masters
  cp "$state/etc/admin.kubeconfig" "$kubeconfig"
}

make_node_identity() { client "kubelet-$1" "system:node:$(node_name "$1")" system:nodes; }
