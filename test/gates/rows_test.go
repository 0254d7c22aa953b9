//go:build lab

package gates

import "fmt"

// row is one metric of one template, and series that give it any value one likes.
type row struct {
	template, metric string
	fault            string            // what the gate is there for
	args             map[string]string // beyond those of every row
	subject          string            // the argument that takes the version, where that is not canary-hash
	unit             string
	// What the metric must come out at: healthy, and just on either side of the threshold.
	healthy, inside, outside float64
	quiet                    string // the verdict without traffic, where that is not Inconclusive
	// series are of one version. value is what the metric must come out at; traffic is 1, or 0 for a version that nobody calls.
	series func(version string, value, traffic float64) []series
}

// perSecond is the traffic of each version, in requests per second.
const perSecond = 20.0

func of(version string) map[string]string {
	return map[string]string{"namespace": namespace, "rollouts_pod_template_hash": version, "app": "case"}
}

func requests(version, status string, rate float64) series {
	return counter("http_requests_total", rate, with(of(version), "status", status))
}

// answered is a version that answers a share of its requests with a status, and the others with 200.
func answered(status string) func(string, float64, float64) []series {
	return func(version string, share, traffic float64) []series {
		return []series{
			requests(version, "200", traffic*perSecond*(1-share)),
			requests(version, status, traffic*perSecond*share),
		}
	}
}

// quantile is a version whose histogram has all of its values so close around one that every quantile is it.
func quantile(name string) func(string, float64, float64) []series {
	return func(version string, value, traffic float64) []series {
		return histogram(name, traffic*perSecond, value*0.999, value*1.001, of(version))
	}
}

// spending is a version beside a stable one, with a total per request that is 1 for stable. For a long time it has spent as much
// as before says, and what the value says since a moment ago.
func spending(name string, before float64, perRequest func(value float64) float64) func(string, float64, float64) []series {
	const past = 10_000 // requests
	return func(version string, value, traffic float64) []series {
		stable := stableOf(version)
		return []series{
			risen("http_requests_total", past, traffic*perSecond, with(of(version), "status", "200")), requests(stable, "200", perSecond),
			risen(name, past*before, traffic*perSecond*perRequest(value), of(version)), counter(name, perSecond, of(stable)),
		}
	}
}

const (
	births   = 600 // pods of a version that come one a second, for as long as the suite may take
	lifetime = 6.0 // seconds of each of them
)

// youngPods are a version whose pods come and go. series are those of one of them.
func youngPods(version string, pod func(born float64, labels map[string]string) []series) []series {
	var all []series
	for i := range births {
		all = append(all, pod(float64(i), with(of(version), "pod", fmt.Sprint("pod-", i)))...)
	}
	return all
}

// youngSpending is a version beside a stable one that counts its costs from 0, and its requests from the first one on.
func youngSpending(version string, value, traffic float64) []series {
	stable := stableOf(version)
	return append(youngPods(version, func(born float64, labels map[string]string) []series {
		return []series{
			young("genai_cost_usd_total", born, 0, traffic*perSecond*(1+value), labels),
			young("http_requests_total", born, 0.5, traffic*perSecond, with(labels, "status", "200")),
		}
	}), requests(stable, "200", perSecond), counter("genai_cost_usd_total", perSecond, of(stable)))
}

// firstErrors is a version whose every pod answers its first requests well, and so many with an error right after.
func firstErrors(version string, value, traffic float64) []series {
	return youngPods(version, func(born float64, labels map[string]string) []series {
		all := []series{young("http_requests_total", born, 0, traffic*perSecond/2, with(labels, "status", "200"))}
		if value > 0 {
			failed := gauge("http_requests_total", value, with(labels, "status", "500"))
			failed.from, failed.to = born+1, born+lifetime
			all = append(all, failed)
		}
		return all
	})
}

func stableOf(version string) string { return version + "-stable" }

// more is a share on top of what stable spends.
func more(value float64) float64 { return 1 + value }

// hourly is the cost of a request at which the whole service costs so much an hour.
func hourly(value float64) float64 { return value / (2 * perSecond * 3600) }

// violations is a version whose counter of violations stands where it stood when it was first seen: born at its value.
func violations(kind string) func(string, float64, float64) []series {
	return func(version string, value, traffic float64) []series {
		return []series{
			requests(version, "200", traffic*perSecond),
			gauge("gdpr_violations_total", value, with(of(version), "type", kind)),
		}
	}
}

// quietViolations is a version that nobody has called since its violation.
func quietViolations(version string, value, traffic float64) []series {
	return violations("pii")(version, value, traffic*(1-value))
}

// audited is a version that writes a share of its requests to the audit trail.
func audited(version string, value, traffic float64) []series {
	return []series{
		requests(version, "200", traffic*perSecond),
		counter("gdpr_audited_requests_total", traffic*perSecond*value, of(version)),
	}
}

// errorBudget is that of an SLO of 99.9 %.
const errorBudget = 0.001

// burning is a service that burns its budget so many times too fast, by Sloth's recording rules. Sloth divides by the
// requests: without traffic there is no number, and no series.
func burning(service string, value, traffic float64) []series {
	if traffic == 0 {
		return nil
	}
	slo := map[string]string{"sloth_service": service, "sloth_slo": "requests-availability", "sloth_id": service + "-requests"}
	return []series{
		gauge("slo:sli_error:ratio_rate5m", value*errorBudget, with(slo, "sloth_window", "5m")),
		gauge("slo:sli_error:ratio_rate1h", value*errorBudget, with(slo, "sloth_window", "1h")),
		gauge("slo:error_budget:ratio", errorBudget, slo),
	}
}

// budgetLeft is what remains of a period's budget. A night without traffic spends nothing of it.
func budgetLeft(service string, value, _ float64) []series {
	return []series{gauge("slo:period_error_budget_remaining:ratio", value,
		map[string]string{"sloth_service": service, "sloth_slo": "requests-availability", "sloth_id": service + "-requests"})}
}

func scored(version string, value, traffic float64) []series {
	return histogram("ai_quality_score", traffic*perSecond, value, value, of(version))
}

func rows() []row {
	ai := map[string]string{"max-p50-seconds": "0.4", "max-p95-seconds": "0.8", "max-p99-seconds": "1.6"}
	analytics := map[string]string{"max-p50-seconds": "1", "max-p95-seconds": "2", "max-p99-seconds": "4"}
	production := map[string]string{"min-success-rate": "0.995", "max-server-error-rate": "0.005", "max-client-error-rate": "0.005"}
	latency := quantile("http_request_duration_seconds")
	failures := func(version string, value, traffic float64) []series {
		return answered("500")(version, 1-value, traffic)
	}
	return []row{
		{template: "success-rate-analysis", metric: "success-rate", fault: "fewer answers come out well", healthy: 1, inside: 0.991, outside: 0.989, series: failures},
		{template: "success-rate-analysis", metric: "success-rate", fault: "the same, by production's threshold", args: production, healthy: 1, inside: 0.9955, outside: 0.9945, series: failures},
		{template: "success-rate-analysis", metric: "server-error-rate", fault: "5xx", healthy: 0, inside: 0.009, outside: 0.011, series: answered("503")},
		{template: "success-rate-analysis", metric: "server-error-rate", fault: "one 5xx of each new pod", healthy: 0, inside: 0, outside: 1, series: firstErrors},
		{template: "success-rate-analysis", metric: "client-error-rate", fault: "4xx", healthy: 0, inside: 0.009, outside: 0.011, series: answered("404")},
		{template: "latency-analysis", metric: "latency-p50", fault: "slow for everyone", unit: "s", healthy: 0.01, inside: 0.245, outside: 0.255, series: latency},
		{template: "latency-analysis", metric: "latency-p95", fault: "slow for one in twenty", unit: "s", healthy: 0.02, inside: 0.495, outside: 0.505, series: latency},
		{template: "latency-analysis", metric: "latency-p95", fault: "the same, AI services", args: ai, unit: "s", healthy: 0.02, inside: 0.795, outside: 0.805, series: latency},
		{template: "latency-analysis", metric: "latency-p95", fault: "the same, analytics", args: analytics, unit: "s", healthy: 0.02, inside: 1.98, outside: 2.02, series: latency},
		{template: "latency-analysis", metric: "latency-p99", fault: "slow for one in a hundred", unit: "s", healthy: 0.03, inside: 0.99, outside: 1.01, series: latency},
		{template: "genai-token-analysis", metric: "token-increase", fault: "more tokens per request than stable", healthy: 0, inside: 0.19, outside: 0.21, series: spending("genai_tokens_total", 1, more)},
		{template: "genai-token-analysis", metric: "cost-increase", fault: "dearer per request than stable", healthy: 0, inside: 0.19, outside: 0.21, series: spending("genai_cost_usd_total", 1, more)},
		{template: "genai-token-analysis", metric: "cost-increase", fault: "the same, of pods that come and go", healthy: 0, inside: 0.05, outside: 0.35, series: youngSpending},
		{template: "genai-token-analysis", metric: "hourly-cost", fault: "over the budget, if all traffic were its own", unit: "USD/h", healthy: 1, inside: 18, outside: 22, series: spending("genai_cost_usd_total", hourly(1), hourly)},
		{template: "gdpr-compliance-analysis", metric: "residency-violations", fault: "one request left its region", healthy: 0, inside: 0, outside: 1, series: violations("residency")},
		{template: "gdpr-compliance-analysis", metric: "pii-exposures", fault: "personal data got out once", healthy: 0, inside: 0, outside: 1, series: violations("pii")},
		{template: "gdpr-compliance-analysis", metric: "pii-exposures", fault: "the same, and no request since", healthy: 0, inside: 0, outside: 1, series: quietViolations},
		{template: "gdpr-compliance-analysis", metric: "audit-coverage", fault: "requests without an audit record", healthy: 1, inside: 0.992, outside: 0.988, series: audited},
		{template: "slo-gate-analysis", metric: "burn-rate", fault: "the service burns its budget already", subject: "service", healthy: 0.5, inside: 14.3, outside: 14.5, series: burning},
		{template: "slo-gate-analysis", metric: "budget-remaining", fault: "the budget is almost spent", subject: "service", healthy: 0.8, inside: 0.102, outside: 0.098, quiet: "Successful", series: budgetLeft},
		{template: "ai-quality-analysis", metric: "quality-score", fault: "answers get worse", healthy: 0.9, inside: 0.705, outside: 0.695, series: scored},
		{template: "clickhouse-performance-analysis", metric: "clickhouse-query-p95", fault: "slow queries", unit: "s", healthy: 0.4, inside: 1.98, outside: 2.02, series: quantile("clickhouse_query_duration_seconds")},
		{template: "web-vitals-analysis", metric: "lcp-p75", fault: "the page shows late", unit: "s", healthy: 1.2, inside: 2.47, outside: 2.53, series: quantile("web_vitals_lcp_seconds")},
		{template: "web-vitals-analysis", metric: "inp-p75", fault: "the page answers late", unit: "s", healthy: 0.08, inside: 0.198, outside: 0.202, series: quantile("web_vitals_inp_seconds")},
		{template: "web-vitals-analysis", metric: "cls-p75", fault: "the page jumps", healthy: 0.02, inside: 0.098, outside: 0.102, series: quantile("web_vitals_cls")},
	}
}
