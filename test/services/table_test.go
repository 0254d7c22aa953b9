//go:build lab

package services

import (
	"testing"
	"time"

	"tidegate.io/tidegate/internal/lab/image"
)

// service is one of the six, and the versions of it that must not get through.
type service struct {
	name   string
	good   func(t *testing.T, s service)
	faults []fault
}

// fault is a version that its own gate must catch.
type fault struct {
	name     string
	does     image.Behaviour
	caughtBy []string // metrics: any of them
	unseen   bool     // by users: it is caught before promotion
}

func services() []service {
	errors := fault{name: "5 % errors", does: image.Behaviour{Errors: 0.05}, caughtBy: []string{"success-rate", "server-error-rate"}}
	refusals := fault{name: "5 % of requests refused", does: image.Behaviour{ClientErrors: 0.05}, caughtBy: []string{"success-rate", "client-error-rate"}}
	slow := func(times float64) fault {
		return fault{name: "slow", does: image.Behaviour{Latency: times}, caughtBy: []string{"latency-p50", "latency-p95", "latency-p99"}}
	}
	broken := fault{name: "nothing but errors", does: image.Behaviour{Errors: 1}, caughtBy: []string{"smoke-test"}, unseen: true}
	greedy := fault{name: "40 % more tokens", does: image.Behaviour{Tokens: 1.4}, caughtBy: []string{"token-increase", "cost-increase"}}
	moved := func(how string) fault {
		return fault{name: "page " + how, does: image.Behaviour{Page: how}, caughtBy: []string{"visual-regression"}, unseen: true}
	}
	return []service{
		// The longest canary first, or the others would wait for it at the end.
		{"teei-data-residency", promotedByHand, []fault{
			{name: "data leaves its region", does: image.Behaviour{Violations: []string{"residency"}}, caughtBy: []string{"residency-violations"}},
			{name: "personal data gets out", does: image.Behaviour{Violations: []string{"pii"}}, caughtBy: []string{"pii-exposures"}},
			{name: "requests without an audit record", does: image.Behaviour{Unaudited: 0.1}, caughtBy: []string{"audit-coverage"}},
			refusals, slow(100),
		}},
		{"teei-api-gateway", promotedByHand, []fault{broken, errors, slow(100)}},
		{"teei-reporting", promotedByHand, []fault{
			{name: "answers without a choice", does: image.Behaviour{Garbled: true}, caughtBy: []string{"genai-smoke"}, unseen: true},
			greedy, errors, slow(200),
		}},
		{"teei-corp-cockpit-astro", promotedByTheClock(10 * time.Minute), []fault{
			moved(image.PageMoved), moved(image.PageRecoloured), broken, errors, slow(100),
			{name: "the page shows late", does: image.Behaviour{Vitals: 3}, caughtBy: []string{"lcp-p75", "inp-p75", "cls-p75"}},
		}},
		{"teei-q2q-ai", promotedByItself(10, 25, 50), []fault{
			{name: "worse answers", does: image.Behaviour{Quality: 0.6}, caughtBy: []string{"quality-score"}},
			greedy, errors, slow(200),
		}},
		{"teei-analytics", promotedByItself(5, 20, 50), []fault{
			{name: "slow queries", does: image.Behaviour{Queries: 10}, caughtBy: []string{"clickhouse-query-p95"}},
			errors, slow(600),
		}},
	}
}
