package k8s_test

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
)

// What each account needs is test/access's to say, on a region. This says what none of them may have, whatever it needs.
func TestAccounts(t *testing.T) {
	base, prometheus := build(t, "base/tidegate"), build(t, "base/tidegate/prometheus")
	t.Run("needs no namespace that it does not bring", func(t *testing.T) { checkNamespaces(t, base) })
	t.Run("nobody runs as them", func(t *testing.T) {
		for name, account := range all[corev1.ServiceAccount](t, base, "ServiceAccount") {
			if auto := account.AutomountServiceAccountToken; auto == nil || *auto {
				t.Errorf("a pod of %s would carry its token", name)
			}
		}
	})
	everything := slices.Concat(base, prometheus)
	t.Run("bindings", func(t *testing.T) { checkBindings(t, everything) })
	t.Run("rules", func(t *testing.T) { checkRules(t, everything) })
}

// checkNamespaces keeps `kubectl apply -k` whole on a cluster that has nothing of ours.
func checkNamespaces(t *testing.T, objects []object) {
	there := []string{"default"}
	for name := range all[corev1.Namespace](t, objects, "Namespace") {
		there = append(there, name)
	}
	for _, o := range objects {
		if o.Kind != "Namespace" && !slices.Contains(there, o.Namespace) {
			t.Errorf("%s %s wants namespace %q, a bare cluster has %v", o.Kind, o.Name, o.Namespace, there)
		}
	}
}

// checkBindings follows each binding to both of its ends.
func checkBindings(t *testing.T, objects []object) {
	accounts, roles := all[corev1.ServiceAccount](t, objects, "ServiceAccount"), all[rbacv1.Role](t, objects, "Role")
	bound := map[string]bool{}
	for name, binding := range all[rbacv1.RoleBinding](t, objects, "RoleBinding") {
		role, ok := roles[binding.RoleRef.Name]
		if !ok || binding.RoleRef.Kind != "Role" || role.Namespace != binding.Namespace {
			t.Errorf("binding %s in %s leads to %s %s in %q", name, binding.Namespace, binding.RoleRef.Kind, binding.RoleRef.Name, role.Namespace)
		}
		for _, subject := range binding.Subjects {
			if account, ok := accounts[subject.Name]; !ok || subject.Kind != "ServiceAccount" || account.Namespace != subject.Namespace {
				t.Errorf("binding %s is for %s %s/%s, which is not here", name, subject.Kind, subject.Namespace, subject.Name)
			}
			bound[subject.Name] = true
		}
	}
	for name := range accounts {
		if !bound[name] {
			t.Errorf("%s may do nothing", name)
		}
	}
	for _, o := range objects {
		if strings.HasPrefix(o.Kind, "Cluster") {
			t.Errorf("%s %s reaches beyond the namespace of the Rollouts", o.Kind, o.Name)
		}
	}
}

func checkRules(t *testing.T, objects []object) {
	reads := []string{"get", "list", "watch"}
	// Each is a way to more than it says: into the Secrets, into the pods, or up to other roles.
	never := []string{"*", "secrets", "pods/exec", "pods/attach", "pods/portforward", "pods/ephemeralcontainers", "serviceaccounts/token"}
	for name, role := range all[rbacv1.Role](t, objects, "Role") {
		for _, rule := range role.Rules {
			for _, resource := range rule.Resources {
				if slices.Contains(never, resource) {
					t.Errorf("Role %s grants %s", name, resource)
				}
				if strings.HasSuffix(resource, "/proxy") && len(rule.ResourceNames) == 0 {
					t.Errorf("Role %s grants %s of every Service: that is every web server in the namespace", name, resource)
				}
			}
			for _, verb := range rule.Verbs {
				patches := verb == "patch" && name != "tidegate-viewer" && slices.Equal(rule.APIGroups, []string{"argoproj.io"}) &&
					(slices.Contains(rule.Resources, "rollouts") || slices.Contains(rule.Resources, "rollouts/status")) && len(rule.Resources) == 1
				if !slices.Contains(reads, verb) && !patches {
					t.Errorf("Role %s: %s %s", name, verb, rule.Resources)
				}
			}
		}
	}
}
