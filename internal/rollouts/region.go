// Package rollouts drives one rollout in one region: it observes, patches and verifies. It is the only importer of Argo's
// types. It writes with patches alone: an update by a typed client would drop the fields it does not know.
package rollouts

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

var (
	rolloutsGVR        = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}
	analysisRunsGVR    = schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "analysisruns"}
	replicaSetsGVR     = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	servicesGVR        = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	virtualServicesGVR = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1beta1", Resource: "virtualservices"}
)

// Region is one rollout in one region.
type Region struct {
	Name      string
	namespace string
	rollout   string
	client    dynamic.Interface
}

// New returns the driver of namespace/rollout in the cluster behind cfg. It makes no request.
func New(name string, cfg *rest.Config, namespace, rollout string) (*Region, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS, cfg.Burst = 100, 200 // a rollback must not queue behind our own reads
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", name, err)
	}
	return &Region{Name: name, namespace: namespace, rollout: rollout, client: client}, nil
}

func (r *Region) noun() string { return fmt.Sprintf("%s/%s", r.Name, r.rollout) }
