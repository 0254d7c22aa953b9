package k8s_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
)

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
	checkPromotion(t, s, b)
	if b.ScaleDownDelaySeconds == nil || *b.ScaleDownDelaySeconds != s.scaleDown {
		t.Errorf("scaleDownDelaySeconds: %v", value(b.ScaleDownDelaySeconds))
	}
	if d := b.AbortScaleDownDelaySeconds; d == nil || *d != 0 {
		t.Errorf("abortScaleDownDelaySeconds: %v; anything but 0 can take the active pods away after an abort", value(d))
	}
	checkAnalysis(t, s, "before the switch", b.PrePromotionAnalysis, s.before, nil)
	checkAnalysis(t, s, "after the switch", b.PostPromotionAnalysis, s.after, nil)
}

// checkPromotion holds who promotes. Argo does not look at the seconds when promotion is off, and switches at once when it
// is on without them.
func checkPromotion(t *testing.T, s service, b *rollouts.BlueGreenStrategy) {
	t.Helper()
	on := b.AutoPromotionEnabled == nil || *b.AutoPromotionEnabled
	if on != (s.delay > 0) || b.AutoPromotionSeconds != s.delay {
		t.Errorf("autoPromotionEnabled %v, autoPromotionSeconds %d; want %d", value(b.AutoPromotionEnabled), b.AutoPromotionSeconds, s.delay)
	}
	if b.PreviewReplicaCount != nil {
		t.Errorf("previewReplicaCount %d: the switch would wait for the other pods", *b.PreviewReplicaCount)
	}
}

// checkAnalysis wants these gates, and of arguments those that they need from this service, and more.
func checkAnalysis(t *testing.T, s service, where string, a *rollouts.RolloutAnalysis, gates []string, more map[string]string) {
	t.Helper()
	if a == nil {
		t.Errorf("no gate %s", where)
		return
	}
	var got []string
	for _, ref := range a.Templates {
		got = append(got, ref.TemplateName)
	}
	var want []string
	for _, gate := range gates {
		want = append(want, gate+"-analysis")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gates %s (-want +got):\n%s", where, diff)
	}
	if diff := cmp.Diff(s.args(gates, more), argsOf(t, a)); diff != "" {
		t.Errorf("arguments %s (-want +got):\n%s", where, diff)
	}
	if len(a.DryRun) > 0 {
		t.Errorf("dry runs %s: %v", where, a.DryRun)
	}
}

// args are the arguments that gates need from a service.
func (s service) args(gates []string, more map[string]string) map[string]string {
	args := map[string]string{"namespace": "metadata.namespace"}
	for _, gate := range gates {
		switch gate {
		case "smoke-test", "genai-smoke":
			maps.Copy(args, map[string]string{"service": s.name + "-preview", "port": strconv.Itoa(int(s.port))})
			continue
		case "visual-regression":
			maps.Copy(args, map[string]string{"active-service": s.name, "preview-service": s.name + "-preview", "port": strconv.Itoa(int(s.port))})
			continue
		case "genai-token":
			args["stable-hash"] = "Stable"
		case "gdpr-compliance":
			args["violation-window"] = "24h"
		case "latency":
			for i, limit := range s.latency {
				args[[]string{"max-p50-seconds", "max-p95-seconds", "max-p99-seconds"}[i]] = limit
			}
		}
		args["canary-hash"] = "Latest"
	}
	maps.Copy(args, more)
	return args
}

func argsOf(t *testing.T, a *rollouts.RolloutAnalysis) map[string]string {
	t.Helper()
	args := map[string]string{}
	for _, arg := range a.Args {
		if _, ok := args[arg.Name]; ok {
			t.Errorf("argument %s is there twice", arg.Name)
		}
		switch from := arg.ValueFrom; {
		case from == nil:
			args[arg.Name] = arg.Value
		case from.PodTemplateHashValue != nil:
			args[arg.Name] = string(*from.PodTemplateHashValue)
		case from.FieldRef != nil:
			args[arg.Name] = from.FieldRef.FieldPath
		}
	}
	return args
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
	checkBackground(t, s, c)
	checkRoute(t, s, f, c)
	if c.DynamicStableScale {
		t.Error("dynamicStableScale: stable could not take the traffic back at once")
	}
	if d := c.AbortScaleDownDelaySeconds; d == nil || *d < 1 || *d > 10 {
		t.Errorf("abortScaleDownDelaySeconds: %v; 0 never removes the canary, more lets the selector flip for longer", value(d))
	}
	if d := c.ScaleDownDelaySeconds; d == nil || *d != 300 {
		t.Errorf("scaleDownDelaySeconds: %v", value(d))
	}
	p := c.ReplicaProgressThreshold
	if p == nil || p.Type != rollouts.ProgressTypePercentage || p.Value < 80 || p.Value > 90 ||
		(*r.Spec.Replicas-1)*100 < *r.Spec.Replicas*p.Value {
		t.Errorf("replicaProgressThreshold %v of %d replicas does not bear one missing pod", p, *r.Spec.Replicas)
	}
}

// checkSteps wants weight, pause and gates, as often as there are weights; and a pause without end where somebody promotes.
func checkSteps(t *testing.T, s service, c *rollouts.CanaryStrategy) {
	t.Helper()
	steps := c.Steps
	if last := len(steps) - 1; s.byHand {
		if last < 0 || steps[last].Pause == nil || steps[last].Pause.Duration != nil {
			t.Fatalf("nobody is asked before promotion: %v", steps)
		}
		steps = steps[:last]
	}
	if len(steps) != 3*len(s.weights) {
		t.Fatalf("%d steps for the weights %v", len(steps), s.weights)
	}
	for i, weight := range s.weights {
		set, pause, gate := steps[3*i].SetWeight, steps[3*i+1].Pause, steps[3*i+2].Analysis
		if set == nil || *set != weight {
			t.Errorf("weight %d is %v, want %d", i, value(set), weight)
		}
		if pause == nil || time.Duration(pause.DurationSeconds())*time.Second != s.pause {
			t.Errorf("at %d %% it pauses %v, want %s", weight, pause, s.pause)
		}
		more := map[string]string{"count": "5", "inconclusive-limit": "2"}
		if s.byWeight {
			more["min-requests"] = strconv.Itoa(int(weight))
		}
		checkAnalysis(t, s, fmt.Sprintf("at %d %%", weight), gate, s.gates, more)
	}
}

// checkBackground wants the gates from the first traffic on, for twice as long as the way takes. A run that is over is
// Successful, or inconclusive, and nobody watches any more: where somebody promotes, it must last until they come.
func checkBackground(t *testing.T, s service, c *rollouts.CanaryStrategy) {
	t.Helper()
	a := c.Analysis
	if a == nil || a.StartingStep == nil || *a.StartingStep != 1 || c.Steps[0].SetWeight == nil {
		t.Fatalf("background analysis does not start with the first traffic: %v", a)
	}
	const interval = 30 * time.Second
	lasts, quiet := 2*time.Duration(len(s.weights))*(s.pause+5*interval), 5*time.Minute
	more := map[string]string{}
	if s.byHand {
		lasts, quiet = 24*time.Hour, 12*time.Hour
		more["window"], more["min-requests"] = "5m", "100"
	}
	args := argsOf(t, &a.RolloutAnalysis)
	for name, least := range map[string]time.Duration{"count": lasts, "inconclusive-limit": quiet} {
		if n, err := strconv.Atoi(args[name]); err != nil || time.Duration(n)*interval < least {
			t.Errorf("in the background, %s is %q, want %s in measurements of %s", name, args[name], least, interval)
		}
		more[name] = args[name]
	}
	checkAnalysis(t, s, "in the background", &a.RolloutAnalysis, s.gates, more)
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
	if !slices.Equal(v.Spec.Hosts, []string{s.name}) || len(v.Spec.HTTP) != 1 || v.Spec.HTTP[0].Name != "primary" ||
		!slices.Equal(named.Routes, []string{"primary"}) {
		t.Fatalf("VirtualService %s: hosts %v, routes %v, the Rollout names %v", named.Name, v.Spec.Hosts, v.Spec.HTTP, named.Routes)
	}
	weights := map[string]int{}
	for _, r := range v.Spec.HTTP[0].Route {
		weights[r.Destination.Host] = r.Weight
	}
	if diff := cmp.Diff(map[string]int{s.name + "-stable": 100, s.name + "-canary": 0}, weights); diff != "" {
		t.Errorf("route before the first release (-want +got):\n%s", diff)
	}
	if c.StableService != s.name+"-stable" || c.CanaryService != s.name+"-canary" {
		t.Errorf("services %s, %s", c.StableService, c.CanaryService)
	}
}
