#!/bin/sh
# Installs what some tests are left out without: the shells zsh and fish, Python's gRPC, and Prometheus (which is only unpacked). A
# machine that checks everything needs it; nobody else does.
set -eu
cd "$(dirname "$0")/.."
missing=
for package in zsh fish python3-grpcio python3-grpc-tools; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
  echo "installing$missing" >&2
  export DEBIAN_FRONTEND=noninteractive
  log=$(mktemp)
  { apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
  rm -f "$log"
fi
sh test/prometheus.sh >/dev/null
