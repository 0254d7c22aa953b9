// Package k8s is what Tidegate installs: the folders that `kubectl apply -k` reads, carried inside the binary too, so
// that a cluster set up by hand and one set up by the lab run the same manifests.
package k8s

import "embed"

// FS holds base, components, overlays and rollouts under the paths that they have below k8s/.
//
//go:embed base components overlays rollouts
var FS embed.FS
