//go:build lab

package rig

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/gomodule"
)

// crd is a kind that the manifests use and no lab has of itself, as its own project ships it.
type crd struct {
	module gomodule.Module
	file   string // in the module
	name   string
}

var crds = []crd{
	{
		gomodule.Module{Path: "github.com/prometheus-operator/prometheus-operator", Version: "v0.85.0", Sum: "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="},
		"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml", "servicemonitors.monitoring.coreos.com",
	},
	{
		gomodule.Module{Path: "sigs.k8s.io/gateway-api", Version: "v1.4.1", Sum: "h1:NPxFutNkKNa8UfLd2CMlEuhIPMQgDQ6DXNKG9sHbJU8="},
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
		module, err := c.module.Fetch(ctx)
		if err != nil {
			t.Fatal(err)
		}
		// Server-side: the descriptions do not fit into the annotation of the other way.
		if _, err := f.Shell(ctx, "kubectl apply --server-side -f "+filepath.Join(module.Dir, c.file)); err != nil {
			t.Fatal(errors.Join(err, context.Cause(ctx)))
		}
		// Not with kubectl, whose wait takes a CRD that has no conditions yet for a broken one.
		if err := follow(ctx, f.Clients[f.Lab.Regions()[0]].Resource(crdsGVR), c.name, established); err != nil {
			t.Fatalf("waiting for CRD %s to be established: %v", c.name, err)
		}
	}
}

func established(crd *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
	return strings.Contains(fmt.Sprint(conditions), "status:True type:Established")
}
