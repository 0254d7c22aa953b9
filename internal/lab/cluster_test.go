//go:build lab

package lab_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/internal/lab/region"
)

const (
	speed   = 30
	app     = "teei-q2q-ai"
	appNow  = "ghcr.io/henrigkroine/teei-q2q-ai:v1.0.0" // as in k8s/rollouts/canary
	appNext = "ghcr.io/henrigkroine/teei-q2q-ai:v1.0.1"
)

// cluster is one region with services, as its users see it.
type cluster struct {
	lab    *lab.Lab
	name   string
	config *rest.Config
	kube   kubernetes.Interface
	custom dynamic.Interface
}

// One lab for all of them: a lab with services takes a while to start. The last one breaks it.
func TestRegionWithServices(t *testing.T) {
	o := empty(t)
	o.Empty, o.Speed, o.Services = false, speed, []string{app}
	l := start(t, o)
	c := cluster{lab: l, name: o.Regions[0]}
	c.config = fromKubeconfig(t, l.Kubeconfig())
	c.kube, c.custom = clientsOf(t, c.config)
	t.Run("PrometheusThroughTheAPIServer", c.testPrometheusThroughTheAPIServer)
	t.Run("LogsThroughTheAPIServer", c.testLogsThroughTheAPIServer)
	t.Run("ControllerWorksWithTheManifestsRBACAlone", c.testControllerWorksWithTheManifestsRBACAlone)
	t.Run("WrongTokenIsRefused", c.testWrongTokenIsRefused)
	t.Run("KindsThatServicesBringAreTaken", c.testKindsThatServicesBringAreTaken)
	t.Run("FilesAreTheOwnersAlone", c.testFilesAreTheOwnersAlone)
	t.Run("StatusTellsWhoDied", c.testStatusTellsWhoDied)
}

func fromKubeconfig(t *testing.T, path string) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		t.Fatal(err)
	}
	return config
}

func clientsOf(t *testing.T, config *rest.Config) (kubernetes.Interface, dynamic.Interface) {
	t.Helper()
	kube, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	custom, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return kube, custom
}

// testControllerWorksWithTheManifestsRBACAlone lets the controller do most of what it can do, a canary release, and
// then reads whether it was refused anything.
func (c cluster) testControllerWorksWithTheManifestsRBACAlone(t *testing.T) {
	r, err := status(t, c.lab).Region(c.name)
	if err != nil {
		t.Fatal(err)
	}
	controller, err := r.Component(region.Rollouts)
	if err != nil {
		t.Fatal(err)
	}
	// Were it all-powerful, its log would tell nothing.
	own := fromKubeconfig(t, filepath.Join(c.lab.Dir(), "regions", c.name, "rollouts.kubeconfig"))
	kube, _ := clientsOf(t, own)
	ctx := within(t, upWithin, "a canary gets its first share of the traffic")
	for verb, want := range map[string]bool{"watch": true, "delete": false} {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: "argoproj.io", Resource: "rollouts"},
		}}
		answer, err := kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Status.Allowed != want {
			t.Errorf("the controller may %s Rollouts: %v, want %v: does it work with a ServiceAccount's token?", verb, answer.Status.Allowed, want)
		}
	}

	rollouts := c.custom.Resource(schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "rollouts"}).Namespace("default")
	patch := fmt.Appendf(nil, `[{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": %q}]`, appNext)
	if _, err := rollouts.Patch(ctx, app, types.JSONPatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	runs := c.custom.Resource(schema.GroupVersionResource{Group: "argoproj.io", Version: "v1alpha1", Resource: "analysisruns"}).Namespace("default")
	seen(t, ctx, runs, "", func(o *unstructured.Unstructured) bool { return o.GetLabels()["rollout"] == app })
	services := c.custom.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}).Namespace("default")
	seen(t, ctx, services, app+"-vsvc", func(o *unstructured.Unstructured) bool { return weightOf(o, app+"-canary") == 10 })

	log, err := os.ReadFile(controller.Log)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(log, []byte(app)) {
		t.Fatalf("%s does not speak of %s: is it the controller's log?", controller.Log, app)
	}
	for line := range bytes.Lines(log) {
		if bytes.Contains(bytes.ToLower(line), []byte("forbidden")) {
			t.Fatalf("k8s/base/argo-rollouts does not permit what the controller needs; all of it is in its log, this comes first: %s", line)
		}
	}
}

// weightOf returns the weight of a host in the first route of a VirtualService.
func weightOf(service *unstructured.Unstructured, host string) int64 {
	routes, _, _ := unstructured.NestedSlice(service.Object, "spec", "http")
	if len(routes) == 0 {
		return 0
	}
	first, _ := routes[0].(map[string]any)
	destinations, _, _ := unstructured.NestedSlice(first, "route")
	for _, d := range destinations {
		destination, _ := d.(map[string]any)
		if name, _, _ := unstructured.NestedString(destination, "destination", "host"); name == host {
			weight, _, _ := unstructured.NestedInt64(destination, "weight")
			return weight
		}
	}
	return 0
}

// seen watches the objects of a kind, or the one of that name, those that are there first, until want says so.
func seen(t *testing.T, ctx context.Context, kind dynamic.ResourceInterface, name string, want func(*unstructured.Unstructured) bool) {
	t.Helper()
	var options metav1.ListOptions
	if name != "" {
		options.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
	}
	watcher, err := kind.Watch(ctx, options)
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.Stop()
	var last any
	for event := range watcher.ResultChan() {
		last = event.Object
		if o, ok := event.Object.(*unstructured.Unstructured); ok && event.Type != watch.Deleted && want(o) {
			return
		}
	}
	t.Fatalf("the watch ended (%v); last seen: %v", context.Cause(ctx), last)
}

func statusCode(t *testing.T, ctx context.Context, method, url, authorization string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		req.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

func (c cluster) testWrongTokenIsRefused(t *testing.T) {
	content, err := os.ReadFile(filepath.Join(c.lab.Dir(), "lab.json"))
	if err != nil {
		t.Fatal(err)
	}
	var stored struct{ Control, Token string }
	if err := json.Unmarshal(content, &stored); err != nil {
		t.Fatal(err)
	}
	ctx := within(t, soon, "the control API answers")
	for _, call := range []struct{ method, path, authorization string }{
		{http.MethodGet, "/status", ""},
		{http.MethodGet, "/status", "Bearer "},
		{http.MethodGet, "/status", "Bearer " + stored.Token + "x"},
		{http.MethodGet, "/status", stored.Token},
		{http.MethodPut, "/images", "Bearer wrong"},
		{http.MethodPost, "/down", "Bearer wrong"},
		{http.MethodGet, "/nowhere", "Bearer wrong"},
	} {
		if code := statusCode(t, ctx, call.method, stored.Control+call.path, call.authorization); code != http.StatusUnauthorized {
			t.Errorf("%s %s with %q: %d, want %d", call.method, call.path, call.authorization, code, http.StatusUnauthorized)
		}
	}
	if code := statusCode(t, ctx, http.MethodGet, stored.Control+"/status", "Bearer "+stored.Token); code != http.StatusOK {
		t.Errorf("the right token: %d, want %d", code, http.StatusOK)
	}
	if state := status(t, c.lab); state.Phase != lab.PhaseReady {
		t.Errorf("the lab is %s after a wrong token was used to take it down", state.Phase)
	}
}

// extras are kinds that services may bring along. A region has no controller for some of them, but refuses none.
const extras = `
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: extra}
spec:
  scaleTargetRef: {apiVersion: argoproj.io/v1alpha1, kind: Rollout, name: teei-q2q-ai}
  minReplicas: 5
  maxReplicas: 10
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: extra}
spec: {maxUnavailable: 1, selector: {matchLabels: {app: extra}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: extra}
spec: {podSelector: {matchLabels: {app: extra}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: extra}
spec: {host: extra}
`

func (c cluster) testKindsThatServicesBringAreTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "extras.yaml")
	if err := os.WriteFile(path, []byte(extras), 0o600); err != nil {
		t.Fatal(err)
	}
	objs, err := c.lab.Manifests("", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.lab.Apply(within(t, soon, "the API server takes what services bring"), c.name, objs); err != nil {
		t.Error(err)
	}
}

// testFilesAreTheOwnersAlone: keys and tokens are in them.
func (c cluster) testFilesAreTheOwnersAlone(t *testing.T) {
	for name, want := range map[string]fs.FileMode{"": fs.ModeDir | 0o700, "lab.json": 0o600, "kubeconfig": 0o600} {
		path := filepath.Join(c.lab.Dir(), name)
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != want {
			t.Errorf("%s is %s, want %s", path, info.Mode(), want)
		}
	}
}

func (c cluster) testStatusTellsWhoDied(t *testing.T) {
	r, err := status(t, c.lab).Region(c.name)
	if err != nil {
		t.Fatal(err)
	}
	prometheus, err := r.Component(region.Prometheus)
	if err != nil {
		t.Fatal(err)
	}
	if err := prometheus.Record.Kill(); err != nil {
		t.Fatal(err)
	}
	var state lab.State
	eventually(t, within(t, soon, "the status tells that Prometheus was killed"), func() error {
		state = status(t, c.lab)
		r, err := state.Region(c.name)
		if err != nil {
			return err
		}
		now, err := r.Component(region.Prometheus)
		if err == nil && (now.State != region.StateExited || now.Error == "") {
			err = fmt.Errorf("it is %s with error %q", now.State, now.Error)
		}
		return err
	})
	if err := running(state, region.Prometheus); err != nil {
		t.Errorf("Prometheus alone was killed: %v", err)
	}
}
