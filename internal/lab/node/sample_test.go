package node

import (
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"tidegate.io/tidegate/internal/lab/image"
)

// after are the metrics of an app after n requests that were served.
func after(t *testing.T, n int, b image.Behaviour) string {
	t.Helper()
	a := newApp(identity{}, "seed", func() image.Behaviour { return b }, nil, slog.New(slog.DiscardHandler))
	for range n {
		a.metrics.sampled(a.sample(b))
	}
	answer := httptest.NewRecorder()
	a.metrics.handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// quantile reads a percentile off a histogram's buckets, as PromQL's histogram_quantile does.
func quantile(t *testing.T, metrics, name string, q float64) float64 {
	t.Helper()
	var bounds, counts []float64
	for line := range strings.Lines(metrics) {
		rest, found := strings.CutPrefix(line, name+`_bucket{le="`)
		if !found {
			continue
		}
		bound, count, _ := strings.Cut(strings.TrimSpace(rest), `"} `)
		for text, to := range map[string]*[]float64{bound: &bounds, count: &counts} {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			*to = append(*to, value)
		}
	}
	below, floor := 0.0, 0.0
	rank := q * counts[len(counts)-1]
	for i, count := range counts {
		if count >= rank && !math.IsInf(bounds[i], 1) {
			return floor + (bounds[i]-floor)*(rank-below)/(count-below)
		}
		below, floor = count, bounds[i]
	}
	return bounds[len(bounds)-2]
}

func mean(t *testing.T, metrics, name string) float64 {
	t.Helper()
	values := map[string]float64{}
	for line := range strings.Lines(metrics) {
		if series, text, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(series, name) {
			values[series], _ = strconv.ParseFloat(text, 64)
		}
	}
	return values[name+"_sum"] / values[name+"_count"]
}

// TestSamplesAreOnTheRightSideOfTheGates: a healthy image has room to spare, and one that is told to be bad is beyond any
// doubt, after as few requests as a pod serves in a gate's window.
func TestSamplesAreOnTheRightSideOfTheGates(t *testing.T) {
	const requests = 20
	healthy := after(t, requests, image.Behaviour{})
	bad := after(t, requests, image.Behaviour{Quality: 0.6, Queries: 10, Vitals: 3})
	for _, gate := range []struct {
		metric string
		q, max float64
	}{
		{"clickhouse_query_duration_seconds", 0.95, 2},
		{"web_vitals_lcp_seconds", 0.75, 2.5},
		{"web_vitals_inp_seconds", 0.75, 0.2},
		{"web_vitals_cls", 0.75, 0.1},
	} {
		if got := quantile(t, healthy, gate.metric, gate.q); got > 0.6*gate.max {
			t.Errorf("%s of a healthy image is %v, too near to %v", gate.metric, got, gate.max)
		}
		if got := quantile(t, bad, gate.metric, gate.q); got < 1.2*gate.max {
			t.Errorf("%s of a bad image is %v, want far above %v", gate.metric, got, gate.max)
		}
		if !strings.Contains(healthy, gate.metric+`_bucket{le="`+strconv.FormatFloat(gate.max, 'g', -1, 64)+`"}`) {
			t.Errorf("%s has no bucket for %v: nobody could tell on which side of it a percentile is", gate.metric, gate.max)
		}
	}
	for what, metrics := range map[float64]string{baseQuality: healthy, 0.6: bad} {
		if got := mean(t, metrics, "ai_quality_score"); math.Abs(got-what) > 0.01 {
			t.Errorf("mean score %v, want %v", got, what)
		}
	}
}

func TestQualityStaysAScore(t *testing.T) {
	for _, mean := range []float64{0.001, 0.05, 0.5, 0.99, 1} {
		sum := 0.0
		for i := range 101 {
			score := qualityAt(float64(i)/100, mean)
			if score < 0 || score > 1 {
				t.Errorf("score %v for a mean of %v", score, mean)
			}
			sum += score
		}
		if math.Abs(sum/101-mean) > 1e-9 {
			t.Errorf("the mean is %v, want %v", sum/101, mean)
		}
	}
}

// TestLatencyGatesAreBounds: the reference thresholds of the latency gate, in seconds.
func TestLatencyGatesAreBounds(t *testing.T) {
	_, _, web := newTestApp(t)
	get(t, web.Client(), web.URL)
	metrics := get(t, web.Client(), web.URL+"/metrics").body
	for _, bound := range []string{"0.25", "0.4", "0.5", "0.8", "1", "1.6", "2", "4"} {
		if !strings.Contains(metrics, `http_request_duration_seconds_bucket{method="GET",status="200",le="`+bound+`"}`) {
			t.Errorf("no bucket for %s s", bound)
		}
	}
}
