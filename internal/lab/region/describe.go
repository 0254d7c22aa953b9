// Package region is one cluster on this machine, from real parts: etcd, kube-apiserver, kube-controller-manager, the
// Argo Rollouts controller and Prometheus as processes, the node and the mesh in this one. Describe says what would
// run, as data; Start runs it.
package region

import (
	"fmt"
	"path/filepath"

	"tidegate.io/tidegate/internal/lab/build"
	"tidegate.io/tidegate/internal/lab/proc"
)

// The processes of a region, in the order in which they start.
const (
	Etcd              = "etcd"
	APIServer         = "kube-apiserver"
	ControllerManager = "kube-controller-manager"
	Rollouts          = "rollouts-controller"
	Prometheus        = "prometheus"
)

// Addresses of the lab's own, out of the range that it gives to pods (see the node). An EndpointSlice refuses loopback.
const (
	apiIP        = "198.18.0.1"
	prometheusIP = "198.18.0.2"
)

const (
	serviceCIDR    = "10.96.0.0/16"
	rolloutsNS     = "argo-rollouts" // namespace and ServiceAccount of k8s/base/argo-rollouts
	prometheusPort = 9090            // of the Service monitoring/prometheus-server
)

// Config is everything that a region's description depends on.
type Config struct {
	Name     string // such as us-west
	Dir      string // absolute; the region's own folder
	Binaries build.Binaries
	Ports    Ports
	PKI      PKI
	Tokens   Tokens
}

// Tokens are the bearer tokens that the API server knows. Every one of them is all-powerful in its region: they are
// apart so that the API server's log tells who did what.
type Tokens struct {
	Admin             string // the user's
	Lab               string // node, mesh and set-up
	ControllerManager string
	Prometheus        string
}

// Description is a region as data: files to write below the region's folder, and processes to run once they are there.
type Description struct {
	Files     []File
	Processes map[string]proc.Spec // by name
}

// File is a file to write, for its owner alone. Path is relative to the region's folder.
type File struct {
	Path    string
	Content []byte
}

// Server is the URL of the region's API server.
func (c Config) Server() string { return fmt.Sprintf("https://127.0.0.1:%d", c.Ports.API) }

// URL is the URL of an HTTP server of the lab on a loopback port.
func URL(port int) string { return fmt.Sprintf("http://127.0.0.1:%d", port) }

func (c Config) path(elem ...string) string {
	return filepath.Join(append([]string{c.Dir}, elem...)...)
}

// LogPath is the file that a process of the region writes its output to.
func (c Config) LogPath(name string) string { return c.path(logsDir, name+".log") }

// Describe says what the region consists of. It touches nothing.
func Describe(c Config) (Description, error) {
	files, err := c.files()
	if err != nil {
		return Description{}, fmt.Errorf("describe region %s: %w", c.Name, err)
	}
	d := Description{Files: files, Processes: map[string]proc.Spec{}}
	for _, spec := range []proc.Spec{
		{Name: Etcd, Path: c.Binaries.Etcd, Args: c.etcdArgs()},
		{Name: APIServer, Path: c.Binaries.APIServer, Args: c.apiServerArgs()},
		{Name: ControllerManager, Path: c.Binaries.ControllerManager, Args: c.controllerManagerArgs()},
		{Name: Rollouts, Path: c.Binaries.Rollouts, Args: c.rolloutsArgs(), Env: c.rolloutsEnv()},
		{Name: Prometheus, Path: c.Binaries.Prometheus, Args: c.prometheusArgs()},
	} {
		spec.Dir, spec.Log = c.Dir, c.LogPath(spec.Name)
		d.Processes[spec.Name] = spec
	}
	return d, nil
}
