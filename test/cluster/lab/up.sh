#!/usr/bin/env bash
# Brings up the cluster: control plane, nodes, a client outside. Everything it needs is installed, built and made first.
#   up.sh [NODES]           1 without it, at most 9; PORTMAP=1 puts the portmap plugin into the CNI chain
set -euo pipefail
. "$(dirname "$0")/env.sh"; . "$LAB/net.sh"
t=$(now)
[ ! -e "/run/netns/$CLIENT_NS" ] || die "a cluster is up already: $LAB/down.sh ends it"
trap '[ $? = 0 ] || say "not up; logs in $LOGS, $LAB/down.sh clears away"' EXIT
mkdir -p "$RUN" "$PKI" "$LOGS" "$PIDS" "$CONF"
net_up
"$LAB/control-plane.sh"
[ -z "${KUBEBUILDER_ASSETS:-}" ] || exit 0
for i in $(seq "${1:-1}"); do "$LAB/node.sh" "node-$i" "${PORTMAP:+portmap}"; done
say "cluster up: $(since "$t")"
