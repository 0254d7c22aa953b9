package slo_test

import (
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"tidegate.io/tidegate/k8s"
)

var latencyBound = regexp.MustCompile(`, le=~?"([0-9.]+)`)

// An objective beyond the latency gate's limit would let a release begin that the gate must stop, and one below it would
// stop releases that nothing is wrong with.
func TestLatencyObjectivesAreTheGatesLimits(t *testing.T) {
	var latency rollouts.AnalysisTemplate
	read(t, "rollouts/analysis/latency.yaml", &latency)
	limit := ""
	for _, arg := range latency.Spec.Args {
		if arg.Name == "max-p95-seconds" {
			limit = *arg.Value
		}
	}
	want, got := map[string]string{}, map[string]string{}
	for _, s := range specs(t) {
		for _, slo := range s.SLOs {
			if slo.Name == "latency" {
				want[s.Service] = limit
				got[s.Service] = latencyBound.FindStringSubmatch(slo.SLI.Events.Error)[1]
				if slo.Objective != 95 {
					t.Errorf("%s: the gate's limit is the p95's, the objective %v %%", s.Service, slo.Objective)
				}
			}
		}
	}
	files, err := fs.Glob(k8s.FS, "rollouts/*/teei-*.yaml")
	if err != nil || len(files) != len(want) {
		t.Fatalf("Rollouts %v (%v), objectives of %v", files, err, slices.Collect(maps.Keys(want)))
	}
	for _, file := range files {
		var r rollouts.Rollout
		read(t, file, &r)
		for _, analysis := range analyses(r) {
			for _, arg := range analysis.Args {
				if arg.Name == "max-p95-seconds" {
					want[r.Name] = arg.Value
				}
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("limits in seconds (-gate +objective):\n%s", diff)
	}
}

// read is the first document of a manifest, which is the Rollout or the template.
func read(t *testing.T, name string, into any) {
	t.Helper()
	text, err := fs.ReadFile(k8s.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		if strings.Contains(document, "\nkind: Rollout\n") || strings.Contains(document, "\nkind: AnalysisTemplate\n") {
			if err := yaml.Unmarshal([]byte(document), into); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return
		}
	}
	t.Fatalf("%s has neither a Rollout nor a template", name)
}

func analyses(r rollouts.Rollout) []rollouts.RolloutAnalysis {
	var all []rollouts.RolloutAnalysis
	if b := r.Spec.Strategy.BlueGreen; b != nil {
		for _, a := range []*rollouts.RolloutAnalysis{b.PrePromotionAnalysis, b.PostPromotionAnalysis} {
			if a != nil {
				all = append(all, *a)
			}
		}
	}
	if c := r.Spec.Strategy.Canary; c != nil {
		if c.Analysis != nil {
			all = append(all, c.Analysis.RolloutAnalysis)
		}
		for _, step := range c.Steps {
			if step.Analysis != nil {
				all = append(all, *step.Analysis)
			}
		}
	}
	return all
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// The page's example is a Rollout's, asks before the new version has any traffic, and misses no objective.
func TestPageShowsTheGateAsItIs(t *testing.T) {
	page, err := os.ReadFile("../../docs/slo.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllSubmatch(page, -1)
	if len(blocks) != 1 {
		t.Fatalf("%d examples, want one", len(blocks))
	}
	var shown rollouts.RolloutSpec
	if err := yaml.UnmarshalStrict(blocks[0][1], &shown); err != nil {
		t.Fatal(err)
	}
	first := shown.Strategy.Canary.Steps[0].Analysis
	if first == nil || len(first.Templates) != 1 || first.Templates[0].TemplateName != "slo-gate-analysis" {
		t.Fatalf("the first step is %v", shown.Strategy.Canary.Steps[0])
	}
	known, given := map[string]bool{}, map[string]string{}
	for _, arg := range gate(t, "").Spec.Args {
		known[arg.Name] = true
		if arg.Value != nil {
			given[arg.Name] = *arg.Value
		}
	}
	for _, arg := range first.Args {
		given[arg.Name] = arg.Value
		if !known[arg.Name] {
			t.Errorf("the template has no argument %s", arg.Name)
		}
	}
	number := func(name string) int {
		n, err := strconv.Atoi(given[name])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return n
	}
	if number("failure-limit")+number("inconclusive-limit") >= number("count") {
		t.Errorf("passes on nothing: limits %s and %s, count %s", given["failure-limit"], given["inconclusive-limit"], given["count"])
	}
	objectives := map[string]string{}
	for _, s := range specs(t) {
		objectives[s.Service] = strconv.Itoa(len(s.SLOs))
	}
	if service := given["service"]; objectives[service] == "" || given["slos"] != objectives[service] ||
		first.AnalysisRunMetadata == nil || first.AnalysisRunMetadata.Labels["rollout"] != service {
		t.Errorf("service %q has %q objectives, the example wants %q; labels %v",
			service, objectives[service], given["slos"], first.AnalysisRunMetadata)
	}
}
