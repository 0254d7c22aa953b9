package k8s_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
)

// Production is what everybody else has, but for the errors that it bears, and replicas.
func TestProductionServices(t *testing.T) {
	f, objects := loadFleet(t), build(t, "overlays/production/rollouts")
	found := all[rollouts.Rollout](t, objects, "Rollout")
	for name, r := range f.rollouts {
		r.Spec.Replicas = found[name].Spec.Replicas
		if diff := cmp.Diff(r, found[name]); diff != "" {
			t.Errorf("%s (-elsewhere +production):\n%s", name, diff)
		}
	}
	templates := all[rollouts.AnalysisTemplate](t, objects, "AnalysisTemplate")
	stricter := map[string]string{"min-success-rate": "0.995", "max-server-error-rate": "0.005", "max-client-error-rate": "0.005"}
	changed := 0
	for name, template := range f.templates {
		for i, arg := range template.Spec.Args {
			if limit, ok := stricter[arg.Name]; ok {
				template.Spec.Args[i].Value = &limit
				changed++
			}
		}
		if diff := cmp.Diff(template, templates[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if changed != len(stricter) {
		t.Errorf("%d arguments are stricter, want %d", changed, len(stricter))
	}
	services := all[corev1.Service](t, objects, "Service")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(f.services)), slices.Sorted(maps.Keys(services))); diff != "" {
		t.Errorf("Services (-elsewhere +production):\n%s", diff)
	}
}

// A patch finds its argument by its place. When the place is another's, kustomize must say so.
func TestProductionNoticesAnotherOrder(t *testing.T) {
	const file = "/k8s/rollouts/analysis/success-rate.yaml"
	memory := tree(t, "otel")
	text, err := memory.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	moved := strings.Replace(string(text), "  args:\n", "  args:\n  - {name: another, value: \"\"}\n", 1)
	if err := memory.WriteFile(file, []byte(moved)); err != nil {
		t.Fatal(err)
	}
	if _, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, "/k8s/overlays/production/rollouts"); err == nil {
		t.Error("another argument is changed, without a word")
	}
}

// A controller that is not there rolls nothing back.
func TestProductionController(t *testing.T) {
	objects := build(t, "overlays/production/argo-rollouts")
	d := all[appsv1.Deployment](t, objects, "Deployment")["argo-rollouts"]
	pod := d.Spec.Template
	if d.Spec.Replicas == nil || *d.Spec.Replicas != 3 {
		t.Errorf("replicas: %v", value(d.Spec.Replicas))
	}
	affinity := pod.Spec.Affinity.PodAntiAffinity
	required := affinity.RequiredDuringSchedulingIgnoredDuringExecution
	if len(affinity.PreferredDuringSchedulingIgnoredDuringExecution) > 0 || len(required) != 1 ||
		required[0].TopologyKey != corev1.LabelHostname || required[0].LabelSelector.MatchLabels["app.kubernetes.io/name"] != pod.Labels["app.kubernetes.io/name"] {
		t.Errorf("two replicas may share a node: %v", affinity)
	}
	// As many nodes as replicas: a pod more has no place.
	if u := d.Spec.Strategy.RollingUpdate; u == nil || u.MaxSurge.IntValue() != 0 || u.MaxUnavailable.IntValue() != 1 {
		t.Errorf("an update could not be scheduled: %v", u)
	}
	if b := all[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget")["argo-rollouts"]; b.Spec.MinAvailable.IntValue() != 2 || b.Spec.Selector == nil {
		t.Errorf("disruption budget: %v", b.Spec)
	}
	base := all[appsv1.Deployment](t, build(t, installDir), "Deployment")["argo-rollouts"].Spec.Template.Spec.Containers[0]
	c := pod.Spec.Containers[0]
	if c.Resources.Requests.Cpu().Cmp(*base.Resources.Requests.Cpu()) <= 0 || c.Resources.Limits.Memory().Cmp(*base.Resources.Limits.Memory()) <= 0 ||
		!c.Resources.Limits.Cpu().IsZero() {
		t.Errorf("resources: %v", c.Resources)
	}
	c.Resources = base.Resources
	if diff := cmp.Diff(base, c); diff != "" {
		t.Errorf("controller (-elsewhere +production):\n%s", diff)
	}
	quota := all[corev1.ResourceQuota](t, objects, "ResourceQuota")["argo-rollouts-critical"]
	if s := quota.Spec.ScopeSelector; s == nil || quota.Namespace != d.Namespace || !slices.Contains(s.MatchExpressions[0].Values, pod.Spec.PriorityClassName) {
		t.Errorf("priority %q, the quota is for %v", pod.Spec.PriorityClassName, s)
	}
	if !slices.ContainsFunc(objects, func(o object) bool { return o.Kind == "ServiceMonitor" }) {
		t.Error("nobody scrapes it")
	}
}
