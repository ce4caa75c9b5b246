#!/usr/bin/env bash
# The cluster tests: brings a cluster up, runs them one file at a time, takes it down again, whatever happens.
#   run.sh [FILES]         KEEP=1 leaves the cluster up
# With KUBECONFIG set the tests run against that cluster; those that need machines of their own to break are skipped.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
# Not node_modules/.bin: a package of npm has a program nft there.
export PATH="/usr/sbin:/sbin:$PATH"
if [ -z "${KUBECONFIG:-}" ]; then
  "$here/lab/setup.sh" || exit 1
  [ -n "${KEEP:-}" ] || trap '"$here/lab/down.sh"' EXIT
  trap 'exit 130' INT TERM
  if [ ! -e /run/netns/berth-client ]; then "$here/lab/up.sh" "${NODES:-2}" || exit 1; fi
fi
node_modules/.bin/node node_modules/.bin/ava --config ava.cluster.config.js "$@"
