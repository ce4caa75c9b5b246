#!/usr/bin/env bash
# Everything that must be there before up.sh: packages, Kubernetes, images. What is there already is not made again, but for
# the images, which hold the agent of this working tree.
set -euo pipefail
. "$(dirname "$0")/env.sh"
"$LAB/packages.sh"
[ -z "${KUBEBUILDER_ASSETS:-}" ] || exit 0
"$LAB/build.sh"
t=$(now)
rm -rf "$IMAGES"
"$LAB/../../../node_modules/.bin/node" "$LAB/../images/make.ts" "$IMAGES"
say "images made: $(since "$t")"
