#!/usr/bin/env sh
# Take a rollout back to its last good version, in all regions at once. All the work is done by 'tidegate rollback'.
#
#   emergency-rollback.sh [-n ns] [-c context] [-r region:context,…] ROLLOUT REASON
set -eu
tidegate=$(command -v "${TIDEGATE:-tidegate}" || command -v "$(dirname "$0")/../../bin/tidegate") || {
  echo "emergency-rollback.sh: no tidegate in PATH: run 'make build' in the checkout, or set TIDEGATE to the binary" >&2
  exit 1
}
exec "$tidegate" rollback "$@"
