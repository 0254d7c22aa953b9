package k8s_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// service is a row of the platform's table of services.
type service struct {
	name, container string
	port, replicas  int32
	latency         []string // in seconds, below which p50, p95 and p99 must be; nil for those of an API
	check           func(*testing.T, service, fleet)
	// blue/green
	before, after []string // gates, around the switch
	delay         int32    // seconds from the gates before the switch to the switch; 0 for as long as somebody takes
	scaleDown     int32    // seconds
	// canary
	gates    []string // at each weight, and in the background
	weights  []int32
	pause    time.Duration
	byHand   bool // after the last gate
	byWeight bool // a step wants as many requests a minute as its weight has percent
}

func services() []service {
	model := []string{"0.4", "0.8", "1.6"}
	return []service{
		{
			name: "teei-api-gateway", container: "api-gateway", port: 3000, replicas: 3, check: checkBlueGreen, scaleDown: 300,
			before: []string{"smoke-test"}, after: []string{"success-rate", "latency"},
		},
		{
			name: "teei-reporting", container: "reporting", port: 3014, replicas: 3, latency: model, check: checkBlueGreen, scaleDown: 600,
			before: []string{"genai-smoke"}, after: []string{"genai-token", "success-rate", "latency"},
		},
		{
			name: "teei-corp-cockpit-astro", container: "corp-cockpit", port: 4321, replicas: 3, check: checkBlueGreen, scaleDown: 300, delay: 600,
			before: []string{"visual-regression", "smoke-test"}, after: []string{"success-rate", "latency", "web-vitals"},
		},
		{
			name: "teei-q2q-ai", container: "q2q-ai", port: 3005, replicas: 5, latency: model, check: checkCanary,
			weights: []int32{10, 25, 50}, pause: 5 * time.Minute, gates: []string{"success-rate", "latency", "ai-quality", "genai-token"},
		},
		{
			name: "teei-analytics", container: "analytics", port: 3011, replicas: 5, latency: []string{"1", "2", "4"}, check: checkCanary,
			weights: []int32{5, 20, 50}, pause: 10 * time.Minute, byWeight: true,
			gates: []string{"success-rate", "latency", "clickhouse-performance"},
		},
		{
			name: "teei-data-residency", container: "data-residency", port: 3013, replicas: 5, check: checkCanary, byHand: true,
			weights: []int32{5, 15, 30, 60}, pause: 15 * time.Minute, byWeight: true,
			gates: []string{"gdpr-compliance", "success-rate", "latency"},
		},
	}
}

// fleet is everything under k8s/rollouts, decoded.
type fleet struct {
	rollouts  map[string]rollouts.Rollout
	templates map[string]rollouts.AnalysisTemplate
	services  map[string]corev1.Service
	budgets   map[string]policyv1.PodDisruptionBudget
	routes    map[string]virtualService
}

func loadFleet(t *testing.T) fleet {
	t.Helper()
	var objects []object
	for _, dir := range []string{"analysis", "blue-green", "canary"} {
		objects = append(objects, build(t, "rollouts/"+dir)...)
	}
	return fleet{
		rollouts:  all[rollouts.Rollout](t, objects, "Rollout"),
		templates: all[rollouts.AnalysisTemplate](t, objects, "AnalysisTemplate"),
		services:  all[corev1.Service](t, objects, "Service"),
		budgets:   all[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget"),
		routes:    all[virtualService](t, objects, "VirtualService"),
	}
}

func TestRolloutsAreAsSpecified(t *testing.T) {
	f := loadFleet(t)
	for _, s := range services() {
		t.Run(s.name, func(t *testing.T) {
			r, ok := f.rollouts[s.name]
			if !ok {
				t.Fatal("no such Rollout")
			}
			if got := value(r.Spec.Replicas); got != s.replicas {
				t.Errorf("replicas: %v, want %d", got, s.replicas)
			}
			checkPods(t, s, r)
			checkWayBack(t, r)
			checkBudget(t, f.budgets[s.name], r)
			s.check(t, s, f)
		})
	}
	if len(f.rollouts) != len(services()) {
		t.Errorf("%d Rollouts, the table has %d", len(f.rollouts), len(services()))
	}
}

// The lab selects by it what belongs to a service, and so may anybody.
func TestEveryObjectSaysWhoseItIs(t *testing.T) {
	for _, dir := range []string{"rollouts/blue-green", "rollouts/canary", "overlays/gateway-api/rollouts", "overlays/production/rollouts"} {
		for _, o := range build(t, dir) {
			if o.Kind == "AnalysisTemplate" {
				continue // everybody's
			}
			if !slices.ContainsFunc(services(), func(s service) bool { return s.name == o.Labels["app"] }) ||
				!strings.HasPrefix(o.Name, o.Labels["app"]) || o.Labels["app.kubernetes.io/part-of"] != "teei-csr" {
				t.Errorf("%s: %s %s has the labels %v", dir, o.Kind, o.Name, o.Labels)
			}
		}
	}
}

func checkPods(t *testing.T, s service, r rollouts.Rollout) {
	t.Helper()
	template := r.Spec.Template
	if len(template.Spec.Containers) != 1 {
		t.Fatalf("containers: %v", template.Spec.Containers)
	}
	c := template.Spec.Containers[0]
	if c.Name != s.container || !strings.HasPrefix(c.Image, "ghcr.io/henrigkroine/"+s.name+":v") {
		t.Errorf("container %s, image %s", c.Name, c.Image)
	}
	if diff := cmp.Diff([]corev1.ContainerPort{{Name: "http", ContainerPort: s.port}}, c.Ports); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	wantScrape := map[string]string{
		"prometheus.io/scrape": "true", "prometheus.io/path": "/metrics", "prometheus.io/port": strconv.Itoa(int(s.port)),
	}
	if template.Labels["app"] != s.name || template.Labels["app.kubernetes.io/part-of"] != "teei-csr" {
		t.Errorf("labels: %v", template.Labels)
	}
	if diff := cmp.Diff(wantScrape, template.Annotations); diff != "" {
		t.Errorf("annotations (-want +got):\n%s", diff)
	}
	for name, probe := range map[string]*corev1.Probe{"/readyz": c.ReadinessProbe, "/healthz": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != name || probe.HTTPGet.Port.StrVal != "http" {
			t.Errorf("probe %s: %v", name, probe)
		}
	}
	if a := template.Spec.AutomountServiceAccountToken; a == nil || *a {
		t.Error("the pods carry a token for the API server")
	}
	checkHardened(t, template.Spec)
}

// checkWayBack is what a rollback in seconds stands on.
func checkWayBack(t *testing.T, r rollouts.Rollout) {
	t.Helper()
	if w := r.Spec.RollbackWindow; w == nil || w.Revisions != 3 {
		t.Errorf("rollbackWindow: %v", w)
	}
	if h := r.Spec.RevisionHistoryLimit; h == nil || *h < 6 {
		t.Errorf("revisionHistoryLimit: %v", value(h))
	}
	if !r.Spec.ProgressDeadlineAbort {
		t.Error("a rollout that gets stuck stays where it is: progressDeadlineAbort is off")
	}
	// Injected labels change the pod hash that `undo` makes, and so start a cold ReplicaSet.
	if b := r.Spec.Strategy.BlueGreen; b != nil && (b.ActiveMetadata != nil || b.PreviewMetadata != nil) {
		t.Error("ephemeral metadata")
	}
	if c := r.Spec.Strategy.Canary; c != nil && (c.StableMetadata != nil || c.CanaryMetadata != nil) {
		t.Error("ephemeral metadata")
	}
}

func checkBudget(t *testing.T, budget policyv1.PodDisruptionBudget, r rollouts.Rollout) {
	t.Helper()
	if budget.Spec.Selector == nil || !selects(budget.Spec.Selector.MatchLabels, r) {
		t.Errorf("disruption budget selects %v", budget.Spec.Selector)
	}
	if m := budget.Spec.MaxUnavailable; m == nil || m.IntValue() != 1 {
		t.Errorf("disruption budget allows %v", m)
	}
}

// checkService finds a Service that a Rollout names. It must select the pods of both versions: Argo adds the hash.
func checkService(t *testing.T, f fleet, r rollouts.Rollout, name string, port int32) {
	t.Helper()
	s, ok := f.services[name]
	if !ok {
		t.Errorf("no Service %q", name)
		return
	}
	if !selects(s.Spec.Selector, r) {
		t.Errorf("Service %s selects %v, pods have %v", name, s.Spec.Selector, r.Spec.Template.Labels)
	}
	if len(s.Spec.Ports) != 1 || s.Spec.Ports[0].Port != port || s.Spec.Ports[0].TargetPort.StrVal != "http" {
		t.Errorf("Service %s ports: %v", name, s.Spec.Ports)
	}
}

func selects(selector map[string]string, r rollouts.Rollout) bool {
	return len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(r.Spec.Template.Labels))
}

// value prints what a pointer points to.
func value[T any](p *T) any {
	if p == nil {
		return "unset"
	}
	return *p
}
