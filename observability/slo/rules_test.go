// Package slo_test proves the recording rules: that they are those of the objectives, and what they make of traffic.
package slo_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// spec is one service of teei.yaml, as far as the tests look.
type spec struct {
	Service string `json:"service"`
	SLOs    []struct {
		Name      string  `json:"name"`
		Objective float64 `json:"objective"`
		SLI       struct {
			Events struct {
				Error string `json:"error_query"`
				Total string `json:"total_query"`
			} `json:"events"`
		} `json:"sli"`
	} `json:"slos"`
}

func specs(t *testing.T) []spec {
	t.Helper()
	text, err := os.ReadFile("teei.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var all []spec
	for document := range strings.SplitSeq(string(text), "\n---\n") {
		var s spec
		if err := yaml.Unmarshal([]byte(document), &s); err != nil {
			t.Fatal(err)
		}
		if s.Service != "" {
			all = append(all, s)
		}
	}
	if len(all) != 6 {
		t.Fatalf("%d services, want six", len(all))
	}
	return all
}

func rules(t *testing.T) []rule {
	t.Helper()
	text, err := os.ReadFile("rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	return all
}

// That the whole file is what Sloth makes is for `make lint` to say, for Sloth takes minutes to compile. That it is
// made of these objectives can be seen without.
func TestRulesAreThoseOfTheObjectives(t *testing.T) {
	want, got := map[string]string{}, map[string]string{}
	for _, s := range specs(t) {
		for _, slo := range s.SLOs {
			for _, window := range []string{"5m", "30m", "1h", "2h", "6h", "1d", "3d"} {
				events := slo.SLI.Events
				expr := fmt.Sprintf("(%s)\n/\n(%s)\n", events.Error, events.Total)
				want[s.Service+" "+slo.Name+" "+window] = canonical(t, strings.ReplaceAll(expr, "{{.window}}", window))
			}
			want[s.Service+" "+slo.Name] = canonical(t, fmt.Sprintf("vector(1 - %v)", slo.Objective/100))
		}
	}
	for _, r := range rules(t) {
		key := r.Labels["sloth_service"] + " " + r.Labels["sloth_slo"]
		switch window := r.Labels["sloth_window"]; {
		case r.Record == "slo:error_budget:ratio":
			got[key] = canonical(t, r.Expr)
		case r.Record == "slo:sli_error:ratio_rate"+window && window != "30d":
			got[key+" "+window] = canonical(t, r.Expr)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rules.yaml is not made of teei.yaml (-want +got); run: make generate\n%s", diff)
	}
}

func canonical(t *testing.T, expr string) string {
	t.Helper()
	parsed, err := parser.ParseExpr(expr)
	if err != nil {
		t.Fatalf("%v\n%s", err, expr)
	}
	return parsed.String()
}

// The names and labels that slo-gate-analysis asks for, and the values, reckoned by hand.
func TestRulesRecordWhatTheGateAsksFor(t *testing.T) {
	series := slices.Concat(
		traffic(t, "teei-api-gateway", "0.5", phase{minutes, 10_000, 1, 200}),                                           // 0.01 % of errors, 2 % slow
		traffic(t, "teei-reporting", "0.8", phase{minutes, 600, 12, 0}),                                                 // 2 % of errors
		traffic(t, "teei-corp-cockpit-astro", "0.5", phase{600, 100, 0, 0}, phase{480, 0, 0, 0}, phase{480, 100, 0, 5}), // a quiet night
		traffic(t, "teei-analytics", "2.0", phase{minutes, 600, 0, 540}),                                                // 90 % slow
	)
	const availability, latency = 0.001, 0.05 // the budgets: 1 - objective
	var want [][]sample
	var queries []string
	for _, c := range []struct {
		service, slo                   string
		budget, short, long, remaining float64
	}{
		{"teei-api-gateway", "availability", availability, 0.0001, 0.0001, 0.9},
		{"teei-api-gateway", "latency", latency, 0.02, 0.02, 0.6},
		{"teei-reporting", "availability", availability, 0.02, 0.02, -19}, // burns 20 times too fast
		{"teei-reporting", "latency", latency, 0, 0, 1},
		{"teei-corp-cockpit-astro", "availability", availability, 0, 0, 1},
		// Each minute with a number counts the same: 600 of the first day, the night's first three, whose windows reach back, and
		// 480 of the second, with 5 % slow.
		{"teei-corp-cockpit-astro", "latency", latency, 0.05, 0.05, 1 - 480.0/(600+480+3)},
		{"teei-analytics", "availability", availability, 0, 0, 1},
		{"teei-analytics", "latency", latency, 0.9, 0.9, 1 - 18},
	} {
		selector := fmt.Sprintf("{sloth_service=%q, sloth_slo=%q}", c.service, c.slo)
		id := map[string]string{"sloth_id": c.service + "-" + c.slo, "sloth_service": c.service, "sloth_slo": c.slo}
		for _, w := range []sample{
			{with(id, "__name__", "slo:sli_error:ratio_rate5m", "sloth_window", "5m"), c.short},
			{with(id, "__name__", "slo:sli_error:ratio_rate1h", "sloth_window", "1h"), c.long},
			{with(id, "__name__", "slo:error_budget:ratio"), c.budget},
			{with(id, "__name__", "slo:period_error_budget_remaining:ratio", "sloth_window", "30d"), c.remaining},
		} {
			want, queries = append(want, []sample{w}), append(queries, w.Labels["__name__"]+selector)
		}
	}
	for i, got := range ask(t, series, rules(t), queries...) {
		if diff := cmp.Diff(want[i], got, cmp.Comparer(near)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", queries[i], diff)
		}
	}
}

// near is equal, but for what floating point does.
func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func with(labels map[string]string, pairs ...string) map[string]string {
	more := maps.Clone(labels)
	for i := 0; i < len(pairs); i += 2 {
		more[pairs[i]] = pairs[i+1]
	}
	return more
}
