#!/usr/bin/env bash
# Writes a node's CNI chain; containerd reads it again by itself, and it holds for pods made after that.
#   cni.sh NODE [portmap]
set -euo pipefail
. "$(dirname "$0")/env.sh"
directory=$RUN/nodes/$1/cni
portmap=; [ "${2:-}" = portmap ] && portmap=', {"type": "portmap", "capabilities": {"portMappings": true}, "snat": true}'
mkdir -p "$directory"
cat > "$directory/.new" <<JSON
{ "cniVersion": "0.4.0", "name": "pods", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": true, "hairpinMode": true, "ipam": {"type": "host-local",
   "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": "$(node_pods "$1")"}]], "routes": [{"dst": "0.0.0.0/0"}]}}$portmap ] }
JSON
mv "$directory/.new" "$directory/10-pods.conflist"
