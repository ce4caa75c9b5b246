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
name=$1
settled() { ! alive "$name" || "$@"; }
begin() { # begin SECONDS WHAT CMD...: starts it and waits; what ends by itself is started again, as kubelet or systemd would
  for i in 1 2 3; do
    start "$name" "${command[@]}"
    wait_for "$1" "$2" settled "${@:3}" || break
    if alive "$name"; then return; fi
    say "$name ended by itself"
    tail -n 40 "$LOGS/$name.log" >&2
  done
  tail -n 40 "$LOGS/$name.log" >&2
  return 1
}
case $name in
  kube-apiserver) begin 60 "kube-apiserver is ready" kc get --raw /readyz ;;
  node-*.containerd) begin 20 "$name answers" "$LAB/inside.sh" "${name%.containerd}" ctr version ;;
  # Not before it has its container runtime.
  node-*.kubelet) begin 60 "$name is healthy" "$LAB/inside.sh" "${name%.kubelet}" curl -fsS http://127.0.0.1:10248/healthz ;;
  *) start "$name" "${command[@]}" ;;
esac
