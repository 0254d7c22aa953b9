//go:build lab

package access

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"tidegate.io/tidegate/test/rig"
)

const home = "tidegate" // namespace of the accounts

// accounts are all that k8s/base/tidegate makes; a test holds it to the list.
var accounts = []string{"tidegate-emergency", "tidegate-releaser", "tidegate-viewer"}

func adminConfig(t *testing.T) *rest.Config {
	t.Helper()
	rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: fleet.Lab.Kubeconfig()}
	cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: "k8s-" + region}).ClientConfig()
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func admin(t *testing.T) kubernetes.Interface {
	t.Helper()
	client, err := kubernetes.NewForConfig(adminConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// installed applies the accounts as a reader would, once.
var installed = sync.OnceValue(func() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("the accounts were not applied within a minute"))
	defer cancel()
	_, err := fleet.Shell(ctx, "cd ../..\nkubectl apply -k k8s/base/tidegate/\nkubectl apply -k k8s/base/tidegate/prometheus/")
	return err
})

// account is somebody who reaches the region with nothing but a ServiceAccount's token.
type account struct {
	namespace, name string
	kubeconfig      string
}

// as makes a kubeconfig for an account, with a token that the API server issued. With a recorder it leads there.
func as(t *testing.T, in, name string, rec *recorder) account {
	t.Helper()
	if err := installed(); err != nil {
		t.Fatal(err)
	}
	answer, err := admin(t).CoreV1().ServiceAccounts(in).CreateToken(t.Context(), name, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	cluster := &clientcmdapi.Cluster{Server: adminConfig(t).Host, CertificateAuthorityData: adminConfig(t).CAData}
	if rec != nil {
		authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rec.Certificate().Raw})
		cluster = &clientcmdapi.Cluster{Server: rec.URL, CertificateAuthorityData: authority}
	}
	config := clientcmdapi.NewConfig()
	config.CurrentContext = "k8s-" + region
	config.Clusters[region] = cluster
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: answer.Status.Token}
	config.Contexts[config.CurrentContext] = &clientcmdapi.Context{Cluster: region, AuthInfo: name, Namespace: namespace}
	a := account{namespace: in, name: name, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	if err := clientcmd.WriteToFile(*config, a.kubeconfig); err != nil {
		t.Fatal(err)
	}
	return a
}

// outcome is what a command left.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs a command as the account, for four minutes at the most.
func (a account) run(t *testing.T, name string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 4*time.Minute, errors.New("the command did not end within four minutes"))
	defer cancel()
	// The shell looks the command up on the user's PATH, which is not this process's.
	cmd := exec.CommandContext(ctx, "bash", append([]string{"-c", `exec "$@"`, "bash", name}, args...)...)
	cmd.Env = append(fleet.Env(), "KUBECONFIG="+a.kubeconfig)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %v: %v", name, args, err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// must runs a command that has to succeed, and returns what it printed.
func (a account) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out := a.run(t, name, args...)
	if out.code != 0 {
		t.Fatalf("%s: %s %v: exit code %d\n%s%s", a.name, name, args, out.code, out.stdout, out.stderr)
	}
	return out.stdout
}

// tidegate runs the binary under test as the account, and decodes its JSON into result.
func (a account) tidegate(t *testing.T, result any, args ...string) outcome {
	t.Helper()
	out := a.run(t, fleet.Binary, append(args, "--output", "json")...)
	if err := json.Unmarshal([]byte(out.stdout), result); err != nil {
		t.Fatalf("%v answered no JSON (%v), exit code %d:\n%s\n%s", args, err, out.code, out.stdout, out.stderr)
	}
	return out
}

// granted is every rule of every Role and ClusterRole that is bound to the account, verb by verb, as the API server has it.
func (a account) granted(t *testing.T) map[request]bool {
	t.Helper()
	rules, client := map[request]bool{}, admin(t).RbacV1()
	bindings, err := client.RoleBindings("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bindings.Items {
		if !a.among(b.Subjects) {
			continue
		}
		role, err := client.Roles(b.Namespace).Get(t.Context(), b.RoleRef.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		spell(role.Rules, b.Namespace, rules)
	}
	everywhere, err := client.ClusterRoleBindings().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range everywhere.Items {
		if !a.among(b.Subjects) {
			continue
		}
		role, err := client.ClusterRoles().Get(t.Context(), b.RoleRef.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		spell(role.Rules, "", rules)
	}
	if len(rules) == 0 {
		t.Fatalf("nothing is bound to %s", a.name)
	}
	return rules
}

func (a account) among(subjects []rbacv1.Subject) bool {
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && s.Namespace == a.namespace && s.Name == a.name
	})
}

// spell writes rules out, one for each verb on each resource.
func spell(rules []rbacv1.PolicyRule, namespace string, into map[request]bool) {
	for _, rule := range rules {
		names := rule.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, group := range rule.APIGroups {
			for _, resource := range rule.Resources {
				for _, verb := range rule.Verbs {
					for _, name := range names {
						into[request{verb, group, resource, namespace, name}] = true
					}
				}
			}
		}
	}
}

func TestEveryAccountHasATest(t *testing.T) {
	if err := installed(); err != nil {
		t.Fatal(err)
	}
	list, err := admin(t).CoreV1().ServiceAccounts(home).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, a := range list.Items {
		names = append(names, a.Name)
	}
	if slices.Sort(names); !slices.Equal(names, accounts) {
		t.Errorf("namespace %s has the accounts %v; this package proves those of %v", home, names, accounts)
	}
}

// wholeOn waits until the rollout is wholly on an image.
func wholeOn(t *testing.T, rollout, img string) {
	t.Helper()
	fleet.Until(t, region, rollout, rollout+" whole on "+img, time.Minute, rig.Promoted(img))
}
