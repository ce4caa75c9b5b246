#!/usr/bin/env bash
# Ends and removes everything that up.sh made; with --keep the state stays, for a look or another up.sh.
#   down.sh [--keep]
set -uo pipefail
. "$(dirname "$0")/env.sh"; . "$LAB/net.sh"
t=$(now)
for node in "$RUN"/nodes/*/; do [ ! -d "$node" ] || "$LAB/node-stop.sh" "$(basename "$node")"; done
for name in kube-scheduler kube-controller-manager dns kube-apiserver etcd; do stop "$name"; done
net_leave "$CONTROL_NS"; net_leave "$CLIENT_NS"
[ ! -s "$RUN/sysctls" ] || { while IFS= read -r line; do sysctl -qw "$line" 2>/dev/null; done < "$RUN/sysctls"; rm -f "$RUN/sysctls"; }
[ "${1:-}" = --keep ] || rm -rf "$RUN"
say "cluster down: $(since "$t")"
exit 0
