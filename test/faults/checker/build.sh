#!/bin/bash
# Prints the path of the checker's binary, building it when it is missing. It is kept outside the checkout under a key of
# what goes into it.
set -eu
cd "$(dirname "$0")"
command -v go >/dev/null || { echo "test/faults/checker: needs Go >= 1.24 (golang.org, or Debian's backports)" >&2; exit 1; }
key=$(cat go.mod go.sum main.go build.sh <(go env GOVERSION GOARCH) | sha256sum | cut -c1-16)
out=${XDG_CACHE_HOME:-$HOME/.cache}/krake-checker/checker-$key
if [ ! -x "$out" ]; then
	mkdir -p "$(dirname "$out")"
	part=$out.$$
	CGO_ENABLED=0 go build -mod=readonly -buildvcs=false -trimpath -o "$part" . >&2
	mv "$part" "$out"
fi
echo "$out"
