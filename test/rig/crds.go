//go:build lab

package rig

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// crd is a kind that the manifests use and no lab has of itself, as its own project ships it.
type crd struct {
	module, sum string // a Go module at its version, and what go.sum would say of it
	file        string // in the module
	name        string
}

var crds = []crd{
	{
		"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml", "servicemonitors.monitoring.coreos.com",
	},
	{
		"sigs.k8s.io/gateway-api@v1.4.1", "h1:NPxFutNkKNa8UfLd2CMlEuhIPMQgDQ6DXNKG9sHbJU8=",
		"config/crd/standard/gateway.networking.k8s.io_httproutes.yaml", "httproutes.gateway.networking.k8s.io",
	},
}

// ServeEveryKind gives the lab's first region the kinds of others that the manifests use: it validates their objects then,
// and does nothing else with them.
func (f *Fleet) ServeEveryKind(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 5*time.Minute, errors.New("the CRDs were not there within 5 minutes"))
	defer cancel()
	for _, c := range crds {
		file, err := c.fetch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		// Server-side: the descriptions do not fit into the annotation of the other way.
		script := fmt.Sprintf("kubectl apply --server-side -f %s && kubectl wait --for=condition=Established --timeout=60s crd/%s", file, c.name)
		if _, err := f.Shell(ctx, script); err != nil {
			t.Fatal(errors.Join(err, context.Cause(ctx)))
		}
	}
}

// fetch returns the path of the CRD, in the module cache.
func (c crd) fetch(ctx context.Context) (string, error) {
	download := exec.CommandContext(ctx, "go", "mod", "download", "-json", c.module)
	download.Dir = os.TempDir() // outside of this module: nothing of it is a dependency of ours
	out, err := download.Output()
	var got struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(out, &got); jsonErr != nil || err != nil {
		return "", fmt.Errorf("download %s: %w %s", c.module, errors.Join(err, jsonErr), got.Error)
	}
	if got.Sum != c.sum {
		return "", fmt.Errorf("download %s: its sum is %s, want %s", c.module, got.Sum, c.sum)
	}
	return filepath.Join(got.Dir, c.file), nil
}
