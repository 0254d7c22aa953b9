package k8s_test

import (
	"encoding/json"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

const installDir = "base/argo-rollouts"

func TestInstallation(t *testing.T) {
	install, dashboard := build(t, installDir), readFile(t, installDir+"/dashboard.yaml")
	t.Run("CRDs fit into an annotation", func(t *testing.T) { checkCRDSizes(t, append(build(t, "components/istio-crds"), install...)) })
	t.Run("needs nothing but Kubernetes", func(t *testing.T) { checkBareCluster(t, install) })
	t.Run("is the version that we compile against", func(t *testing.T) { checkVersion(t, append(dashboard, install...)) })
	t.Run("a controller that goes away is replaced", func(t *testing.T) { checkAvailability(t, install) })
	t.Run("controller reads no Secret but its own", func(t *testing.T) { checkPermissions(t, install) })
	t.Run("view reads and nobody writes a verdict but admin", func(t *testing.T) { checkAggregates(t, install) })
	t.Run("controller is reached and reaches where it must", func(t *testing.T) { checkNetwork(t, install) })
	t.Run("dashboard only reads and is not exposed", func(t *testing.T) { checkDashboard(t, dashboard) })
}

// A plain `kubectl apply` writes the whole object once more into an annotation, and annotations end at 262,144 bytes.
func checkCRDSizes(t *testing.T, objects []object) {
	const limit = 262_144
	crds := 0
	for _, o := range objects {
		if o.Kind != "CustomResourceDefinition" {
			continue
		}
		crds++
		asJSON, err := yaml.YAMLToJSON(o.text)
		if err != nil {
			t.Fatal(err)
		}
		if len(asJSON) > limit/2 {
			t.Errorf("%s has %d bytes: more than half of what kubectl apply can take", o.Name, len(asJSON))
		}
	}
	if crds != 7 {
		t.Errorf("%d CRDs, want Argo's five and Istio's two", crds)
	}
}

// `kubectl apply -k` fails as a whole on a kind that the cluster does not know.
func checkBareCluster(t *testing.T, objects []object) {
	for _, o := range objects {
		group := o.GroupVersionKind().Group
		if group != "" && !strings.HasSuffix(group, ".k8s.io") && !slices.Contains([]string{"apps", "policy"}, group) {
			t.Errorf("%s %s: a bare cluster has no %s", o.Kind, o.Name, group)
		}
		if o.Name == "argo-rollouts-dashboard" {
			t.Errorf("%s %s is in the default installation", o.Kind, o.Name)
		}
	}
}

func checkVersion(t *testing.T, objects []object) {
	gomod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(gomod), "github.com/argoproj/argo-rollouts ")
	version, _, _ := strings.Cut(after, "\n")
	deployments := all[appsv1.Deployment](t, objects, "Deployment")
	for name, image := range map[string]string{
		"argo-rollouts":           "quay.io/argoproj/argo-rollouts:",
		"argo-rollouts-dashboard": "quay.io/argoproj/kubectl-argo-rollouts:",
	} {
		spec := deployments[name].Spec.Template.Spec
		if len(spec.Containers) != 1 || spec.Containers[0].Image != image+version {
			t.Errorf("deployment %s runs %v, want %s%s", name, spec.Containers, image, version)
			continue
		}
		checkHardened(t, spec)
	}
}

// checkAvailability: a controller that is not there rolls nothing back.
func checkAvailability(t *testing.T, objects []object) {
	d := all[appsv1.Deployment](t, objects, "Deployment")["argo-rollouts"]
	pod := d.Spec.Template
	if d.Spec.Replicas == nil || *d.Spec.Replicas < 2 {
		t.Errorf("%d replicas, want two at the least", value(d.Spec.Replicas))
	}
	if u := d.Spec.Strategy.RollingUpdate; u == nil || u.MaxUnavailable.IntValue() != 0 {
		t.Errorf("an update takes a controller away before another is there: %v", u)
	}
	apart := pod.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution
	if len(apart) != 1 || apart[0].PodAffinityTerm.TopologyKey != corev1.LabelHostname || !selectsLabels(apart[0].PodAffinityTerm.LabelSelector, pod.Labels) {
		t.Errorf("nothing keeps the controllers on different nodes: %v", apart)
	}
	budget := all[policyv1.PodDisruptionBudget](t, objects, "PodDisruptionBudget")["argo-rollouts"].Spec
	kept, away := budget.MinAvailable, budget.MaxUnavailable
	remains := kept != nil && kept.IntValue() >= 1 || away != nil && away.IntValue() == 1
	if !remains || !selectsLabels(budget.Selector, pod.Labels) {
		t.Errorf("all controllers may be evicted at once: %v", budget)
	}
	c := pod.Spec.Containers[0]
	for _, arg := range []string{"--leader-elect=true", "--leader-election-lease-duration=8s", "--leader-election-renew-deadline=6s", "--leader-election-retry-period=1s"} {
		if !slices.Contains(c.Args, arg) {
			t.Errorf("%s is missing: a standby takes over late: %v", arg, c.Args)
		}
	}
	for what, probe := range map[string]*corev1.Probe{"readiness": c.ReadinessProbe, "liveness": c.LivenessProbe} {
		if probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != "/healthz" || probe.HTTPGet.Port.StrVal != "healthz" {
			t.Errorf("%s probe: %v", what, probe)
		}
	}
}

func checkPermissions(t *testing.T, objects []object) {
	for name, role := range all[rbacv1.ClusterRole](t, objects, "ClusterRole") {
		for _, rule := range role.Rules {
			text, _ := json.Marshal(rule)
			if strings.Contains(string(text), `"*"`) {
				t.Errorf("ClusterRole %s has a wildcard: %s", name, text)
			}
			for _, resource := range []string{"secrets", "configmaps", "leases"} {
				if slices.Contains(rule.Resources, resource) {
					t.Errorf("ClusterRole %s grants %s in every namespace", name, resource)
				}
			}
		}
	}
	for name, role := range all[rbacv1.Role](t, objects, "Role") {
		for _, rule := range role.Rules {
			if len(rule.ResourceNames) == 0 && !slices.Equal(rule.Verbs, []string{"create"}) {
				t.Errorf("Role %s grants %s on every one of %s", name, rule.Verbs, rule.Resources)
			}
		}
	}
}

// checkAggregates holds the roles that Kubernetes adds to its own. It adds view to edit, and edit to admin.
func checkAggregates(t *testing.T, objects []object) {
	roles := all[rbacv1.ClusterRole](t, objects, "ClusterRole")
	for _, to := range []string{"view", "edit", "admin"} {
		role := roles["argo-rollouts-aggregate-to-"+to]
		if role.Labels["rbac.authorization.k8s.io/aggregate-to-"+to] != "true" {
			t.Errorf("nothing is aggregated to %s: %v", to, role.Labels)
		}
		for _, rule := range role.Rules {
			if to == "view" && !slices.Equal(rule.Verbs, []string{"get", "list", "watch"}) {
				t.Errorf("view may %s %s", rule.Verbs, rule.Resources)
			}
			// An AnalysisRun has no status subresource: to write it is to write its verdict.
			if to == "edit" && slices.Contains(rule.Resources, "analysisruns") &&
				(slices.Contains(rule.Verbs, "patch") || slices.Contains(rule.Verbs, "update")) {
				t.Errorf("edit may %s AnalysisRuns, verdicts included", rule.Verbs)
			}
			if to != "view" && slices.Contains(rule.Resources, "clusteranalysistemplates") {
				t.Errorf("%s of one namespace may %s what belongs to no namespace", to, rule.Verbs)
			}
		}
	}
}

// checkNetwork holds the controller's policy against what the controller listens on and whom it asks.
func checkNetwork(t *testing.T, objects []object) {
	policy := all[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy")["argo-rollouts"]
	controller := all[appsv1.Deployment](t, objects, "Deployment")["argo-rollouts"].Spec.Template
	if !governs(policy, controller.Labels) {
		t.Fatalf("the policy %v of %v does not govern both ways of %v", policy.Spec.PolicyTypes, policy.Spec.PodSelector, controller.Labels)
	}
	var in []int32
	for _, rule := range policy.Spec.Ingress {
		if slices.Contains(ports(rule.Ports), 8090) && len(rule.From) == 0 {
			t.Error("anybody may read the metrics")
		}
		in = append(in, ports(rule.Ports)...)
	}
	var listens []int32
	for _, port := range controller.Spec.Containers[0].Ports {
		listens = append(listens, port.ContainerPort)
	}
	if !slices.Equal(slices.Sorted(slices.Values(in)), slices.Sorted(slices.Values(listens))) {
		t.Errorf("the policy lets %v in, the controller listens on %v", in, listens)
	}
	var out []int32
	for _, rule := range policy.Spec.Egress {
		if len(rule.Ports) == 0 {
			t.Error("the controller may call any port")
		}
		out = append(out, ports(rule.Ports)...)
	}
	want := []int32{53, 443, 6443} // DNS and the API server
	for name, template := range loadFleet(t).templates {
		for _, arg := range template.Spec.Args {
			if arg.Name != "prometheus-address" || arg.Value == nil {
				continue
			}
			address, err := url.Parse(*arg.Value)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			port, err := strconv.ParseInt(address.Port(), 10, 32)
			if err != nil || !strings.Contains(address.Hostname(), ".monitoring.svc.") {
				t.Errorf("%s asks %s; the policy knows a Prometheus in monitoring (%v)", name, address, err)
			}
			want = append(want, int32(port))
		}
	}
	slices.Sort(want)
	slices.Sort(out)
	if got, needs := slices.Compact(out), slices.Compact(want); !slices.Equal(got, needs) {
		t.Errorf("the policy lets the controller call %v, it needs %v", got, needs)
	}
}

// governs tells that a policy selects pods with these labels, and judges what comes in and what goes out.
func governs(policy networkingv1.NetworkPolicy, pod map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
	return err == nil && selector.Matches(labels.Set(pod)) &&
		slices.Equal(policy.Spec.PolicyTypes, []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress})
}

func ports(rule []networkingv1.NetworkPolicyPort) []int32 {
	var numbers []int32
	for _, port := range rule {
		numbers = append(numbers, port.Port.IntVal)
	}
	return numbers
}

func checkDashboard(t *testing.T, objects []object) {
	for name, role := range all[rbacv1.ClusterRole](t, objects, "ClusterRole") {
		for _, rule := range role.Rules {
			if slices.ContainsFunc(rule.Verbs, func(verb string) bool {
				return !slices.Contains([]string{"list", "watch"}, verb)
			}) {
				t.Errorf("ClusterRole %s: %s on %s", name, rule.Verbs, rule.Resources)
			}
		}
	}
	pod := all[appsv1.Deployment](t, objects, "Deployment")["argo-rollouts-dashboard"].Spec.Template
	if args := pod.Spec.Containers[0].Args; !slices.Contains(args, "--address=127.0.0.1") {
		t.Errorf("the dashboard listens beyond its pod: %s", args)
	}
	policy := all[networkingv1.NetworkPolicy](t, objects, "NetworkPolicy")["argo-rollouts-dashboard"]
	if !governs(policy, pod.Labels) || len(policy.Spec.Ingress) > 0 {
		t.Errorf("the network lets somebody reach the dashboard: %v", policy.Spec)
	}
	if service := all[corev1.Service](t, objects, "Service")["argo-rollouts-dashboard"]; service.Spec.Type != corev1.ServiceTypeClusterIP {
		t.Errorf("the dashboard's Service is of type %q", service.Spec.Type)
	}
}

// checkHardened is the restricted Pod Security Standard, and a read-only root on top.
func checkHardened(t *testing.T, spec corev1.PodSpec) {
	t.Helper()
	pod := spec.SecurityContext
	if pod == nil || pod.RunAsNonRoot == nil || !*pod.RunAsNonRoot || pod.SeccompProfile == nil ||
		pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("pod security context: %v", pod)
	}
	for _, c := range spec.Containers {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation ||
			s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem ||
			s.Capabilities == nil || !slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) {
			t.Errorf("container %s security context: %v", c.Name, s)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("container %s resources: %v", c.Name, c.Resources)
		}
	}
}
