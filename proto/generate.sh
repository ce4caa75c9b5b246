#!/bin/sh
# Makes proto/generated/berth.{js,d.ts} and descriptors.ts out of the .proto files; does nothing when they are newer than everything
# they are made of. It never leaves half a file: all are written beside their place and moved.
set -eu
cd "$(dirname "$0")/.."

out=proto/generated
tool=node_modules/protobufjs-cli
sources=$(find proto -name '*.proto' | LC_ALL=C sort)

if [ -f "$out/berth.js" ] && [ -f "$out/berth.d.ts" ] && [ -f "$out/descriptors.ts" ]; then
  # shellcheck disable=SC2086 # a list of paths without spaces
  newer=$(find $sources proto/generate.sh proto/describe.ts "$tool/package.json" -newer "$out/berth.js")
  [ -n "$newer" ] || exit 0
fi

node=node_modules/.bin/node
[ -x "$node" ] || node=node

mkdir -p "$out"
new=$(mktemp -d "$out/.new.XXXXXX")
trap 'rm -rf "$new"' EXIT
# What differs from another package by its name alone needs no code of its own, only its description.
coded=$(printf '%s\n' "$sources" | grep -v /v1alpha/)
# --dependency: the runtime as longs.ts has set it.
# --alt-comment carries the // comments over to the types. What is left out is what only reflection and JSON need.
# shellcheck disable=SC2086
"$node" "$tool/bin/pbjs" -t static-module -w esm --dts --alt-comment --force-number --dependency ../longs.ts \
  --no-create --no-verify --no-convert --no-delimited --no-typeurl \
  -p proto -o "$new/berth.js" $coded
# shellcheck disable=SC2086
"$node" proto/describe.ts "$new/descriptors.ts" $sources
# The skip above looks at berth.js: it comes last.
mv "$new/berth.d.ts" "$out/berth.d.ts"
mv "$new/descriptors.ts" "$out/descriptors.ts"
mv "$new/berth.js" "$out/berth.js"
