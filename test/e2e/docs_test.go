//go:build lab

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tidegate.io/tidegate/internal/lab"
)

// elsewhere are commands of the docs that other tests run, and those that are only spoken of.
var elsewhere = map[string]string{
	"make demo":                     "TestDemo runs what it runs",
	"make test":                     "it is what runs this test",
	"make build":                    "make test builds first",
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
	t.Parallel() // beside the dead region: both have labs of their own
	fleet.Quiet(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), 8*time.Minute, errors.New("the docs' commands did not end within 8 minutes"))
	defer cancel()
	f := fleet.Another(t, lab.Options{Regions: []string{"us-west"}})
	f.ServeEveryKind(t)
	for _, page := range pages(t) {
		text, err := os.ReadFile(filepath.Join("../..", page))
		if err != nil {
			t.Fatal(err)
		}
		for _, script := range scripts(string(text)) {
			t.Run(page+"/"+strings.SplitN(script, "\n", 2)[0], func(t *testing.T) {
				if strings.Contains(script, "lab up") { // not in the place of the one that is up
					script = fmt.Sprintf("export %s=%s\n%s", lab.Variable, t.TempDir(), script)
				}
				if _, err := f.Shell(ctx, "cd ../..\n"+script); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// pages are all of ours. That of the manifests comes last, for it applies them as they are, without the lab's time lapse.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(found) == 0 {
		t.Fatalf("no pages in docs: %v", err)
	}
	all := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"}
	for _, page := range found {
		all = append(all, path.Join("docs", filepath.Base(page)))
	}
	return append(all, "k8s/README.md")
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
