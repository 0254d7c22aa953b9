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
	port            int32
	check           func(*testing.T, service, fleet)
	// blue/green
	manual    bool
	scaleDown int32 // seconds
	// canary
	weights []int32
	pause   time.Duration
}

func services() []service {
	return []service{
		{name: "teei-api-gateway", container: "api-gateway", port: 3000, check: checkBlueGreen, manual: true, scaleDown: 300},
		{name: "teei-q2q-ai", container: "q2q-ai", port: 3005, check: checkCanary, weights: []int32{10, 25, 50}, pause: 5 * time.Minute},
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

func checkBlueGreen(t *testing.T, s service, f fleet) {
	t.Helper()
	r := f.rollouts[s.name]
	b := r.Spec.Strategy.BlueGreen
	if b == nil {
		t.Fatal("not blue/green")
	}
	if b.ActiveService != s.name || b.PreviewService != s.name+"-preview" {
		t.Errorf("services %s, %s", b.ActiveService, b.PreviewService)
	}
	checkService(t, f, r, b.ActiveService, s.port)
	checkService(t, f, r, b.PreviewService, s.port)
	if b.AutoPromotionEnabled == nil || *b.AutoPromotionEnabled == s.manual {
		t.Errorf("autoPromotionEnabled: %v", value(b.AutoPromotionEnabled))
	}
	if b.ScaleDownDelaySeconds == nil || *b.ScaleDownDelaySeconds != s.scaleDown {
		t.Errorf("scaleDownDelaySeconds: %v", value(b.ScaleDownDelaySeconds))
	}
	if d := b.AbortScaleDownDelaySeconds; d == nil || *d != 0 {
		t.Errorf("abortScaleDownDelaySeconds: %v; anything but 0 can take the active pods away after an abort", value(d))
	}
	if b.PostPromotionAnalysis == nil {
		t.Error("nothing judges the version that users get")
	}
}

func checkCanary(t *testing.T, s service, f fleet) {
	t.Helper()
	r := f.rollouts[s.name]
	c := r.Spec.Strategy.Canary
	if c == nil {
		t.Fatal("not a canary")
	}
	for _, name := range []string{s.name, c.StableService, c.CanaryService} {
		checkService(t, f, r, name, s.port)
	}
	checkSteps(t, s, c)
	checkRoute(t, s, f, c)
	if c.DynamicStableScale {
		t.Error("dynamicStableScale: stable could not take the traffic back at once")
	}
	if d := c.AbortScaleDownDelaySeconds; d == nil || *d < 1 || *d > 10 {
		t.Errorf("abortScaleDownDelaySeconds: %v; 0 never removes the canary, more lets the selector flip for longer", value(d))
	}
	if d := c.ScaleDownDelaySeconds; d == nil || *d != 300 {
		t.Errorf("scaleDownDelaySeconds: %v", d)
	}
	p := c.ReplicaProgressThreshold
	if p == nil || p.Type != rollouts.ProgressTypePercentage || p.Value < 80 || p.Value > 90 ||
		(*r.Spec.Replicas-1)*100 < *r.Spec.Replicas*p.Value {
		t.Errorf("replicaProgressThreshold %v of %d replicas does not bear one missing pod", p, *r.Spec.Replicas)
	}
	if a := c.Analysis; a == nil || a.StartingStep == nil || int(*a.StartingStep) >= len(c.Steps) || c.Steps[*a.StartingStep-1].SetWeight == nil {
		t.Errorf("background analysis does not start with the first traffic: %v", a)
	}
}

// checkSteps wants weight, pause, analysis, as often as there are weights.
func checkSteps(t *testing.T, s service, c *rollouts.CanaryStrategy) {
	t.Helper()
	var weights []int32
	for i, step := range c.Steps {
		switch i % 3 {
		case 0:
			if step.SetWeight != nil {
				weights = append(weights, *step.SetWeight)
			}
		case 1:
			if step.Pause == nil || time.Duration(step.Pause.DurationSeconds())*time.Second != s.pause {
				t.Errorf("step %d is no pause of %s: %v", i, s.pause, step)
			}
		case 2:
			if step.Analysis == nil {
				t.Errorf("step %d is no analysis: %v", i, step)
			}
		}
	}
	if !slices.Equal(weights, s.weights) || len(c.Steps) != 3*len(s.weights) {
		t.Errorf("weights %v in %d steps, want %v", weights, len(c.Steps), s.weights)
	}
}

func checkRoute(t *testing.T, s service, f fleet, c *rollouts.CanaryStrategy) {
	t.Helper()
	if c.TrafficRouting == nil || c.TrafficRouting.Istio == nil || c.TrafficRouting.Istio.VirtualService == nil {
		t.Fatal("weights are not routed by Istio")
	}
	named := c.TrafficRouting.Istio.VirtualService
	v, ok := f.routes[named.Name]
	if !ok || named.Name != s.name+"-vsvc" {
		t.Fatalf("VirtualService %s", named.Name)
	}
	if !slices.Equal(v.Spec.Hosts, []string{s.name}) || len(v.Spec.HTTP) != 1 || !slices.Equal(named.Routes, []string{v.Spec.HTTP[0].Name}) {
		t.Fatalf("VirtualService %s: hosts %v, routes %v, the Rollout names %v", named.Name, v.Spec.Hosts, v.Spec.HTTP, named.Routes)
	}
	weights := map[string]int{}
	for _, r := range v.Spec.HTTP[0].Route {
		weights[r.Destination.Host] = r.Weight
	}
	if diff := cmp.Diff(map[string]int{c.StableService: 100, c.CanaryService: 0}, weights); diff != "" {
		t.Errorf("route before the first release (-want +got):\n%s", diff)
	}
}

// value prints what a pointer points to.
func value[T any](p *T) any {
	if p == nil {
		return "unset"
	}
	return *p
}
