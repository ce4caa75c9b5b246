# Certificates and kubeconfigs, made once for a state directory (sourced after env.sh).
authority() { # authority NAME
  [ -s "$PKI/$1.crt" ] && return
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj "/CN=$1" \
    -keyout "$PKI/$1.key" -out "$PKI/$1.crt" -addext basicConstraints=critical,CA:TRUE \
    -addext keyUsage=critical,keyCertSign,cRLSign,digitalSignature 2>/dev/null
}
certificate() { # certificate NAME SUBJECT USAGE [ALTERNATIVE_NAMES] [AUTHORITY]
  local ca=${5:-ca}
  [ -s "$PKI/$1.crt" ] && return
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "$2" -keyout "$PKI/$1.key" -out "$PKI/$1.csr" 2>/dev/null
  {
    echo "basicConstraints=critical,CA:FALSE"
    echo "keyUsage=critical,digitalSignature,keyEncipherment"
    echo "extendedKeyUsage=$3"
    [ -z "${4:-}" ] || echo "subjectAltName=$4"
  } > "$PKI/$1.ext"
  openssl x509 -req -in "$PKI/$1.csr" -CA "$PKI/$ca.crt" -CAkey "$PKI/$ca.key" -CAcreateserial -days 3650 -sha256 \
    -extfile "$PKI/$1.ext" -out "$PKI/$1.crt" 2>/dev/null
  rm -f "$PKI/$1.csr" "$PKI/$1.ext"
}
kubeconfig() { # kubeconfig FILE CERTIFICATE
  cat > "$1" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: berth, cluster: {server: "https://$CONTROL_IP:6443", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}}]
users: [{name: $2, user: {client-certificate-data: $(base64 -w0 "$PKI/$2.crt"), client-key-data: $(base64 -w0 "$PKI/$2.key")}}]
contexts: [{name: berth, context: {cluster: berth, user: $2}}]
current-context: berth
YAML
  chmod 600 "$1"
}
control_plane_pki() {
  mkdir -p "$PKI" "$CONF"
  authority ca; authority front-proxy-ca
  local names=localhost,kubernetes,kubernetes.default,kubernetes.default.svc,kubernetes.default.svc.cluster.local
  certificate apiserver "/CN=kube-apiserver" serverAuth "DNS:${names//,/,DNS:},IP:127.0.0.1,IP:${SERVICES%.*}.1,IP:$CONTROL_IP"
  certificate kubelet-client "/O=system:masters/CN=kube-apiserver-kubelet-client" clientAuth
  certificate front-proxy "/CN=front-proxy-client" clientAuth "" front-proxy-ca
  certificate admin "/O=system:masters/CN=admin" clientAuth
  certificate controllers "/CN=system:kube-controller-manager" clientAuth
  certificate scheduler "/CN=system:kube-scheduler" clientAuth
  certificate kube-proxy "/CN=system:kube-proxy" clientAuth
  if [ ! -s "$PKI/sa.key" ]; then
    openssl genrsa -out "$PKI/sa.key" 2048 2>/dev/null
    openssl rsa -in "$PKI/sa.key" -pubout -out "$PKI/sa.pub" 2>/dev/null
  fi
  kubeconfig "$KUBECONFIG" admin
  local user; for user in controllers scheduler kube-proxy; do kubeconfig "$CONF/$user.kubeconfig" "$user"; done
}
node_pki() { # node_pki NODE
  certificate "$1" "/O=system:nodes/CN=system:node:$1" clientAuth
  certificate "$1-server" "/O=system:nodes/CN=system:node:$1" serverAuth "DNS:$1,IP:$(node_ip "$1"),IP:127.0.0.1"
  kubeconfig "$CONF/$1.kubeconfig" "$1"
}
