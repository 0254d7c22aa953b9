//go:build lab && nightly

package gates

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// mutant is one way in which somebody might loosen a gate, and the cells of the table of which one must then go red.
type mutant struct {
	name   string
	loosen func(metric map[string]any) (changed bool)
	cells  []string
}

var (
	threshold = regexp.MustCompile(`(<=|>=|<|>|==) (\{\{args\.[a-z0-9-]+\}\}|\d+)$`)
	ownPods   = regexp.MustCompile(`\{\{args\.(hash-label|service-label)\}\}="\{\{args\.(canary-hash|service)\}\}"`)
)

func mutants() []mutant {
	return []mutant{
		{"it passes whatever the number is", func(m map[string]any) bool {
			guard := threshold.ReplaceAllString(text(m, "successCondition"), "> -1")
			m["successCondition"], m["failureCondition"] = guard, "false"
			return true
		}, []string{"just outside"}},
		{"an absent metric is taken for a good one", func(m map[string]any) bool {
			m["successCondition"] = "len(result) == 0 || (" + text(m, "successCondition") + ")"
			return true
		}, []string{"metric absent"}},
		{"an absent metric is taken for none of it", func(m map[string]any) bool {
			prometheus := m["provider"].(map[string]any)["prometheus"].(map[string]any)
			prometheus["query"] = "(" + prometheus["query"].(string) + ") or vector(0)"
			return true
		}, []string{"metric absent"}},
		{"what does not pass has failed", func(m map[string]any) bool {
			delete(m, "failureCondition")
			return true
		}, []string{"metric absent"}},
		{"what does not fail has passed", func(m map[string]any) bool {
			delete(m, "successCondition")
			return true
		}, []string{"metric absent"}},
		{"all measurements may fail", func(m map[string]any) bool {
			m["failureLimit"] = "{{args.count}}"
			return true
		}, []string{"just outside"}},
		{"it looks at every version at once", func(m map[string]any) bool {
			prometheus := m["provider"].(map[string]any)["prometheus"].(map[string]any)
			query := prometheus["query"].(string)
			mutated := ownPods.ReplaceAllString(query, `{{args.$1}}=~".+"`)
			prometheus["query"] = mutated
			return mutated != query
		}, []string{"healthy", "just outside", "metric absent"}},
	}
}

func text(m map[string]any, key string) string {
	s, _ := m[key].(string)
	return s
}

// TestEachLoosenedGateIsCaught breaks each metric in each way, on purpose: the table must notice every one of them.
func TestEachLoosenedGateIsCaught(t *testing.T) {
	e, all := &exporter{}, templates(t)
	byTitle := map[string]cell{}
	for _, c := range cells() {
		byTitle[c.title] = c
	}
	type try struct {
		row    row
		mutant mutant
		cell   cell
	}
	tries, runs := map[string]try{}, []*unstructured.Unstructured(nil)
	seen := map[string]bool{}
	for i, r := range rows() {
		if seen[r.metric] { // the same condition with another threshold
			continue
		}
		seen[r.metric] = true
		for k, m := range mutants() {
			for _, title := range m.cells {
				c := byTitle[title]
				version := fmt.Sprintf("%s-%d-%s", name(i, k), k, strings.ReplaceAll(title, " ", "-"))
				e.add(c.series(r, version)...)
				tries[version] = try{r, m, c}
			}
		}
	}
	address := scrape(t, e)
	for version, x := range tries {
		run := x.row.run(t, version, "mutants", address, all)
		metric := runtime.DeepCopyJSON(run.Object)["spec"].(map[string]any)["metrics"].([]any)[0].(map[string]any)
		if !x.mutant.loosen(metric) {
			t.Errorf("%s: nothing to change for %q: this mutant proves nothing", x.row.metric, x.mutant.name)
		}
		if err := unstructured.SetNestedSlice(run.Object, []any{metric}, "spec", "metrics"); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, run)
	}
	verdicts := judge(t, "mutants", runs)
	caught, count := map[string]bool{}, map[string]int{}
	for version, x := range tries {
		key := x.row.metric + ": " + x.mutant.name
		count[key]++
		// An Error says that the rig is broken, not that the table has noticed.
		if phase := verdicts["mutants-"+version].phase; phase != x.cell.want && phase != "Error" {
			caught[key] = true
		}
	}
	for key := range count {
		if !caught[key] {
			t.Errorf("%s: no cell of the table noticed", key)
		}
	}
	t.Logf("%d of %d loosened gates were caught", len(caught), len(count))
}
