package k8s_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"
)

// canaries are the services that go by weight.
func canaries() []service {
	return slices.DeleteFunc(services(), func(s service) bool { return s.weights == nil })
}

// Without a router, pods are weights: each must be a whole number of them.
func TestReplicaWeighted(t *testing.T) {
	objects := build(t, "overlays/replica-weighted")
	if routes := all[virtualService](t, objects, "VirtualService"); len(routes) > 0 {
		t.Errorf("still routed: %v", slices.Collect(maps.Keys(routes)))
	}
	found := all[rollouts.Rollout](t, objects, "Rollout")
	for _, s := range canaries() {
		r := found[s.name]
		c := r.Spec.Strategy.Canary
		if c == nil || r.Spec.Replicas == nil {
			t.Fatalf("%s: %v", s.name, r.Spec)
		}
		if c.TrafficRouting != nil || c.ScaleDownDelaySeconds != nil {
			t.Errorf("%s: trafficRouting %v, and scaleDownDelaySeconds %v, which Argo refuses without",
				s.name, c.TrafficRouting, value(c.ScaleDownDelaySeconds))
		}
		replicas := *r.Spec.Replicas
		for _, weight := range s.weights {
			if weight*replicas < 100 || weight*replicas%100 != 0 {
				t.Errorf("%s: %d %% of %d pods is not a whole number of pods", s.name, weight, replicas)
			}
		}
		surge, err := intstr.GetScaledValueFromIntOrPercent(c.MaxSurge, int(replicas), true)
		if largest := slices.Max(s.weights) * replicas / 100; err != nil || surge < int(largest) {
			t.Errorf("%s: maxSurge %v starts fewer than the %d pods that an abort misses (%v)", s.name, c.MaxSurge, largest, err)
		}
		if c.MaxUnavailable == nil || c.MaxUnavailable.IntValue() != 0 {
			t.Errorf("%s: maxUnavailable %v", s.name, c.MaxUnavailable)
		}
	}
}

// httpRoute is as much of the Gateway API's type as a weighted route needs.
type httpRoute struct {
	object
	Spec struct {
		ParentRefs []backend `json:"parentRefs"`
		Rules      []struct {
			BackendRefs []backend `json:"backendRefs"`
		} `json:"rules"`
	} `json:"spec"`
}

type backend struct {
	Group  string `json:"group,omitempty"`
	Kind   string `json:"kind,omitempty"`
	Name   string `json:"name"`
	Port   int32  `json:"port"`
	Weight int32  `json:"weight"`
}

const gatewayPlugin = "argoproj-labs/gatewayAPI"

func TestGatewayAPI(t *testing.T) {
	objects := build(t, "overlays/gateway-api/rollouts")
	if routes := all[virtualService](t, objects, "VirtualService"); len(routes) > 0 {
		t.Errorf("still routed by Istio: %v", slices.Collect(maps.Keys(routes)))
	}
	found, routes := all[rollouts.Rollout](t, objects, "Rollout"), all[httpRoute](t, objects, "HTTPRoute")
	for _, s := range canaries() {
		r := found[s.name]
		routing := r.Spec.Strategy.Canary.TrafficRouting
		if routing == nil || routing.Istio != nil {
			t.Fatalf("%s: trafficRouting %v", s.name, routing)
		}
		var config struct{ HTTPRoute, Namespace string }
		err := yaml.UnmarshalStrict(routing.Plugins[gatewayPlugin], &config)
		if err != nil || config.HTTPRoute != s.name || config.Namespace != "default" {
			t.Errorf("%s: plugins %s (%v)", s.name, routing.Plugins, err)
		}
		route := routes[s.name].Spec
		if diff := cmp.Diff([]backend{{Kind: "Service", Name: s.name, Port: s.port}}, route.ParentRefs); diff != "" {
			t.Errorf("%s: parent (-want +got):\n%s", s.name, diff)
		}
		want := []backend{{Name: s.name + "-stable", Port: s.port, Weight: 100}, {Name: s.name + "-canary", Port: s.port}}
		if len(route.Rules) != 1 {
			t.Errorf("%s: %d rules", s.name, len(route.Rules))
		} else if diff := cmp.Diff(want, route.Rules[0].BackendRefs); diff != "" {
			t.Errorf("%s: route before the first release (-want +got):\n%s", s.name, diff)
		}
	}
	if len(routes) != len(canaries()) {
		t.Errorf("%d routes for %d canaries", len(routes), len(canaries()))
	}
}

// The plugin must be where the controller is told that it is, and may change routes and nothing else.
func TestGatewayAPIController(t *testing.T) {
	objects := build(t, "overlays/gateway-api/argo-rollouts")
	var plugins []struct{ Name, Location string }
	config := all[corev1.ConfigMap](t, objects, "ConfigMap")["argo-rollouts-config"]
	err := yaml.UnmarshalStrict([]byte(config.Data["trafficRouterPlugins"]), &plugins)
	if err != nil || len(plugins) != 1 || plugins[0].Name != gatewayPlugin {
		t.Fatalf("plugins %v (%v)", plugins, err)
	}
	pod := all[appsv1.Deployment](t, objects, "Deployment")["argo-rollouts"].Spec.Template.Spec
	if len(pod.InitContainers) != 1 {
		t.Fatalf("init containers: %v", pod.InitContainers)
	}
	init := pod.InitContainers[0]
	from, to := init.Command[len(init.Command)-2], strings.TrimSuffix(init.Command[len(init.Command)-1], "/")
	if want := "file://" + to + from[strings.LastIndex(from, "/"):]; plugins[0].Location != want {
		t.Errorf("the controller looks at %s, the plugin is at %s", plugins[0].Location, want)
	}
	mounted := func(m corev1.VolumeMount) bool { return m.MountPath == to }
	if !slices.ContainsFunc(init.VolumeMounts, mounted) || !slices.ContainsFunc(pod.Containers[0].VolumeMounts, mounted) {
		t.Errorf("%s is not mounted in both containers", to)
	}
	pod.Containers = append(pod.Containers, init)
	checkHardened(t, pod)
	rules := all[rbacv1.ClusterRole](t, objects, "ClusterRole")["argo-rollouts-gateway-api"].Rules
	want := []rbacv1.PolicyRule{{
		APIGroups: []string{"gateway.networking.k8s.io"}, Resources: []string{"httproutes"}, Verbs: []string{"get", "update", "patch"},
	}}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Errorf("permissions of the plugin (-want +got):\n%s", diff)
	}
	checkPermissions(t, objects)
}

func TestAutoscaling(t *testing.T) {
	objects := build(t, "overlays/production/rollouts")
	before, found := loadFleet(t).rollouts, all[rollouts.Rollout](t, objects, "Rollout")
	scalers := all[autoscalingv2.HorizontalPodAutoscaler](t, objects, "HorizontalPodAutoscaler")
	if len(scalers) == 0 {
		t.Fatal("no autoscaler")
	}
	for name, r := range found {
		if _, scaled := scalers[name]; scaled == (r.Spec.Replicas != nil) {
			t.Errorf("%s: autoscaled is %t, replicas are %v", name, scaled, value(r.Spec.Replicas))
		}
	}
	for name, h := range scalers {
		ref := h.Spec.ScaleTargetRef
		r, ok := found[ref.Name]
		if !ok || ref.Name != name || ref.Kind != "Rollout" || ref.APIVersion != rollouts.SchemeGroupVersion.String() {
			t.Errorf("%s scales %v, which is not there", name, ref)
			continue
		}
		least := *before[name].Spec.Replicas
		if h.Spec.MinReplicas == nil || *h.Spec.MinReplicas != least || h.Spec.MaxReplicas <= least {
			t.Errorf("%s: %v to %d replicas, the Rollout has %d", name, value(h.Spec.MinReplicas), h.Spec.MaxReplicas, least)
		}
		checkBehaviour(t, name, r, h.Spec.Behavior, least)
	}
}

// checkBehaviour holds an autoscaler against what a release needs of it.
func checkBehaviour(t *testing.T, name string, r rollouts.Rollout, b *autoscalingv2.HorizontalPodAutoscalerBehavior, least int32) {
	t.Helper()
	if b == nil || b.ScaleUp == nil || b.ScaleDown == nil || b.ScaleDown.StabilizationWindowSeconds == nil {
		t.Fatalf("%s: behavior %v", name, b)
	}
	warm, progress := int32(0), int32(0)
	if s := r.Spec.Strategy.BlueGreen; s != nil {
		warm = *s.ScaleDownDelaySeconds
		if w := b.ScaleUp.StabilizationWindowSeconds; w == nil || *w < 60 {
			t.Errorf("%s grows on the first seconds of a new version, out of the old one's reach", name)
		}
	}
	if s := r.Spec.Strategy.Canary; s != nil {
		warm, progress = *s.ScaleDownDelaySeconds, s.ReplicaProgressThreshold.Value
		added := int32(0)
		for _, p := range b.ScaleUp.Policies {
			if added += p.Value; p.Type != autoscalingv2.PodsScalingPolicy {
				t.Errorf("%s grows by %v", name, p)
			}
		}
		if added == 0 || least*100 < (least+added)*progress {
			t.Errorf("%s grows by %d from %d: weights would stand still", name, added, least)
		}
	}
	if w := *b.ScaleDown.StabilizationWindowSeconds; w < 2*warm {
		t.Errorf("%s shrinks after %d s, the old version is warm for %d s", name, w, warm)
	}
}
