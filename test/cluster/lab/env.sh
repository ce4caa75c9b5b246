# Settings and helpers of the cluster's scripts (sourced, bash).
LAB=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/berth-cluster
BIN=$CACHE/bin                              # Kubernetes' programs
IMAGES=$CACHE/images                        # archives that every node imports
RUN=$CACHE/run                              # all state: certificates, etcd's data, logs, records of processes
PKI=$RUN/pki LOGS=$RUN/log PIDS=$RUN/pid CONF=$RUN/conf
export KUBECONFIG=$RUN/admin.kubeconfig

# One network of namespaces: the control plane and the nodes are joined to a bridge of the client, "somebody outside".
NET=10.90.0
CLIENT_NS=berth-client CLIENT_IP=$NET.100
CONTROL_NS=berth-control CONTROL_IP=$NET.10
SERVICES=10.96.0.0/16 PODS=10.244.0.0/16
node_ip() { echo "$NET.${1#node-}"; }       # node-1 is 10.90.0.1
node_pods() { echo "10.244.${1#node-}.0/24"; }
node_ns() { echo "berth-$1"; }

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1fs", b - a }'; }
say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "ERROR: $*"; exit 1; }

# within NAMESPACE CMD...: nsenter, not `ip netns exec`, which remounts /sys and so hides the cgroups from kubelet.
within() { local ns=$1; shift; nsenter --net="/run/netns/$ns" "$@"; }
kc() { within "$CONTROL_NS" kubectl --kubeconfig "$KUBECONFIG" "$@"; }

# A process is known by pid and start time: a number that the kernel gave to somebody else is never signalled.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
alive() { # alive NAME
  local pid at; [ -s "$PIDS/$1" ] || return 1; read -r pid at < "$PIDS/$1"
  [ -n "$at" ] && [ "$(started_at "$pid")" = "$at" ] || return 1
  # The first thread may have ended and others not: they still hold the ports.
  ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null || [ "$(ls "/proc/$pid/task" 2>/dev/null | wc -l)" -gt 1 ]
}
start() { # start NAME NAMESPACE CMD...: in the background, in a session of its own; restart.sh can repeat it
  local name=$1 ns=$2 pid i; shift 2
  alive "$name" && die "$name runs already"
  mkdir -p "$PIDS" "$LOGS" "$CONF"
  printf '%s\0' "$ns" "$@" > "$CONF/$name.cmd"
  # bash -> setsid -> nsenter -> program by exec, so that $$ is the program's pid
  setsid bash -c 'echo $$ > "$0.new"; exec "$@"' "$PIDS/$name" nsenter --net="/run/netns/$ns" "$@" >> "$LOGS/$name.log" 2>&1 < /dev/null &
  disown
  for i in $(seq 100); do [ -s "$PIDS/$name.new" ] && break; sleep 0.02; done
  pid=$(cat "$PIDS/$name.new"); rm -f "$PIDS/$name.new"
  echo "$pid $(started_at "$pid")" > "$PIDS/$name"
}
stop() { # stop NAME [SIGNAL]: then SIGKILL after 10 s
  local pid at i; [ -s "$PIDS/$1" ] || return 0
  if alive "$1"; then
    read -r pid at < "$PIDS/$1"; kill -"${2:-TERM}" "$pid" 2>/dev/null
    for i in $(seq 100); do alive "$1" || break; sleep 0.1; done
    alive "$1" && { say "$1 ignores SIGTERM"; kill -KILL "$pid" 2>/dev/null; }
  fi
  rm -f "$PIDS/$1"
}
wait_for() { # wait_for SECONDS WHAT CMD...
  local end=$((SECONDS + $1)) what=$2; shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || { say "timed out: $what"; return 1; }
    sleep 0.2
  done
}
