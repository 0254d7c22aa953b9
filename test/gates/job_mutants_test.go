//go:build lab && nightly

package gates

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/lab/image"
	"tidegate.io/tidegate/test/rig"
)

// jobMutant is one way in which somebody might loosen a gate that runs as a Job, and the fault of the table that must then get
// through, and be noticed.
type jobMutant struct {
	name, template, fault string
	loosen                func(metric map[string]any)
}

func jobMutants() []jobMutant {
	const smoke, genai, visual = "smoke-test-analysis", "genai-smoke-analysis", "visual-regression-analysis"
	mutants := []jobMutant{
		{"an answer may take any time", smoke, "answers too late (2 s)", withArgs("--max-latency=0")},
		{"another version is asked", smoke, "answers with errors", asking("{{args.service}}", "active")},
		{"the first token may take any time", genai, "first token too late (2 s)", withArgs("--max-first-token=0", "--timeout=60s")},
		{"an answer may be of any length", genai, "too many tokens (512)", withArgs("--max-tokens=0")},
		{"another version is asked", genai, "answers without a choice", asking("{{args.service}}", "active")},
		{"every pixel may differ", visual, "a button has moved", withArgs("--max-diff=100")},
		{"any colour is as good", visual, "a colour has changed", withArgs("--tolerance=255")},
		{"a version is compared with itself", visual, "a button has moved", asking("{{args.preview-service}}", "active")},
	}
	for _, r := range jobRows() {
		mutants = append(mutants,
			jobMutant{"the probe does nothing", r.template, r.fault, withArgs("--help")},
			jobMutant{"the Job may fail", r.template, r.fault, func(metric map[string]any) { metric["failureLimit"] = int64(1) }})
	}
	return mutants
}

// withArgs gives the probe more arguments, of which the last counts.
func withArgs(more ...any) func(map[string]any) {
	return changeArgs(func(args []any) []any { return append(args, more...) })
}

// asking puts another Service in the place of the one that is asked.
func asking(instead, service string) func(map[string]any) {
	return changeArgs(func(args []any) []any {
		for i, arg := range args {
			args[i] = strings.ReplaceAll(arg.(string), instead, service)
		}
		return args
	})
}

func changeArgs(change func([]any) []any) func(map[string]any) {
	return func(metric map[string]any) {
		job, _, _ := unstructured.NestedMap(metric, "provider", "job")
		containers, _, _ := unstructured.NestedSlice(job, "spec", "template", "spec", "containers")
		probe := containers[0].(map[string]any)
		probe["args"] = change(probe["args"].([]any))
		_ = unstructured.SetNestedSlice(metric, containers, "provider", "job", "spec", "template", "spec", "containers") // the path was read above
	}
}

// TestEachLoosenedJobIsCaught breaks each gate that runs as a Job in each way, on purpose: the fault that it is there for must
// then have another verdict than the table has.
func TestEachLoosenedJobIsCaught(t *testing.T) {
	rig.NeedBrowser(t)
	all := templates(t)
	serve(t, "active", image.Behaviour{}, false)
	var runs []*unstructured.Unstructured
	for k, m := range jobMutants() {
		i := slices.IndexFunc(jobRows(), func(r jobRow) bool { return r.template == m.template && r.fault == m.fault })
		if i < 0 {
			t.Fatalf("%s: the table has no fault %q of %s", m.name, m.fault, m.template)
		}
		row := jobRows()[i]
		service := fmt.Sprintf("mutant-%d", k)
		serve(t, service, row.outside, false)
		run := row.run(t, service, all)
		metrics, _, _ := unstructured.NestedSlice(run.Object, "spec", "metrics")
		m.loosen(metrics[0].(map[string]any))
		if err := unstructured.SetNestedSlice(run.Object, metrics, "spec", "metrics"); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	verdicts := judge(t, "jobs", runs)
	for k, m := range jobMutants() {
		if v := verdicts[runs[k].GetName()]; v.phase != "Successful" {
			t.Errorf("%s: %s (%s): %s, want Successful, or this mutant proves nothing\n%s", m.template, m.name, m.fault, v.phase, v.why)
		}
	}
	t.Logf("%d loosened Jobs were caught: each let its fault through", len(runs))
}
