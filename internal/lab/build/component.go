package build

import (
	"fmt"
	"strings"
)

// The components by the names of their executables.
const (
	etcd               = "etcd"
	apiServer          = "kube-apiserver"
	controllerManager  = "kube-controller-manager"
	rolloutsController = "rollouts-controller"
	kubectl            = "kubectl"
	kubectlArgo        = "kubectl-argo-rollouts"
	prometheus         = "prometheus"
)

// module is one set of pins, and what one run of go build makes of it.
type module struct {
	name  string
	pin   pin
	tools []tool
	tags  string // build tags, separated by commas
	stamp string // linker's -X flags that tell the programs their versions
}

// tool is one component.
type tool struct {
	name   string // of the component and its executable
	path   string // of its main package
	module string // that the package belongs to, as the pins name it
	built  string // what go build calls it; "" is name
}

// modules are two because Prometheus wants newer libraries of Kubernetes than Kubernetes itself.
func modules() []module {
	const (
		argo = "github.com/argoproj/argo-rollouts"
		k8s  = "k8s.io/kubernetes"
		prom = "github.com/prometheus/prometheus"
	)
	kubernetesPin, prometheusPin := readPin("kubernetes"), readPin("prometheus")
	return []module{
		{
			name: "kubernetes",
			pin:  kubernetesPin,
			tools: []tool{
				{name: etcd, path: "go.etcd.io/etcd/server/v3", module: "go.etcd.io/etcd/server/v3", built: "server"},
				{name: apiServer, path: k8s + "/cmd/kube-apiserver", module: k8s},
				{name: controllerManager, path: k8s + "/cmd/kube-controller-manager", module: k8s},
				{name: kubectl, path: k8s + "/cmd/kubectl", module: k8s},
				{name: rolloutsController, path: argo + "/cmd/rollouts-controller", module: argo},
				{name: kubectlArgo, path: argo + "/cmd/kubectl-argo-rollouts", module: argo},
			},
			stamp: kubernetesStamp(kubernetesPin.versions[k8s]) +
				" -X " + argo + "/utils/version.version=" + strings.TrimPrefix(kubernetesPin.versions[argo], "v"),
		},
		{
			name:  "prometheus",
			pin:   prometheusPin,
			tools: []tool{{name: prometheus, path: prom + "/cmd/prometheus", module: prom}},
			tags:  "netgo,remove_all_sd,enable_kubernetes_sd", // every other service discovery doubles its size
			stamp: "-X github.com/prometheus/common/version.Version=" +
				strings.TrimPrefix(release(prom, prometheusPin.versions[prom]), "v"),
		},
	}
}

// kubernetesStamp gives what a release build would: without it the API server calls itself v0.0.0-master, and clients
// that look at its version misbehave.
func kubernetesStamp(version string) string {
	const at = "-X k8s.io/component-base/version."
	var major, minor int
	// A pin that does not scan fails TestVersions.
	_, _ = fmt.Sscanf(version, "v%d.%d.", &major, &minor)
	return fmt.Sprintf("%[1]sgitVersion=%[2]s %[1]sgitMajor=%[3]d %[1]sgitMinor=%[4]d %[1]sgitTreeState=clean",
		at, version, major, minor)
}

// Version is the pinned version of one component.
type Version struct {
	Component string `json:"component"` // the name of its executable
	Version   string `json:"version"`   // as its project calls the release, such as v1.34.4
}

// Versions returns what this binary pins. A component that is provided instead of built may be of another version.
func Versions() []Version {
	var all []Version
	for _, m := range modules() {
		for _, t := range m.tools {
			all = append(all, Version{t.name, release(t.module, m.pin.versions[t.module])})
		}
	}
	return all
}

// release turns a module's version into the name of the release: Prometheus 3.16.0 is module v0.316.0, since a v3 would
// have to be part of every import path.
func release(module, version string) string {
	var minor, patch int
	if module != "github.com/prometheus/prometheus" {
		return version
	}
	if n, err := fmt.Sscanf(version, "v0.%d.%d", &minor, &patch); n != 2 || err != nil || minor < 300 {
		return version
	}
	return fmt.Sprintf("v%d.%d.%d", minor/100, minor%100, patch)
}
