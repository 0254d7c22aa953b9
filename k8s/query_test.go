package k8s_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	rollouts "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// eachQuery calls check with the query of every metric that asks Prometheus.
func eachQuery(t *testing.T, check func(t *testing.T, m rollouts.Metric, query parser.Expr)) {
	t.Helper()
	eachMetric(t, func(t *testing.T, _ use, m rollouts.Metric) {
		if m.Provider.Job != nil {
			return
		}
		p := m.Provider.Prometheus
		if p == nil || p.Address != "http://prometheus-server.monitoring.svc.cluster.local:9090" {
			t.Fatalf("%s: provider %v", m.Name, p)
		}
		check(t, m, parse(t, m))
	})
}

func parse(t *testing.T, m rollouts.Metric) parser.Expr {
	t.Helper()
	query, err := parser.ParseExpr(m.Provider.Prometheus.Query)
	if err != nil {
		t.Fatalf("%s: %v\n%s", m.Name, err, m.Provider.Prometheus.Query)
	}
	return query
}

func selectors(query parser.Expr) []*parser.VectorSelector {
	var found []*parser.VectorSelector
	parser.Inspect(query, func(node parser.Node, _ []parser.Node) error {
		if v, ok := node.(*parser.VectorSelector); ok {
			found = append(found, v)
		}
		return nil
	})
	return found
}

// is says whether a selector has this very matcher.
func is(v *parser.VectorSelector, kind labels.MatchType, name, value string) bool {
	return slices.ContainsFunc(v.LabelMatchers, func(m *labels.Matcher) bool {
		return m.Type == kind && m.Name == name && m.Value == value
	})
}

// A query that forgets the version judges the old one, which is fine.
func TestQueriesLookAtOneVersion(t *testing.T) {
	const hash = "rollouts_pod_template_hash"
	// How often each selects the stable version, and how often both; all else is the new one's.
	stable := map[string]int{"token-increase": 2, "cost-increase": 2}
	both := map[string]int{"hourly-cost": 1}
	eachQuery(t, func(t *testing.T, m rollouts.Metric, query parser.Expr) {
		ofStable, ofBoth := 0, 0
		for _, v := range selectors(query) {
			switch {
			case m.Name == "burn-rate" || m.Name == "budget-remaining":
				if !slices.ContainsFunc(v.LabelMatchers, func(m *labels.Matcher) bool {
					return m.Name == "sloth_service" && m.Type == labels.MatchEqual && m.Value != ""
				}) || !is(v, labels.MatchRegexp, "sloth_slo", ".*") {
					t.Errorf("%s selects %s", m.Name, v)
				}
				continue
			case is(v, labels.MatchEqual, hash, "stable-hash"):
				ofStable++
			case is(v, labels.MatchRegexp, hash, "latest-hash|stable-hash"):
				ofBoth++
			case !is(v, labels.MatchEqual, hash, "latest-hash"):
				t.Errorf("%s selects %s", m.Name, v)
			}
			if !is(v, labels.MatchEqual, "namespace", "its-namespace") {
				t.Errorf("%s selects %s", m.Name, v)
			}
		}
		if ofStable != stable[m.Name] || ofBoth != both[m.Name] {
			t.Errorf("%s looks at stable %d times, at both %d times", m.Name, ofStable, ofBoth)
		}
	})
}

// A metric is what its name says.
func TestQueriesSelectWhatTheyJudge(t *testing.T) {
	want := map[string]string{
		"success-rate":         `http_requests_total{status=~"[23].."}`,
		"server-error-rate":    `http_requests_total{status=~"5.."}`,
		"client-error-rate":    `http_requests_total{status=~"4.."}`,
		"latency-p50":          "http_request_duration_seconds_bucket 0.5",
		"latency-p95":          "http_request_duration_seconds_bucket 0.95",
		"latency-p99":          "http_request_duration_seconds_bucket 0.99",
		"token-increase":       "genai_tokens_total",
		"cost-increase":        "genai_cost_usd_total",
		"hourly-cost":          "genai_cost_usd_total",
		"residency-violations": `gdpr_violations_total{type="residency"}`,
		"pii-exposures":        `gdpr_violations_total{type="pii"}`,
		"audit-coverage":       "gdpr_audited_requests_total",
		"burn-rate":            "slo:sli_error:ratio_rate5m",
		"budget-remaining":     "slo:period_error_budget_remaining:ratio",
		"quality-score":        "ai_quality_score_sum",
		"clickhouse-query-p95": "clickhouse_query_duration_seconds_bucket 0.95",
		"lcp-p75":              "web_vitals_lcp_seconds_bucket 0.75",
		"inp-p75":              "web_vitals_inp_seconds_bucket 0.75",
		"cls-p75":              "web_vitals_cls_bucket 0.75",
	}
	eachQuery(t, func(t *testing.T, m rollouts.Metric, query parser.Expr) {
		if got := subject(query); got != want[m.Name] {
			t.Errorf("%s judges %s, want %s", m.Name, got, want[m.Name])
		}
	})
}

// subject is the first series that a query selects, by what sets it apart, and the quantile that is taken of it.
func subject(query parser.Expr) string {
	first := selectors(query)[0]
	text := first.Name
	for _, m := range first.LabelMatchers {
		if m.Name == "status" || m.Name == "type" {
			text += "{" + m.String() + "}"
		}
	}
	parser.Inspect(query, func(node parser.Node, _ []parser.Node) error {
		if call, ok := node.(*parser.Call); ok && call.Func.Name == "histogram_quantile" {
			text += " " + call.Args[0].String()
		}
		return nil
	})
	return text
}

// Argo looks at the first series of a result only.
func TestQueriesYieldOneSeries(t *testing.T) {
	eachQuery(t, func(t *testing.T, m rollouts.Metric, query parser.Expr) {
		if !single(query) {
			t.Errorf("%s may have several series:\n%s", m.Name, m.Provider.Prometheus.Query)
		}
	})
}

// single says whether an expression has at most one series, and that one without labels.
func single(e parser.Expr) bool {
	switch e := e.(type) {
	case *parser.NumberLiteral:
		return true
	case *parser.ParenExpr:
		return single(e.Expr)
	case *parser.AggregateExpr:
		return len(e.Grouping) == 0 && !e.Without
	case *parser.BinaryExpr:
		return single(e.LHS) && single(e.RHS)
	case *parser.Call:
		buckets, ok := e.Args[len(e.Args)-1].(*parser.AggregateExpr)
		return e.Func.Name == "histogram_quantile" && ok && slices.Equal(buckets.Grouping, []string{"le"}) && !buckets.Without
	}
	return false
}

// Too little to go by is inconclusive; a Rollout may want more than the template does, never less. That the guards work is
// tested on real numbers, in test/gates.
func TestQueriesWantEvidence(t *testing.T) {
	want := map[string][]string{ // where it is not of the new version alone
		"token-increase": {"latest-hash", "stable-hash"}, "cost-increase": {"latest-hash", "stable-hash"},
		"burn-rate": {"count"}, "budget-remaining": {"count"},
	}
	eachQuery(t, func(t *testing.T, m rollouts.Metric, query parser.Expr) {
		guards := want[m.Name]
		if guards == nil {
			guards = []string{"latest-hash"}
		}
		of, over := evidence(query)
		if diff := cmp.Diff(guards, of); diff != "" {
			t.Errorf("%s is sure without (-want +got):\n%s", m.Name, diff)
		}
		if !slices.IsSorted(over) || len(slices.Compact(over)) != len(of) {
			t.Errorf("%s: stable has no requests after a switch, and is looked at no longer: %v", m.Name, over)
		}
	})
}

// evidence are a query's comparisons with min-requests or slos: the version, or the aggregation, and the range of what it
// counts.
func evidence(query parser.Expr) (of []string, over []time.Duration) {
	parser.Inspect(query, func(node parser.Node, _ []parser.Node) error {
		compared, ok := node.(*parser.BinaryExpr)
		if !ok || compared.Op != parser.GTE || compared.ReturnBool {
			return nil
		}
		sum, isSum := compared.LHS.(*parser.AggregateExpr)
		least, isNumber := compared.RHS.(*parser.NumberLiteral)
		if !isSum || !isNumber {
			return nil
		}
		if sum.Op == parser.COUNT && least.Val >= 1 {
			of, over = append(of, "count"), append(over, 0)
		} else if call, ok := sum.Expr.(*parser.Call); ok && call.Func.Name == "increase" && least.Val >= 5 {
			in := call.Args[0].(*parser.MatrixSelector)
			of, over = append(of, hashOf(in.VectorSelector.(*parser.VectorSelector))), append(over, in.Range)
		}
		return nil
	})
	return of, over
}

func hashOf(v *parser.VectorSelector) string {
	for _, m := range v.LabelMatchers {
		if m.Name == "rollouts_pod_template_hash" {
			return m.Value
		}
	}
	return ""
}

// Every series can be narrowed down, and requests by themselves.
func TestMatchersReachEverySeries(t *testing.T) {
	ofRequests := []string{"http_requests_total", "http_request_duration_seconds_bucket", "http_request_duration_seconds_count"}
	for name, template := range templates(t) {
		values := defaults(t, []rollouts.AnalysisTemplate{template})
		maps.Copy(values, alone())
		maps.Copy(values, map[string]string{"more-matchers": `cluster="a",region=~"b|c"`, "request-matcher": `reporter="destination"`})
		for _, m := range template.Spec.Metrics {
			if m.Provider.Job != nil {
				continue
			}
			for _, v := range selectors(parse(t, resolve(t, values, m))) {
				if !is(v, labels.MatchEqual, "cluster", "a") || !is(v, labels.MatchRegexp, "region", "b|c") {
					t.Errorf("%s, %s: more-matchers do not reach %s", name, m.Name, v)
				}
				if is(v, labels.MatchEqual, "reporter", "destination") != slices.Contains(ofRequests, v.Name) {
					t.Errorf("%s, %s: request-matcher and %s", name, m.Name, v)
				}
			}
		}
	}
}

// Who scrapes once a minute has to widen all windows, and there is no other way to.
func TestRangesAreArguments(t *testing.T) {
	for name, template := range templates(t) {
		values := defaults(t, []rollouts.AnalysisTemplate{template})
		maps.Copy(values, alone())
		maps.Copy(values, map[string]string{"window": "7m", "baseline-window": "7m", "violation-window": "7m", "memory": "7m"})
		for _, m := range template.Spec.Metrics {
			if m.Provider.Job != nil {
				continue
			}
			parser.Inspect(parse(t, resolve(t, values, m)), func(node parser.Node, _ []parser.Node) error {
				if in, ok := node.(*parser.MatrixSelector); ok && in.Range != 7*time.Minute {
					t.Errorf("%s, %s: the range of %s is written out", name, m.Name, in)
				}
				return nil
			})
		}
	}
}
