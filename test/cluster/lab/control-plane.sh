#!/usr/bin/env bash
# Starts etcd and kube-apiserver, then DNS, kube-controller-manager and kube-scheduler, in a namespace of their own.
# With KUBEBUILDER_ASSETS, a directory with etcd and kube-apiserver of another release, these two run and nothing else:
# enough for all that only asks the API. Ends with down.sh.
set -euo pipefail
. "$(dirname "$0")/env.sh"; . "$LAB/pki.sh"; . "$LAB/net.sh"
t=$(now)
control_plane_pki
net_join "$CONTROL_NS" "$CONTROL_IP"
etcd=etcd apiserver=$BIN/kube-apiserver more=(--feature-gates=BoundServiceAccountTokenVolume=true)
if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  # Nothing makes default service accounts or tokens for pods there, and no pod runs.
  etcd=$KUBEBUILDER_ASSETS/etcd apiserver=$KUBEBUILDER_ASSETS/kube-apiserver more=(--disable-admission-plugins=ServiceAccount)
fi

start etcd "$CONTROL_NS" "$etcd" --name berth --data-dir "$RUN/etcd" --logger zap --log-level warn \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
  --initial-cluster berth=http://127.0.0.1:2380
start kube-apiserver "$CONTROL_NS" "$apiserver" \
  --etcd-servers=http://127.0.0.1:2379 --bind-address=0.0.0.0 --secure-port=6443 --advertise-address="$CONTROL_IP" \
  --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" --client-ca-file="$PKI/ca.crt" \
  --kubelet-client-certificate="$PKI/kubelet-client.crt" --kubelet-client-key="$PKI/kubelet-client.key" \
  --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP,Hostname \
  --requestheader-client-ca-file="$PKI/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
  --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
  --requestheader-extra-headers-prefix=X-Remote-Extra- \
  --proxy-client-cert-file="$PKI/front-proxy.crt" --proxy-client-key-file="$PKI/front-proxy.key" \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-account-signing-key-file="$PKI/sa.key" --service-account-key-file="$PKI/sa.pub" \
  --service-cluster-ip-range="$SERVICES" "${more[@]}"
wait_for 60 "kube-apiserver is ready" kc get --raw /readyz || { tail -20 "$LOGS/kube-apiserver.log" >&2; exit 1; }
if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then say "API server up: $(since "$t")"; exit 0; fi
start dns "$CONTROL_NS" "$LAB/../../../node_modules/.bin/node" "$LAB/dns.ts" "$CONTROL_IP" "$KUBECONFIG"

# nodeipam sleeps 10 s at its start and is not needed: each node has a fixed subnet.
start kube-controller-manager "$CONTROL_NS" "$BIN/kube-controller-manager" \
  --kubeconfig="$CONF/controllers.kubeconfig" --authentication-kubeconfig="$CONF/controllers.kubeconfig" \
  --authorization-kubeconfig="$CONF/controllers.kubeconfig" --bind-address=127.0.0.1 --port=0 --cert-dir="$RUN/controllers" \
  --leader-elect=false --controllers='*,-nodeipam' --use-service-account-credentials=true \
  --service-account-private-key-file="$PKI/sa.key" --root-ca-file="$PKI/ca.crt" \
  --cluster-signing-cert-file="$PKI/ca.crt" --cluster-signing-key-file="$PKI/ca.key" --service-cluster-ip-range="$SERVICES" "${more[@]}"
start kube-scheduler "$CONTROL_NS" "$BIN/kube-scheduler" --kubeconfig="$CONF/scheduler.kubeconfig" \
  --authentication-kubeconfig="$CONF/scheduler.kubeconfig" --authorization-kubeconfig="$CONF/scheduler.kubeconfig" \
  --bind-address=127.0.0.1 --port=0 --cert-dir="$RUN/scheduler" --leader-elect=false
wait_for 60 "the default service account is made" kc -n default get serviceaccount default ||
  { tail -20 "$LOGS/kube-controller-manager.log" >&2; exit 1; }
say "control plane up: $(since "$t")"
