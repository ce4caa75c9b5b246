#!/usr/bin/env bash
# Runs a command in a node, as somebody logged in there would.
#   inside.sh NODE CMD...
set -euo pipefail
. "$(dirname "$0")/env.sh"
node=$1; shift
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
alive "$node" || die "$node is not up"
exec nsenter --net="/run/netns/$(node_ns "$node")" nsenter --target "$(pgrep -P "$(cut -d' ' -f1 "$PIDS/$node")")" --mount --pid --uts --ipc "$@"
