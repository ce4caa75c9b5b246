#!/usr/bin/env bash
# Builds Kubernetes 1.20.2, the newest whose complete source Debian ships, from Debian's source archive; later releases there
# are cut down to kubectl. Done once: what lies in the cache is not built again. Static binaries, no C compiler needed.
#   build.sh [kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy]
set -euo pipefail
. "$(dirname "$0")/env.sh"
VERSION='1.20.5+really1.20.2'
SHA256=b83c0780efb182d928dc63d46488a847f161f04e40a94b96bf5247dd671ecdfc
export GOPATH=$CACHE/gopath GOCACHE=$CACHE/gocache GO111MODULE=off CGO_ENABLED=0   # Go >= 1.16 rejects this go.mod: GOPATH mode
# Time, not memory: the compiler collects its garbage seldom, and writes nothing for a debugger.
export GOGC=400 GOFLAGS=-gcflags=all=-dwarf=false
TREE=$GOPATH/src/k8s.io/kubernetes
programs=("$@"); [ $# -gt 0 ] || programs=(kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)

missing=(); for p in "${programs[@]}"; do [ -x "$BIN/$p" ] || missing+=("$p"); done
[ ${#missing[@]} -gt 0 ] || exit 0
mkdir -p "$BIN" "$TREE"
step() { local t=$SECONDS what=$1; shift; "$@"; say "$what: $((SECONDS - t))s"; }

if [ ! -e "$TREE/go.mod" ]; then
  # The source archive lies beside the binary package, on whatever mirror apt is set up with.
  pool() { apt-get download --print-uris kubernetes-client 2>/dev/null | sed -n "s|^'\(.*/pool/.*/k/kubernetes\)/.*|\1|p" | tail -1; }
  [ -n "$(pool)" ] || apt-get update -qq
  archive=$CACHE/kubernetes.tar.gz
  step "download Kubernetes" curl -fsS --retry 3 -o "$archive" "$(pool)/kubernetes_${VERSION//+/%2B}.orig.tar.gz"
  echo "$SHA256  $archive" | sha256sum --check --quiet >&2
  step "unpack Kubernetes" tar -xzf "$archive" -C "$TREE" --strip-components=1
  rm -f "$archive"
fi
cd "$TREE"

# The vendored reflect2 1.0.1 knows the layout of maps before Go 1.18 only: the API server would die of SIGSEGV at the first
# custom resource. Debian's package has 1.0.2.
reflect2=vendor/github.com/modern-go/reflect2
if [ ! -e $reflect2/go_above_118.go ]; then
  scratch=$(mktemp -d)
  (cd "$scratch" && apt-get download -qq golang-github-modern-go-reflect2-dev 2>/dev/null && dpkg-deb -x ./*.deb x)
  rm -rf $reflect2
  cp -r "$scratch/x/usr/share/gocode/src/github.com/modern-go/reflect2" $reflect2
  rm -rf "$scratch"
fi

# pkg/generated/openapi is the one generated package that upstream does not commit. This is what `make generated_files` does
# for it: run openapi-gen over every package tagged +k8s:openapi-gen.
generated=pkg/generated/openapi/zz_generated.openapi.go
if [ ! -s $generated ]; then
  step "build openapi-gen" go build -o "$CACHE/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
  packages=$({
    find -L vendor/k8s.io \( -path vendor/k8s.io/code-generator -o -path vendor/k8s.io/sample-apiserver \) -prune -o -name '*.go' -print
    find cmd pkg plugin test cluster -name '*.go'
  } | { xargs grep -l '^// *+k8s:openapi-gen=' || true; } | xargs -n1 dirname | LC_ALL=C sort -u | sed 's|^|k8s.io/kubernetes/|' | paste -sd,)
  step "run openapi-gen" "$CACHE/openapi-gen" --logtostderr -i "$packages" -p k8s.io/kubernetes/pkg/generated/openapi \
    -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt -r "$CACHE/violations.report"
fi

# Without the version, kubelet and clients see v0.0.0-master+$Format.
flags='-s -w'
for package in component-base/version client-go/pkg/version; do
  at=k8s.io/kubernetes/vendor/k8s.io/$package
  flags="$flags -X $at.gitVersion=v1.20.2 -X $at.gitMajor=1 -X $at.gitMinor=20 -X $at.gitTreeState=archive -X $at.buildDate=2021-01-13T00:00:00Z"
done
# Upstream's own tags for a build without clouds and without Docker: 40 % less source.
step "build ${missing[*]}" go build -tags 'providerless dockerless' -ldflags "$flags" -o "$BIN/" "${missing[@]/#/./cmd/}"
cd /
# The sources and the build cache are two gigabytes that nobody needs again.
all=1; for p in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy; do [ -x "$BIN/$p" ] || all=; done
if [ -n "$all" ]; then rm -rf "$GOPATH" "$GOCACHE" "$CACHE/openapi-gen" "$CACHE/violations.report"; fi
