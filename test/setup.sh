#!/bin/sh
# Brings a fresh Debian or Ubuntu machine to where Berth can be built, tested and demonstrated; with the argument `bench` also
# measured against its peer, CNI portmap. Does nothing where all is there already.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'set-up: %s\n' "$*" >&2; }

[ "$(uname -s)" = Linux ] || { say "Berth runs on Linux"; exit 1; }
[ "$(id -u)" = 0 ] || { say "network namespaces and nftables need root: run this as root"; exit 1; }
command -v npm >/dev/null || { say "npm is missing: install Node.js 20 or newer with npm"; exit 1; }

# command:package
missing=
for pair in nft:nftables conntrack:conntrack ip:iproute2 curl:curl iptables:iptables iptables-nft:iptables capsh:libcap2-bin \
  setpriv:util-linux python3:python3 ss:iproute2; do
  PATH=/usr/sbin:/sbin:$PATH command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
if [ "${1-}" = bench ]; then
  # The plugin works through either iptables, which the package iptables has both.
  [ -x /usr/lib/cni/portmap ] || missing="$missing containernetworking-plugins"
  PATH=/usr/sbin:/sbin:$PATH command -v iptables-legacy >/dev/null || missing="$missing iptables"
fi
if [ -n "$missing" ]; then
  say "installing$missing"
  export DEBIAN_FRONTEND=noninteractive
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >/tmp/berth-apt.log 2>&1 ||
    { cat /tmp/berth-apt.log >&2; exit 1; }
fi

# The lock file says what belongs into node_modules; its copy in there says what is.
if ! cmp -s package-lock.json node_modules/.berth-installed; then
  say "installing the npm packages (Node 24 among them)"
  npm ci --loglevel=error >&2
  cp package-lock.json node_modules/.berth-installed
fi

npm run --silent generate >&2
