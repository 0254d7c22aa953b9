package region

import (
	"bytes"
	"fmt"
	"io/fs"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/lab/apply"
)

// Base is what every region holds before any workload. It is read once for all of them.
type Base struct {
	stored  []record                     // CustomResourceDefinitions, as an API server keeps them
	objects []*unstructured.Unstructured // of the Argo Rollouts installation
	late    []*unstructured.Unstructured // what the API server takes only once it is ready
}

// monitoring gives Prometheus the address that analysis templates and dashboards know it by. There is a Pod object for
// it because the API server's services/proxy forwards to nothing but pods; no node runs it.
const monitoring = `
apiVersion: v1
kind: Namespace
metadata: {name: monitoring}
---
apiVersion: v1
kind: Service
metadata: {name: prometheus-server, namespace: monitoring}
spec:
  selector: {app: prometheus-server}
  ports: [{name: http, port: 9090}]
---
apiVersion: v1
kind: Pod
metadata: {name: prometheus-server, namespace: monitoring, labels: {app: prometheus-server}}
spec:
  nodeName: lab
  terminationGracePeriodSeconds: 0 # no kubelet would confirm its end
  containers:
  - {name: prometheus, image: prom/prometheus, ports: [{name: http, containerPort: 9090}]}
`

// ReadBase reads the lab's part of a tree laid out as k8s/: the Argo Rollouts installation and the CRDs of Istio. The
// controller's Deployment stays out, since the controller runs as a process here.
func ReadBase(tree fs.FS) (Base, error) {
	objs, err := apply.Read(bytes.NewReader([]byte(monitoring)))
	if err != nil {
		return Base{}, fmt.Errorf("monitoring: %w", err)
	}
	more, err := ReadTree(tree, "base/argo-rollouts", "components/istio-crds")
	if err != nil {
		return Base{}, err
	}
	var b Base
	for _, obj := range append(objs, more...) {
		switch obj.GetKind() {
		case "CustomResourceDefinition":
			r, err := established(obj, time.Now())
			if err != nil {
				return Base{}, err
			}
			b.stored = append(b.stored, r)
		case "Deployment", "PodDisruptionBudget":
		case "Service", "Pod":
			b.late = append(b.late, obj)
		default:
			b.objects = append(b.objects, obj)
		}
	}
	return b, nil
}
