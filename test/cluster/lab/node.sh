#!/usr/bin/env bash
# Starts a node: a machine of its own as far as the kernel has namespaces for it (network, mounts, processes, host name, IPC).
# /var is a directory that survives a reboot, /run does not. Its first process is recorded; when that ends, everything of the
# node ends with it, as when the power goes.
#   node.sh NODE [portmap]
set -euo pipefail
. "$(dirname "$0")/env.sh"; . "$LAB/pki.sh"; . "$LAB/net.sh"
node=$1 t=$(now) ns=$(node_ns "$1") home=$RUN/nodes/$1
alive "$node" && die "$node runs already"
mkdir -p "$home/var/lib/kubelet/manifests" "$home/cni" "$LOGS"
ln -sfn /run "$home/var/run"; mkdir -p "$home/var/tmp" "$home/var/log"
node_pki "$node"
# kubelet sets these for the whole machine; down.sh puts them back.
[ -s "$RUN/sysctls" ] || for key in vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops kernel.keys.root_maxkeys \
  kernel.keys.root_maxbytes; do echo "$key=$(sysctl -n $key)"; done > "$RUN/sysctls"

net_join "$ns" "$(node_ip "$node")"
within "$ns" sysctl -qw net.ipv4.ip_forward=1
for peer in "$RUN"/nodes/*/; do # the pods of the other nodes, which came up before or come back after a reboot
  peer=$(basename "$peer"); [ "$peer" != "$node" ] || continue
  ip -n "$ns" route replace "$(node_pods "$peer")" via "$(node_ip "$peer")"
  [ ! -e "/run/netns/$(node_ns "$peer")" ] || ip -n "$(node_ns "$peer")" route replace "$(node_pods "$node")" via "$(node_ip "$node")"
done

# The init process reaps what is orphaned to it. tmpfs over /run keeps sockets, locks and pods' namespaces of two nodes apart.
start "$node" "$ns" unshare --mount --pid --fork --kill-child --uts --ipc --mount-proc --propagation private bash -c '
  hostname "$1"; mount --make-rshared /
  mount -t tmpfs -o mode=755 tmpfs /run; mkdir -p /run/lock /run/containerd; mount --bind "$2/var" /var
  : > /run/booted; while :; do sleep 3600 & wait; done' init "$node" "$home"
# unshare is the recorded process, its only child the first one of the node.
first() { pgrep -P "$(cut -d' ' -f1 "$PIDS/$node")"; }
booted() { local pid; pid=$(first) && [ -n "$pid" ] && [ -e "/proc/$pid/root/run/booted" ]; }
wait_for 10 "$node boots" booted
inside=(nsenter --target "$(first)" --mount --pid --uts --ipc)

"$LAB/cni.sh" "$node" "${2:-}"
cat > "$CONF/$node.containerd.toml" <<TOML
version = 2
oom_score = 0
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "berth-test/pause:1"
  restrict_oom_score_adj = true   # lowering it needs CAP_SYS_RESOURCE, which not every machine gives
  disable_apparmor = true
  tolerate_missing_hugetlb_controller = true
  disable_hugetlb_controller = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$home/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
TOML
start "$node.containerd" "$ns" "${inside[@]}" containerd --config "$CONF/$node.containerd.toml" --log-level info
wait_for 20 "containerd of $node" "${inside[@]}" ctr version || { tail "$LOGS/$node.containerd.log" >&2; exit 1; }
for archive in "$IMAGES"/*.tar; do
  "${inside[@]}" ctr -n k8s.io images import "$archive" >> "$LOGS/$node.import.log" 2>&1 || die "import of $archive: $(tail -1 "$LOGS/$node.import.log")"
done

# All cgroups of the node under one of its own: in every hierarchy of version 1, or in the one of version 2.
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mkdir -p "/sys/fs/cgroup/$ns"
  for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo "+$c" > /sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true; done
else
  for c in /sys/fs/cgroup/*/; do
    case $c in */unified/) continue ;; esac
    mkdir -p "$c/$ns"
    [ ! -e "$c/cpuset.cpus" ] || { cat "$c/cpuset.cpus" > "$c/$ns/cpuset.cpus"; cat "$c/cpuset.mems" > "$c/$ns/cpuset.mems"; }
  done
fi
: > "$CONF/resolv.conf"   # of pods that do not want the cluster's DNS
cat > "$CONF/$node.kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: cgroupfs
cgroupRoot: /$ns
failSwapOn: false
oomScoreAdj: 0
healthzBindAddress: 127.0.0.1
readOnlyPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/$node-server.crt
tlsPrivateKeyFile: $PKI/$node-server.key
resolvConf: $CONF/resolv.conf
clusterDNS: [$CONTROL_IP]
clusterDomain: cluster.local
volumePluginDir: /var/lib/kubelet/volumeplugins
staticPodPath: /var/lib/kubelet/manifests
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
nodeStatusUpdateFrequency: 1s
# ConfigMaps arrive by a watch; a volume is written again at the next sync.
syncFrequency: 10s
kubeAPIQPS: 50
kubeAPIBurst: 100
YAML
# --containerd is where cAdvisor looks; with a wrong one it waits 5 s at its start
start "$node.kubelet" "$ns" "${inside[@]}" "$BIN/kubelet" --config="$CONF/$node.kubelet.yaml" --kubeconfig="$CONF/$node.kubeconfig" \
  --cert-dir=/var/lib/kubelet/pki --hostname-override="$node" --node-ip="$(node_ip "$node")" --container-runtime=remote \
  --container-runtime-endpoint=unix:///run/containerd/containerd.sock --image-service-endpoint=unix:///run/containerd/containerd.sock \
  --containerd=/run/containerd/containerd.sock --v=2 --feature-gates=BoundServiceAccountTokenVolume=true

# conntrack's limits cannot be set in a namespace
cat > "$CONF/$node.kube-proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: iptables
clientConnection: {kubeconfig: $CONF/kube-proxy.kubeconfig}
clusterCIDR: $PODS
hostnameOverride: $node
oomScoreAdj: 0
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
start "$node.kube-proxy" "$ns" "${inside[@]}" "$BIN/kube-proxy" --config="$CONF/$node.kube-proxy.yaml" --v=2

ready() { # and said so by this kubelet: after a reboot the old status is still there
  local said
  said=$(kc get node "$node" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.conditions[?(@.type=="Ready")].lastHeartbeatTime}') &&
    [ "${said% *}" = True ] && [ "$(date -d "${said#* }" +%s)" -gt "${t%.*}" ]
}
wait_for 60 "$node is Ready" ready || { tail -30 "$LOGS/$node.kubelet.log" >&2; exit 1; }
say "$node Ready: $(since "$t")"
