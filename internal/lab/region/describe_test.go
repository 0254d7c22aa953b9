package region

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/tools/clientcmd"

	"tidegate.io/tidegate/internal/lab/build"
)

var update = flag.Bool("update", false, "write testdata anew")

// fixed is a config in which nothing is random.
func fixed() Config {
	pem := func(name string) []byte { return []byte("PEM of " + name + "\n") }
	return Config{
		Name: "us-west",
		Dir:  "/state/regions/us-west",
		Binaries: build.Binaries{
			Etcd: "/bin/etcd", APIServer: "/bin/kube-apiserver", ControllerManager: "/bin/kube-controller-manager",
			Rollouts: "/bin/rollouts-controller", Prometheus: "/bin/prometheus",
		},
		Ports: Ports{
			Etcd: 20001, EtcdPeer: 20002, API: 20003, Kubelet: 20004, Proxy: 20005, Egress: 20006, Gateway: 20007,
			Mesh: 20008, Rollouts: 20009, RolloutsProbe: 20010, Prometheus: 20011,
		},
		PKI: PKI{
			CA: pem("the CA"), ServerCert: pem("the server"), ServerKey: pem("the server's key"),
			NodeCert: pem("the node"), NodeKey: pem("the node's key"),
			ClientCert: pem("the client"), ClientKey: pem("the client's key"), ServiceAccountKey: pem("the account key"),
		},
		Tokens: Tokens{Admin: "token-a", Lab: "token-l", ControllerManager: "token-c", Prometheus: "token-p"},
	}
}

// TestDescribe shows a region as it would be run: every flag and every file. Run it with -update, and read the diff.
func TestDescribe(t *testing.T) {
	d, err := Describe(fixed())
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range []string{Etcd, APIServer, ControllerManager, Rollouts, Prometheus} {
		spec := d.Processes[name]
		fmt.Fprintf(&b, "== process %s\n%s\n", spec.Name, spec.Path)
		for _, arg := range spec.Args {
			fmt.Fprintf(&b, "  %s\n", arg)
		}
		fmt.Fprintf(&b, "env %q\ndir %s\nlog %s\n\n", spec.Env, spec.Dir, spec.Log)
	}
	for _, file := range d.Files {
		fmt.Fprintf(&b, "== file %s\n%s\n", file.Path, file.Content)
	}
	golden := filepath.Join("testdata", "describe.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the region is described otherwise (-want +got):\n%s", diff)
	}
}

// Every listener of a process must be on loopback and on a port of its region, and every file that a flag names must be
// one that is written.
func TestDescribeIsConsistent(t *testing.T) {
	c := fixed()
	d, err := Describe(c)
	if err != nil {
		t.Fatal(err)
	}
	known := []string{c.path("etcd"), c.path("prometheus"), c.path(rolloutsToken)}
	for _, file := range d.Files {
		known = append(known, c.path(file.Path))
	}
	for name, spec := range d.Processes {
		for _, word := range append(slices.Clone(spec.Args), spec.Env...) {
			_, value, _ := strings.Cut(word, "=")
			if strings.HasPrefix(value, c.Dir) && !slices.Contains(known, value) {
				t.Errorf("%s: %s names a file that nobody writes", name, word)
			}
			if strings.Contains(word, "0.0.0.0") || strings.Contains(word, "localhost") {
				t.Errorf("%s: %s: want 127.0.0.1", name, word)
			}
		}
	}
}

func TestKubeconfigsCanBeRead(t *testing.T) {
	c := fixed()
	d, err := Describe(c)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]struct{ token, file string }{
		controllerManagerConfig: {token: "token-c"},
		prometheusConfig:        {token: "token-p"},
		rolloutsConfig:          {file: c.path(rolloutsToken)},
	} {
		i := slices.IndexFunc(d.Files, func(f File) bool { return f.Path == path })
		if i < 0 {
			t.Errorf("%s is not written", path)
			continue
		}
		config, err := clientcmd.Load(d.Files[i].Content)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		context := config.Contexts[config.CurrentContext]
		if context == nil {
			t.Errorf("%s: no current context", path)
			continue
		}
		if user := config.AuthInfos[context.AuthInfo]; user.Token != want.token || user.TokenFile != want.file {
			t.Errorf("%s: token %q from %q, want %q from %q", path, user.Token, user.TokenFile, want.token, want.file)
		}
		if server := config.Clusters[context.Cluster].Server; server != "https://127.0.0.1:20003" {
			t.Errorf("%s: server %s", path, server)
		}
	}
}

// A name or a folder may hold what YAML would read as something else.
func TestDescribeQuotes(t *testing.T) {
	c := fixed()
	c.Name, c.Dir = "on", `/tmp/a "b": c`
	d, err := Describe(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range d.Files {
		content := string(file.Content)
		if file.Path == prometheusFile && !strings.Contains(content, `region: "on"`) ||
			file.Path == egressFile && !strings.Contains(content, `"/tmp/a \"b\": c/pki/ca.crt"`) {
			t.Errorf("%s is not quoted:\n%s", file.Path, content)
		}
	}
}
