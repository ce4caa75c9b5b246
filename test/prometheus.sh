#!/bin/sh
# Fetches Debian's Prometheus (the server and promtool) for the tests that try it, and prints the directory of its programs. Nothing
# is installed, and no service starts: the package is only unpacked. Done once.
set -eu
cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth-prometheus
if [ ! -x "$cache/usr/bin/promtool" ]; then
  new=$(mktemp -d)
  trap 'rm -rf "$new"' EXIT
  (cd "$new" && { apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }; } >&2)
  mkdir -p "$cache"
  dpkg-deb -x "$new"/prometheus_*.deb "$cache"
fi
echo "$cache/usr/bin"
