#!/usr/bin/env bash
# Ends a process of the cluster and starts it again with the same arguments. Those that others depend on do their work again when this
# ends: a kubelet that finds no containerd at its start gives up, and nobody here starts it anew as systemd would.
#   restart.sh NAME [SECONDS_DOWN]     etcd, kube-apiserver, kube-controller-manager, kube-scheduler, node-1.kubelet, …
set -euo pipefail
. "$(dirname "$0")/env.sh"
[ -s "$CONF/$1.cmd" ] || die "$1 was never started"
mapfile -d '' -t command < "$CONF/$1.cmd"
# What runs in a node is a child of the recorded nsenter, which does not pass signals on.
if alive "$1" && [[ $1 = node-* ]]; then
  child=$(pgrep -P "$(cut -d' ' -f1 "$PIDS/$1")") && kill "$child"
  for i in $(seq 100); do alive "$1" || break; sleep 0.1; done
fi
# kube-apiserver would wait for its watches to end.
if [ "$1" = kube-apiserver ]; then stop "$1" KILL; else stop "$1"; fi
sleep "${2:-0}"
start "$1" "${command[@]}"
case $1 in
  kube-apiserver) wait_for 60 "kube-apiserver is ready" kc get --raw /readyz ;;
  node-*.containerd) wait_for 20 "$1 answers" "$LAB/inside.sh" "${1%.containerd}" ctr version ;;
  # Not before it has its container runtime.
  node-*.kubelet) wait_for 60 "$1 is healthy" "$LAB/inside.sh" "${1%.kubelet}" curl -fsS http://127.0.0.1:10248/healthz ;;
esac
