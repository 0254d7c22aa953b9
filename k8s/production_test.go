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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/kustomize/api/krusty"
)

// stricter are the arguments of success-rate-analysis in production.
func stricter() map[string]string {
	return map[string]string{"min-success-rate": "0.995", "max-server-error-rate": "0.005", "max-client-error-rate": "0.005"}
}

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
	changed := 0
	for name, template := range f.templates {
		for i, arg := range template.Spec.Args {
			if limit, ok := stricter()[arg.Name]; ok {
				template.Spec.Args[i].Value = &limit
				changed++
			}
		}
		if diff := cmp.Diff(template, templates[name]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	if changed != len(stricter()) {
		t.Errorf("%d arguments are stricter, want %d", changed, len(stricter()))
	}
	services := all[corev1.Service](t, objects, "Service")
	if diff := cmp.Diff(slices.Sorted(maps.Keys(f.services)), slices.Sorted(maps.Keys(services))); diff != "" {
		t.Errorf("Services (-elsewhere +production):\n%s", diff)
	}
}

// A patch finds its argument by its place. When another is there, kustomize must say so.
func TestProductionNoticesAnotherOrder(t *testing.T) {
	const file = "/k8s/rollouts/analysis/success-rate.yaml"
	for name := range stricter() {
		memory := tree(t, "otel")
		text, err := memory.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		other := strings.Replace(string(text), "- {name: "+name+",", "- {name: another,", 1)
		if other == string(text) {
			t.Fatalf("no argument %s in %s", name, file)
		}
		if err := memory.WriteFile(file, []byte(other)); err != nil {
			t.Fatal(err)
		}
		if _, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(memory, "/k8s/overlays/production/rollouts"); err == nil {
			t.Errorf("where %s was, another argument is changed, without a word", name)
		}
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
		required[0].TopologyKey != corev1.LabelHostname || !selectsLabels(required[0].LabelSelector, pod.Labels) {
		t.Errorf("two replicas may share a node: %v", affinity)
	}
	// As many nodes as replicas: a pod more has no place.
	if u := d.Spec.Strategy.RollingUpdate; u == nil || u.MaxSurge.IntValue() != 0 || u.MaxUnavailable.IntValue() != 1 {
		t.Errorf("an update could not be scheduled: %v", u)
	}
	budget := all[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget")["argo-rollouts"].Spec
	if budget.MinAvailable.IntValue() != 2 || !selectsLabels(budget.Selector, pod.Labels) {
		t.Errorf("disruption budget: %v", budget)
	}
	base := all[appsv1.Deployment](t, build(t, installDir), "Deployment")["argo-rollouts"].Spec.Template.Spec.Containers[0]
	c := pod.Spec.Containers[0]
	more, less := c.Resources, base.Resources
	if more.Requests.Cpu().Cmp(*less.Requests.Cpu()) <= 0 || more.Limits.Memory().Cmp(*less.Limits.Memory()) <= 0 || !more.Limits.Cpu().IsZero() {
		t.Errorf("resources: %v", c.Resources)
	}
	c.Resources = base.Resources
	if diff := cmp.Diff(base, c); diff != "" {
		t.Errorf("controller (-elsewhere +production):\n%s", diff)
	}
	quota := all[corev1.ResourceQuota](t, objects, "ResourceQuota")["argo-rollouts-critical"]
	s := quota.Spec.ScopeSelector
	if s == nil || quota.Namespace != d.Namespace || !slices.Contains(s.MatchExpressions[0].Values, pod.Spec.PriorityClassName) {
		t.Errorf("priority %q, the quota is for %v", pod.Spec.PriorityClassName, s)
	}
	if !slices.ContainsFunc(objects, func(o object) bool { return o.Kind == "ServiceMonitor" }) {
		t.Error("nobody scrapes it")
	}
}

func selectsLabels(selector *metav1.LabelSelector, pod map[string]string) bool {
	s, err := metav1.LabelSelectorAsSelector(selector) // of nil: one that selects nothing
	return err == nil && !s.Empty() && s.Matches(labels.Set(pod))
}
