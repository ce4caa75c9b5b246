#!/usr/bin/env bash
# Installs the Debian packages that the cluster is made of and built with. Does nothing where all are there.
set -euo pipefail
. "$(dirname "$0")/env.sh"
packages=(ca-certificates conntrack containerd containernetworking-plugins curl etcd-client etcd-server file gcc iproute2 iptables jq
  libc6-dev nftables openssl procps runc socat)
# A kubectl newer than Debian's (1.20) may be there already, and so may a Go.
command -v kubectl >/dev/null || packages+=(kubernetes-client)
command -v busybox >/dev/null || packages+=(busybox-static)
built=1; for p in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do [ -x "$BIN/$p" ] || built=; done
[ -n "$built${KUBEBUILDER_ASSETS:-}" ] || command -v go >/dev/null || packages+=(golang-go)
missing=(); for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -gt 0 ] || exit 0
say "installing ${missing[*]}"
t=$(now); log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
# Policy 101 keeps packages from starting services of their own: the cluster starts what it needs, in its namespaces.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then printf '#!/bin/sh\nexit 101\n' > $policy; chmod +x $policy; trap 'rm -f $policy' EXIT; fi
{ apt-get update -qq && apt-get install -y -qq --no-install-recommends "${missing[@]}"; } > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
rm -f "$log"
say "packages installed: $(since "$t")"
