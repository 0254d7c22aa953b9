#!/usr/bin/env sh
# Carry an image through the regions, one after the other. All the work is done by 'tidegate rollout'.
#
#   coordinated-rollout.sh [-n ns] [-o region:context,…] [-t timeout] [-a wait] ROLLOUT IMAGE
set -eu
tidegate=$(command -v "${TIDEGATE:-tidegate}" || command -v "$(dirname "$0")/../../bin/tidegate") || {
  echo "coordinated-rollout.sh: no tidegate in PATH: run 'make build' in the checkout, or set TIDEGATE to the binary" >&2
  exit 1
}
exec "$tidegate" rollout "$@"
