#!/bin/sh
# Refreshes the pins after a change of versions in a go.mod.pin: go mod tidy, in a folder of its own.
#
#   edit */go.mod.pin (the k8s.io replacements move together), then: sh update.sh
set -eu
cd "$(dirname "$0")"
for pin in kubernetes prometheus; do
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	cp "$pin/go.mod.pin" "$work/go.mod"
	cp "$pin/go.sum.pin" "$work/go.sum"
	(cd "$work" && GOWORK=off GOFLAGS=-mod=mod GOTOOLCHAIN=auto go mod tidy)
	cp "$work/go.mod" "$pin/go.mod.pin"
	cp "$work/go.sum" "$pin/go.sum.pin"
	rm -rf "$work"
done
