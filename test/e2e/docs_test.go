//go:build lab

package e2e

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidegate.io/tidegate/internal/lab"
)

// elsewhere are commands of the docs that other tests run, or that need what no lab has.
var elsewhere = map[string]string{
	"make demo":  "TestDemo runs what it runs",
	"make test":  "it is what runs this test",
	"make build": "make test builds first",
	"kubectl apply -k k8s/components/prometheus-operator/": "needs the Prometheus operator's CRD",
	"kubectl explain":               "spoken of, not told to be run",
	"kubectl logs":                  "spoken of, not told to be run",
	"kubectl apply -k":              "spoken of, not told to be run",
	"kubectl apply":                 "spoken of, not told to be run",
	"kubectl argo rollouts promote": "spoken of, not told to be run",
}

var (
	block  = regexp.MustCompile("(?s)```sh\n(.*?)```")
	inline = regexp.MustCompile("`(kubectl [^`]+)`")
)

// TestDocs runs every command of the pages, in order, as a reader would type it: in the checkout, with tidegate, kubectl
// and the Rollouts plugin on the PATH.
func TestDocs(t *testing.T) {
	fleet.quiet(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 8*time.Minute, errors.New("the docs' commands did not end within 8 minutes"))
	defer cancel()
	binaries, err := lab.Build(ctx, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	f, err := start(ctx, fleet.binary, filepath.Join(dir, "lab"), []string{"us-west"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
	path := strings.Join([]string{filepath.Dir(fleet.binary), filepath.Dir(binaries.Kubectl), filepath.Dir(binaries.KubectlArgo), os.Getenv("PATH")}, ":")
	for _, page := range []string{"README.md", "docs/lab.md", "docs/rollout.md", "docs/rollback.md", "docs/states.md", "k8s/README.md", "CONTRIBUTING.md", "SECURITY.md"} {
		text, err := os.ReadFile(filepath.Join("../..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, script := range scripts(string(text)) {
			t.Run(page+"/"+strings.SplitN(script, "\n", 2)[0], func(t *testing.T) {
				cmd := exec.CommandContext(ctx, "bash", "-ec", script)
				cmd.Dir = "../.."
				state := f.lab.Dir()
				if strings.Contains(script, "lab up") {
					state = filepath.Join(dir, "second")
				}
				cmd.Env = append(os.Environ(), "PATH="+path, "KUBECONFIG="+f.lab.Kubeconfig(), lab.Variable+"="+state)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%v\n$ %s\n%s", err, script, out)
				}
			})
		}
	}
}

// scripts are the shell blocks of a page and the kubectl commands within its sentences, without those run elsewhere.
func scripts(page string) []string {
	var found []string
	for _, m := range block.FindAllStringSubmatch(page, -1) {
		found = append(found, m[1])
	}
	for _, m := range inline.FindAllStringSubmatch(page, -1) {
		found = append(found, m[1])
	}
	var kept []string
	for _, script := range found {
		command, _, _ := strings.Cut(script, "#")
		if elsewhere[strings.TrimSpace(command)] == "" {
			kept = append(kept, script)
		}
	}
	return kept
}
