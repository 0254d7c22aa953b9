package node

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Prices in US dollars per token, of the order of a small hosted model.
const (
	priceInput  = 0.15e-6
	priceOutput = 0.60e-6
)

// metrics are what one life of a container exports; as with a real process, a restart begins at nought.
type metrics struct {
	handler    http.Handler
	requests   *prometheus.CounterVec
	durations  *prometheus.HistogramVec
	tokens     *prometheus.CounterVec
	cost       prometheus.Counter
	violations *prometheus.CounterVec
	audited    prometheus.Counter
	quality    prometheus.Histogram
	queries    prometheus.Histogram
	lcp        prometheus.Histogram
	inp        prometheus.Histogram
	cls        prometheus.Histogram
}

// Bounds of the histograms. What a gate compares with is among them: a percentile is read off between two bounds, and
// only at a bound is it exact. There are few, for each is a series that is scraped every second.
var (
	durationBounds = []float64{.005, .01, .025, .05, .1, .25, .4, .5, .8, 1, 1.6, 2, 2.5, 4, 5, 10}
	qualityBounds  = []float64{.1, .2, .3, .4, .5, .6, .7, .8, .9, 1}
	queryBounds    = []float64{.1, .2, .5, 1, 1.5, 2, 4, 8}
	lcpBounds      = []float64{.5, 1, 1.5, 2, 2.5, 3, 4, 8}
	inpBounds      = []float64{.05, .1, .15, .2, .3, .5, 1}
	clsBounds      = []float64{.025, .05, .075, .1, .15, .25, .5}
)

func newMetrics() *metrics {
	histogram := func(name, help string, bounds []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: bounds})
	}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "http_requests_total", Help: "Requests answered, and with status 499 those whose client did not wait."}, []string{"method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds", Help: "Time to answer a request, or until its client went away.",
			Buckets: durationBounds}, []string{"method", "status"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "genai_tokens_total", Help: "Tokens sent to and received from the model."}, []string{"type"}),
		cost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "genai_cost_usd_total", Help: "What the tokens cost, in US dollars."}),
		violations: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "gdpr_violations_total", Help: "Violations of the GDPR that requests reported."}, []string{"type"}),
		audited: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "gdpr_audited_requests_total", Help: "Requests written to the audit trail."}),
		quality: histogram("ai_quality_score", "Scores of AI answers, 0 to 1.", qualityBounds),
		queries: histogram("clickhouse_query_duration_seconds", "Time of queries to ClickHouse.", queryBounds),
		lcp:     histogram("web_vitals_lcp_seconds", "Largest Contentful Paint.", lcpBounds),
		inp:     histogram("web_vitals_inp_seconds", "Interaction to Next Paint.", inpBounds),
		cls:     histogram("web_vitals_cls", "Cumulative Layout Shift.", clsBounds),
	}
	// These two exist from the start: for a zero-tolerance gate a missing series must not look like nought.
	m.violations.WithLabelValues("residency")
	m.violations.WithLabelValues("pii")
	registry := prometheus.NewRegistry()
	registry.MustRegister(m.requests, m.durations, m.tokens, m.cost, m.violations, m.audited,
		m.quality, m.queries, m.lcp, m.inp, m.cls)
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true})
	return m
}

func (m *metrics) answered(method string, status int, took time.Duration) {
	code := strconv.Itoa(status)
	method = knownMethod(method)
	m.requests.WithLabelValues(method, code).Inc()
	m.durations.WithLabelValues(method, code).Observe(took.Seconds())
}

func (m *metrics) sampled(s sample) {
	m.quality.Observe(s.quality)
	m.queries.Observe(s.query)
	m.lcp.Observe(s.lcp)
	m.inp.Observe(s.inp)
	m.cls.Observe(s.cls)
}

func (m *metrics) spent(input, output int) {
	m.tokens.WithLabelValues("input").Add(float64(input))
	m.tokens.WithLabelValues("output").Add(float64(output))
	m.cost.Add(float64(input)*priceInput + float64(output)*priceOutput)
}

// knownMethod bounds the label: a client may send any word as its method.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
