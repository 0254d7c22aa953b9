package node

import (
	"context"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidegate.io/tidegate/internal/lab/image"
)

const testImage = "ghcr.io/teei/api:v2"

// newTestApp serves an app whose behaviour the test may change as it goes.
func newTestApp(t *testing.T) (*app, *image.Table, *httptest.Server) {
	t.Helper()
	a, images := unservedApp()
	web := httptest.NewServer(a)
	t.Cleanup(web.Close)
	return a, images, web
}

// unservedApp is an app without a server, which virtual time would wait for.
func unservedApp() (*app, *image.Table) {
	var images image.Table
	who := identity{Pod: "api-1", Image: testImage, Version: "v2", hash: "abc"}
	return newApp(who, "seed", func() image.Behaviour { return images.Get(testImage) },
		map[string]bool{"/health": true}, slog.New(slog.NewTextHandler(io.Discard, nil))), &images
}

// page is what a scrape of the app would find.
func page(t *testing.T, a *app) string {
	t.Helper()
	answer := httptest.NewRecorder()
	a.metrics.handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return answer.Body.String()
}

// exported is the value of a series on /metrics; 0 if there is none.
func exported(t *testing.T, a *app, series string) float64 {
	t.Helper()
	for line := range strings.Lines(page(t, a)) {
		if text, found := strings.CutPrefix(line, series+" "); found {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	return 0
}

func TestAppAnswersAnyPath(t *testing.T) {
	a, _, web := newTestApp(t)
	response := get(t, web.Client(), web.URL+"/any/path?q=1")
	if response.status != http.StatusOK {
		t.Errorf("status %d", response.status)
	}
	if want := `{"pod":"api-1","image":"ghcr.io/teei/api:v2","version":"v2","path":"/any/path"}`; strings.TrimSpace(response.body) != want {
		t.Errorf("body %s, want %s", response.body, want)
	}
	for name, want := range map[string]string{
		"X-Lab-Pod": "api-1", "X-Lab-Image": testImage, "X-Lab-Version": "v2", "X-Lab-Hash": "abc", "Connection": "",
	} {
		if got := response.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	a.draining.Store(true)
	if response := get(t, web.Client(), web.URL); !response.closing {
		t.Error("a draining pod keeps connections alive")
	}
}

func TestAppFailsTheShareItIsTold(t *testing.T) {
	a, images, web := newTestApp(t)
	images.Set(testImage, image.Behaviour{Errors: 0.05, Latency: 0.001})
	failed := 0
	for range 200 {
		response := get(t, web.Client(), web.URL+"/")
		switch response.status {
		case http.StatusInternalServerError:
			failed++
		case http.StatusOK:
		default:
			t.Fatalf("status %d", response.status)
		}
		if probe := get(t, web.Client(), web.URL+"/health"); probe.status != http.StatusOK {
			t.Fatalf("the probe's path answered %d: a bad version looks healthy from inside", probe.status)
		}
	}
	if failed < 9 || failed > 11 {
		t.Errorf("%d of 200 failed, want 5 %%", failed)
	}
	if got := exported(t, a, `http_requests_total{method="GET",status="500"}`); got != float64(failed) {
		t.Errorf("http_requests_total counts %v errors, clients saw %d", got, failed)
	}
	if got := exported(t, a, `http_requests_total{method="GET",status="200"}`); got != float64(200-failed) {
		t.Errorf("http_requests_total counts %v successes: probes must not count, clients saw %d", got, 200-failed)
	}
	images.Set(testImage, image.Behaviour{})
	for range 50 {
		if response := get(t, web.Client(), web.URL); response.status != http.StatusOK {
			t.Fatal("it still fails after it was made healthy")
		}
	}
}

// TestAppSharesAreExact: errors of both kinds and gaps in the audit trail, all at once, over a window as short as a gate's.
func TestAppSharesAreExact(t *testing.T) {
	a, images, web := newTestApp(t)
	images.Set(testImage, image.Behaviour{Errors: 0.05, ClientErrors: 0.1, Unaudited: 0.1, Latency: 0.001})
	statuses := map[int]int{}
	for range 200 {
		statuses[get(t, web.Client(), web.URL+"/").status]++
	}
	for status, want := range map[int]float64{200: 170, 400: 20, 500: 10} {
		got := exported(t, a, `http_requests_total{method="GET",status="`+strconv.Itoa(status)+`"}`)
		if math.Abs(got-want) > 2 || float64(statuses[status]) != got {
			t.Errorf("clients saw %d answers %d, the metrics count %v: want %v ± 2", statuses[status], status, got, want)
		}
	}
	if got := exported(t, a, "gdpr_audited_requests_total"); math.Abs(got-180) > 2 {
		t.Errorf("%v of 200 requests are in the audit trail, want 180 ± 2", got)
	}
	if got := exported(t, a, "ai_quality_score_count"); got != float64(statuses[http.StatusOK]) {
		t.Errorf("%v scores for %d requests that were served", got, statuses[http.StatusOK])
	}
}

// observed calls look when the answer begins.
type observed struct {
	http.ResponseWriter
	look func()
}

func (o observed) WriteHeader(status int) {
	o.look()
	o.ResponseWriter.WriteHeader(status)
}

// TestAuditComesFirst: a scrape in the middle of a request must not find it unaudited, or cheaper than it is.
func TestAuditComesFirst(t *testing.T) {
	a, _, _ := newTestApp(t)
	looked := false
	a.ServeHTTP(observed{httptest.NewRecorder(), func() {
		looked = true
		audited := exported(t, a, "gdpr_audited_requests_total")
		cost := exported(t, a, "genai_cost_usd_total")
		counted := strings.Contains(page(t, a), "http_requests_total{")
		if audited != 1 || cost <= 0 || counted {
			t.Errorf("while the answer begins %v requests are audited, for %v dollars, counted: %t; want 1, more than 0, false",
				audited, cost, counted)
		}
	}}, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	if !looked {
		t.Error("there was no answer")
	}
}

// TestAppCountsThoseWhoLeft: a version so slow that nobody waits for it has requests and durations that a gate can see.
func TestAppCountsThoseWhoLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, images := unservedApp()
		images.Set(testImage, image.Behaviour{Latency: 10_000}) // 8 s at the very least
		ctx, leave := context.WithTimeout(t.Context(), 5*time.Second)
		defer leave()
		a.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
		for series, want := range map[string]float64{
			`http_requests_total{method="GET",status="499"}`:               1,
			`http_request_duration_seconds_sum{method="GET",status="499"}`: 5,
			"gdpr_audited_requests_total":                                  1,
			"genai_cost_usd_total":                                         0,
			"ai_quality_score_count":                                       0,
		} {
			if got := exported(t, a, series); got != want {
				t.Errorf("%s is %v, want %v", series, got, want)
			}
		}
	})
}

func TestAppMetrics(t *testing.T) {
	_, images, web := newTestApp(t)
	before := get(t, web.Client(), web.URL+"/metrics").body
	for _, want := range []string{`gdpr_violations_total{type="pii"} 0`, `gdpr_violations_total{type="residency"} 0`} {
		if !strings.Contains(before, want) {
			t.Errorf("/metrics lacks %s before the first request:\n%s", want, before)
		}
	}
	if strings.Contains(before, "http_requests_total{") {
		t.Errorf("/metrics counts itself:\n%s", before)
	}
	images.Set(testImage, image.Behaviour{Violations: []string{"pii"}})
	get(t, web.Client(), web.URL+"/")
	get(t, web.Client(), web.URL+"/health")
	response := get(t, web.Client(), web.URL+"/metrics")
	after := response.body
	if !strings.HasPrefix(response.header.Get("Content-Type"), "text/plain") || response.header.Get("X-Lab-Pod") == "" {
		t.Errorf("headers of /metrics: %v", response.header)
	}
	for _, want := range []string{
		`http_requests_total{method="GET",status="200"} 1`,
		`http_request_duration_seconds_bucket{method="GET",status="200",le="0.005"}`,
		`http_request_duration_seconds_bucket{method="GET",status="200",le="10"} 1`,
		`genai_tokens_total{type="input"}`, `genai_tokens_total{type="output"}`, `genai_cost_usd_total `,
		`gdpr_violations_total{type="pii"} 1`, `gdpr_violations_total{type="residency"} 0`, `gdpr_audited_requests_total 1`,
		`ai_quality_score_count 1`, `clickhouse_query_duration_seconds_count 1`, `web_vitals_lcp_seconds_count 1`,
		`web_vitals_inp_seconds_count 1`, `web_vitals_cls_count 1`,
	} {
		if !strings.Contains(after, want) {
			t.Errorf("/metrics lacks %s:\n%s", want, after)
		}
	}
}

func TestAppMethodsAreBounded(t *testing.T) {
	a, _, web := newTestApp(t)
	if _, err := try(t.Context(), web.Client(), "BREW", web.URL, ""); err != nil {
		t.Fatal(err)
	}
	if got := exported(t, a, `http_requests_total{method="other",status="200"}`); got != 1 {
		t.Errorf("an unknown method made a series of its own")
	}
}

func TestAppSlowStart(t *testing.T) {
	a, images, web := newTestApp(t)
	images.Set(testImage, image.Behaviour{SlowStart: time.Hour})
	for _, path := range []string{"/", "/health", "/metrics"} {
		if response := get(t, web.Client(), web.URL+path); response.status != http.StatusServiceUnavailable {
			t.Errorf("%s answered %d while the image starts", path, response.status)
		}
	}
	a.started = a.started.Add(-2 * time.Hour)
	for _, path := range []string{"/", "/health", "/metrics"} {
		if response := get(t, web.Client(), web.URL+path); response.status != http.StatusOK {
			t.Errorf("%s answered %d after the slow start", path, response.status)
		}
	}
}

func TestAppLatencyFactor(t *testing.T) {
	_, images, web := newTestApp(t)
	images.Set(testImage, image.Behaviour{Latency: 25})
	begun := time.Now()
	get(t, web.Client(), web.URL)
	if took := time.Since(begun); took < 20*time.Millisecond {
		t.Errorf("a request took %v at 25 times a latency that is never below 0.8 ms", took)
	}
}

func TestAppCrashesAtTheNextRequest(t *testing.T) {
	a, images, web := newTestApp(t)
	images.Set(testImage, image.Behaviour{Crash: true})
	if response, err := try(t.Context(), web.Client(), http.MethodGet, web.URL, ""); err == nil {
		t.Errorf("a crash answered %d", response.status)
	}
	select {
	case <-a.crashed:
	default:
		t.Error("the container was not told of the crash")
	}
}

func TestProbesOfTheRootAreToldApart(t *testing.T) {
	a, _, web := newTestApp(t)
	a.probePaths["/"] = true
	get(t, web.Client(), web.URL, "User-Agent", probeAgent+"1.34")
	if exported(t, a, `http_requests_total{method="GET",status="200"}`) != 0 {
		t.Error("a probe of / was counted")
	}
	get(t, web.Client(), web.URL)
	if got := exported(t, a, `http_requests_total{method="GET",status="200"}`); got != 1 {
		t.Errorf("a user's request of / was not counted: it shares its path with a probe")
	}
}
