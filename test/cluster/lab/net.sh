# Network namespaces (sourced after env.sh). The client's has the bridge that all others are joined to.
net_up() {
  ip netns add "$CLIENT_NS"
  ip -n "$CLIENT_NS" link set lo up
  ip -n "$CLIENT_NS" link add lan type bridge
  ip -n "$CLIENT_NS" addr add "$CLIENT_IP/24" dev lan
  ip -n "$CLIENT_NS" link set lan up
}
net_join() { # net_join NAMESPACE ADDRESS
  ip netns add "$1"
  ip -n "$1" link add eth0 type veth peer name "to-${1#berth-}" netns "$CLIENT_NS"
  ip -n "$CLIENT_NS" link set "to-${1#berth-}" master lan up
  ip -n "$1" addr add "$2/24" dev eth0
  ip -n "$1" link set lo up
  ip -n "$1" link set eth0 up
  ip -n "$1" route add default via "$CLIENT_IP"      # kubelet looks for a default route
  ip -n "$1" route add unreachable 169.254.0.0/16    # kubelet 1.20 asks a cloud's metadata address: fail at once
}
net_leave() { # net_leave NAMESPACE
  [ ! -e "/run/netns/$1" ] || ip netns del "$1"
}
