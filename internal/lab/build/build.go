// Package build makes the lab's components (etcd, the API server, the controllers, Prometheus) from Go modules at
// pinned versions: nothing is downloaded but modules, each checked against a go.sum that travels in this binary.
//
// What was built is cached under a hash of everything that went into it: the pins, the command line, the platform and
// the version of Go. A folder in the cache is whole or not there at all, whoever was killed when.
package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Options say where to build and what need not be built. DefaultOptions reads them from the environment.
type Options struct {
	// Cache is the folder that keeps what was built, about 540 MB.
	Cache string
	// Assets, if not empty, is a folder of binaries named as in Components: those found are used, the rest is built.
	Assets string
	// Kubebuilder is a folder such as setup-envtest makes: etcd, kube-apiserver and kubectl are taken from it where
	// Assets has none. It need not exist: other tools want the variable too.
	Kubebuilder string
	// Progress, if not nil, is told what goes on. It is called from one goroutine at a time and holds up the build.
	Progress func(Event)
}

// DefaultOptions returns the user's own cache, and the overrides in TIDEGATE_LAB_ASSETS and KUBEBUILDER_ASSETS.
func DefaultOptions() (Options, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return Options{}, fmt.Errorf("find the user's cache folder: %w", err)
	}
	return Options{
		Cache:       filepath.Join(cache, "tidegate", "components"),
		Assets:      os.Getenv(assetsKey),
		Kubebuilder: os.Getenv("KUBEBUILDER_ASSETS"),
	}, nil
}

// Binaries are the paths of the components' executables, all absolute.
type Binaries struct {
	Etcd              string `json:"etcd"`
	APIServer         string `json:"apiServer"`
	ControllerManager string `json:"controllerManager"`
	Rollouts          string `json:"rollouts"`
	Kubectl           string `json:"kubectl"`
	KubectlArgo       string `json:"kubectlArgo"`
	Prometheus        string `json:"prometheus"`
}

// Ensure returns the components, and builds those that are neither provided nor cached: minutes of both cores the
// first time, milliseconds after that. Calls at the same time, in any process, wait for one another. When ctx ends
// the build is killed and nothing of it is left but what Go keeps in its own caches.
func Ensure(ctx context.Context, opts Options) (Binaries, error) {
	paths, err := newBuilder(opts, modules()).ensure(ctx)
	if err != nil {
		return Binaries{}, err
	}
	return Binaries{
		Etcd: paths[etcd], APIServer: paths[apiServer], ControllerManager: paths[controllerManager],
		Rollouts: paths[rolloutsController], Kubectl: paths[kubectl], KubectlArgo: paths[kubectlArgo],
		Prometheus: paths[prometheus],
	}, nil
}
