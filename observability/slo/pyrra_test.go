package slo_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/promql/parser"
)

const onPyrra = "components: [../k8s/components/pyrra]\n"

// objective is a ServiceLevelObjective of Pyrra's with the label `pyrra.dev/service`.
type objective struct {
	service, name, target string
	window, long          string // the period, and the longer of its two quick windows
	le                    string // "" is an availability
}

// record is what Pyrra records of an objective, as far as the gate looks: written after slo/rules.go of Pyrra v0.9, with
// generic rules. Pyrra itself was not run.
func (o objective) record() []rule {
	generic := map[string]string{"slo": o.name, "service": o.service}
	labels := with(generic, "app", o.service, "namespace", "default")
	matchers := fmt.Sprintf("app=%q,namespace=\"default\"", o.service)
	base, total, part := "http_requests", "http_requests_total{"+matchers+"}", "http_requests_total{"+matchers+`,status=~"5.."}`
	by, burn := "status", "sum(rate(%[2]s[%[3]s])) / sum(rate(%[1]s[%[3]s]))"
	errors := "sum(rate(%[2]s[5m])) or vector(0)"
	availability := `1 - sum(%[1]s{%[2]s,slo=%[3]q,status=~"5.."} or vector(0)) / sum(%[1]s{%[2]s,slo=%[3]q})`
	if o.le != "" {
		base, total = "http_request_duration_seconds", "http_request_duration_seconds_count{"+matchers+"}"
		part = fmt.Sprintf("http_request_duration_seconds_bucket{%s,le=%q}", matchers, o.le)
		by, burn = "le", "(sum(rate(%[1]s[%[3]s])) - sum(rate(%[2]s[%[3]s]))) / sum(rate(%[1]s[%[3]s]))"
		errors = "sum(rate(%[1]s[5m])) - sum(rate(%[2]s[5m]))"
		availability = fmt.Sprintf(`sum(%%[1]s{%%[2]s,slo=%%[3]q,le=%q} or vector(0)) / sum(%%[1]s{%%[2]s,slo=%%[3]q,le=""})`, o.le)
	}
	increase := base + ":increase" + o.window
	recorded := []rule{{increase, fmt.Sprintf("sum by (%s) (increase(%s[%s]))", by, total, o.window), labels}}
	if o.le != "" {
		recorded = append(recorded, rule{increase, fmt.Sprintf("sum by (le) (increase(%s[%s]))", part, o.window), with(labels, "le", o.le)})
	}
	return append(recorded,
		rule{base + ":burnrate5m", fmt.Sprintf(burn, total, part, "5m"), labels},
		rule{base + ":burnrate" + o.long, fmt.Sprintf(burn, total, part, o.long), labels},
		rule{"pyrra_objective", o.target, generic},
		rule{"pyrra_availability", fmt.Sprintf(availability, increase, matchers, o.name), generic},
		rule{"pyrra_requests:rate5m", "sum(rate(" + total + "[5m]))", generic},
		rule{"pyrra_errors:rate5m", fmt.Sprintf(errors, total, part), generic},
	)
}

func TestGateOnPyrra(t *testing.T) {
	series := slices.Concat(
		traffic(t, "teei-api-gateway", "0.5", phase{minutes, 10_000, 1, 200}),                 // 0.01 % of errors, 2 % slow
		traffic(t, "teei-reporting", "0.5", phase{minutes, 600, 12, 0}),                       // 2 % of errors
		traffic(t, "teei-corp-cockpit-astro", "0.5", phase{minutes, 1000, 0, 0}),              // never an error
		traffic(t, "teei-q2q-ai", "0.5", phase{minutes - 60, 1000, 0, 0}, phase{60, 0, 0, 0}), // quiet now
		traffic(t, "teei-analytics", "0.5", phase{minutes, 600, 0, 540}),                      // 90 % slow
		traffic(t, "teei-data-residency", "", phase{minutes, 1000, 0, 0}),                     // no histogram
	)
	var recorded []rule
	for _, s := range specs(t) {
		for _, o := range []objective{
			{s.Service, s.Service + "-availability", "0.999", "4w", "1h", ""},
			{s.Service, s.Service + "-latency", "0.95", "30d", "1h4m", "0.5"},
		} {
			recorded = append(recorded, o.record()...)
		}
	}
	measure(t, gate(t, onPyrra), series, recorded, []measurement{
		{"teei-api-gateway", "burn-rate", 2, pass, 0.4},
		{"teei-api-gateway", "budget-remaining", 2, pass, 0.6},
		{"teei-reporting", "burn-rate", 2, fail, 20},
		{"teei-reporting", "budget-remaining", 2, fail, -19},
		{"teei-corp-cockpit-astro", "burn-rate", 2, pass, 0},
		{"teei-corp-cockpit-astro", "budget-remaining", 2, pass, 1},
		{"teei-q2q-ai", "burn-rate", 1, unclear, 0},
		{"teei-q2q-ai", "burn-rate", 2, unclear, 0},
		{"teei-q2q-ai", "budget-remaining", 2, pass, 1},
		{"teei-analytics", "burn-rate", 2, fail, 18},
		{"teei-data-residency", "burn-rate", 1, pass, 0},
		{"teei-data-residency", "budget-remaining", 1, pass, 1},
		{"teei-data-residency", "burn-rate", 2, unclear, 0},
		{"teei-data-residency", "budget-remaining", 2, unclear, 0},
		{"teei-none", "burn-rate", 1, unclear, 0},
		{"teei-none", "budget-remaining", 1, unclear, 0},
	})
}

// A Rollout that uses the gate need not know which of the two records: the arguments that it may give are the same, and
// so is what passes.
func TestGateOnPyrraAsksTheSame(t *testing.T) {
	sloth, pyrra := gate(t, ""), gate(t, onPyrra)
	names := map[string]bool{}
	for _, arg := range pyrra.Spec.Args {
		names[arg.Name] = true
	}
	for _, arg := range sloth.Spec.Args {
		if !names[arg.Name] && arg.Name != "error-budget-metric" && arg.Name != "budget-remaining-metric" {
			t.Errorf("argument %s is gone", arg.Name)
		}
	}
	for i := range pyrra.Spec.Metrics {
		query := resolve(t, pyrra, map[string]string{"service": "a"}, pyrra.Spec.Metrics[i].Provider.Prometheus.Query)
		if _, err := parser.ParseExpr(query); err != nil {
			t.Errorf("%v\n%s", err, query)
		}
		pyrra.Spec.Metrics[i].Provider.Prometheus.Query = sloth.Spec.Metrics[i].Provider.Prometheus.Query
	}
	if diff := cmp.Diff(sloth.Spec.Metrics, pyrra.Spec.Metrics); diff != "" {
		t.Errorf("more than the queries differ (-sloth +pyrra):\n%s", diff)
	}
}
