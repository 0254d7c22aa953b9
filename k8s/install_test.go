package k8s_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

const installDir = "base/argo-rollouts"

func TestInstallation(t *testing.T) {
	install, dashboard := build(t, installDir), readFile(t, installDir+"/dashboard.yaml")
	t.Run("CRDs fit into an annotation", func(t *testing.T) { checkCRDSizes(t, append(build(t, "components/istio-crds"), install...)) })
	t.Run("needs nothing but Kubernetes", func(t *testing.T) { checkBareCluster(t, install) })
	t.Run("is the version that we compile against", func(t *testing.T) { checkVersion(t, append(dashboard, install...)) })
	t.Run("controller reads no Secret but its own", func(t *testing.T) { checkPermissions(t, install) })
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

func checkDashboard(t *testing.T, objects []object) {
	for name, role := range all[rbacv1.ClusterRole](t, objects, "ClusterRole") {
		for _, rule := range role.Rules {
			if slices.ContainsFunc(rule.Verbs, func(verb string) bool {
				return !slices.Contains([]string{"get", "list", "watch"}, verb)
			}) {
				t.Errorf("ClusterRole %s: %s on %s", name, rule.Verbs, rule.Resources)
			}
		}
	}
	container := all[appsv1.Deployment](t, objects, "Deployment")["argo-rollouts-dashboard"].Spec.Template.Spec.Containers[0]
	if !slices.Contains(container.Args, "--address=127.0.0.1") {
		t.Errorf("the dashboard listens beyond its pod: %s", container.Args)
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
