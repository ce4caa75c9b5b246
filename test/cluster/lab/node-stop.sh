#!/usr/bin/env bash
# Pulls a node's plug: its first process is killed, and with it every process, mount and network device of the node. /var stays.
#   node-stop.sh NODE
set -uo pipefail
. "$(dirname "$0")/env.sh"; . "$LAB/net.sh"
node=$1 ns=$(node_ns "$1")
stop "$node" KILL # unshare --kill-child: the node's first process gets the signal too
for part in kube-proxy kubelet containerd; do
  for i in $(seq 100); do alive "$node.$part" || break; sleep 0.1; done
  stop "$node.$part"
done
net_leave "$ns"
cgroups() { find /sys/fs/cgroup/"$ns" /sys/fs/cgroup/*/"$ns" -depth -type d 2>/dev/null; }
for i in $(seq 50); do # a cgroup goes when its last process is gone for good
  [ -n "$(cgroups)" ] || break
  cgroups | while read -r c; do rmdir "$c" 2>/dev/null; done
  sleep 0.1
done
exit 0
