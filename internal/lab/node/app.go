package node

import (
	"cmp"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidegate.io/tidegate/internal/lab/image"
)

// The latency of a healthy image is log-normal: this median, and a 95th percentile of about 9 ms.
const (
	baseLatency   = 4 * time.Millisecond
	latencySpread = 0.5
)

// probeAgent is how the node's probes introduce themselves, as a kubelet's do.
const probeAgent = "kube-probe/"

// statusClientGone is how a request is counted whose client did not wait for its answer, as in nginx. No such answer is
// ever sent.
const statusClientGone = 499

// identity is what an answer says about who gave it.
type identity struct {
	Pod     string `json:"pod"`
	Image   string `json:"image"`
	Version string `json:"version"`
	hash    string
}

// app is the program inside every image of the lab. What it does, it looks up for each request.
type app struct {
	identity
	behaviour  func() image.Behaviour
	probePaths map[string]bool
	started    time.Time
	metrics    *metrics
	log        *slog.Logger
	draw       sequences
	draining   atomic.Bool
	crashed    chan struct{}
	crash      func()
}

func newApp(who identity, seed string, behaviour func() image.Behaviour, probePaths map[string]bool, log *slog.Logger) *app {
	crashed := make(chan struct{})
	return &app{
		identity: who, behaviour: behaviour, probePaths: probePaths,
		started: time.Now(), metrics: newMetrics(), log: log, draw: newSequences(seed),
		crashed: crashed, crash: sync.OnceFunc(func() { close(crashed) }),
	}
}

// starting reports whether the image is still in its slow start.
func (a *app) starting() bool {
	return time.Since(a.started) < a.behaviour().SlowStart
}

// ServeHTTP answers any path. Probe paths and /metrics are neither counted nor made to fail or to wait: a bad
// version is one that looks healthy from inside.
func (a *app) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b := a.behaviour()
	if b.Crash {
		a.crash()
		panic(http.ErrAbortHandler) // the client sees what it sees when a process dies: the connection breaks
	}
	header := w.Header()
	header.Set("X-Lab-Pod", a.Pod)
	header.Set("X-Lab-Image", a.Image)
	header.Set("X-Lab-Version", a.Version)
	header.Set("X-Lab-Hash", a.hash)
	if a.draining.Load() {
		// Clients go elsewhere for their next request, and no idle connection is cut while one is on its way.
		header.Set("Connection", "close")
	}
	switch {
	case a.quiet(r) && a.starting():
		a.write(w, http.StatusServiceUnavailable, problem("starting"))
	case r.URL.Path == "/metrics":
		a.metrics.handler.ServeHTTP(w, r)
	case a.quiet(r):
		a.greet(w, r)
	default:
		a.serve(w, r, b)
	}
}

// quiet is a request that is none of the users'. A probe of "/" shares its path with them, so that there the
// agent decides.
func (a *app) quiet(r *http.Request) bool {
	return r.URL.Path == "/metrics" || strings.HasPrefix(r.UserAgent(), probeAgent) ||
		r.URL.Path != "/" && a.probePaths[r.URL.Path]
}

// serve answers a user's request and counts it; also one that its user gave up on, or a version so slow that users leave
// would be none the worse for it in its own numbers. Such a request reports no sample: nobody was served.
func (a *app) serve(w http.ResponseWriter, r *http.Request, b image.Behaviour) {
	begun := time.Now()
	status := a.answer(w, r, b)
	took := time.Since(begun)
	if status < http.StatusMultipleChoices {
		a.metrics.sampled(a.sample(b))
	}
	a.metrics.answered(r.Method, status, took)
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	a.log.LogAttrs(r.Context(), level, "request", slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.Int("status", status), slog.Float64("ms", float64(took.Microseconds())/1000))
}

func (a *app) answer(w http.ResponseWriter, r *http.Request, b image.Behaviour) int {
	if a.starting() {
		return a.write(w, http.StatusServiceUnavailable, problem("starting"))
	}
	stayed := sleep(r.Context(), latencyAt(a.draw.latency.next(), b.Latency))
	a.audit(b) // of those that are counted, or they would seem to lack their entry
	if !stayed {
		return statusClientGone
	}
	for _, kind := range b.Violations {
		a.metrics.violations.WithLabelValues(kind).Inc()
	}
	// One draw for both, so that both shares are exact and no request is counted twice.
	switch u := a.draw.errors.next(); {
	case u < b.Errors:
		return a.write(w, http.StatusInternalServerError, problem("this image answers some requests with an error"))
	case u < b.Errors+b.ClientErrors:
		return a.write(w, http.StatusBadRequest, problem("this image refuses some requests"))
	}
	input, output := tokensAt(a.draw.tokens.next(), b.Tokens)
	if r.URL.Path == chatPath {
		return a.chat(w, r, input, output, b.Garbled)
	}
	a.metrics.spent(input, output)
	if wantsPage(r) {
		return a.page(w, b.Page)
	}
	return a.greet(w, r)
}

// audit writes the request to the audit trail, unless it is of the share that is not. It comes before the request is
// counted: a scrape in between finds an entry whose request is yet to be counted, never a request that seems to lack
// its entry, which a gate would hold against the version.
func (a *app) audit(b image.Behaviour) {
	if a.draw.audit.next() >= b.Unaudited {
		a.metrics.audited.Inc()
	}
}

// sample is what a request reports that was served.
func (a *app) sample(b image.Behaviour) sample {
	s := sample{quality: qualityAt(a.draw.quality.next(), b.Quality), query: queryAt(a.draw.queries.next(), b.Queries)}
	s.lcp, s.inp, s.cls = vitalsAt(a.draw.vitals.next(), b.Vitals)
	return s
}

func (a *app) greet(w http.ResponseWriter, r *http.Request) int {
	return a.write(w, http.StatusOK, struct {
		identity
		Path string `json:"path"`
	}{a.identity, r.URL.Path})
}

func (a *app) write(w http.ResponseWriter, status int, body any) int {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// The only error is a client that has gone.
	_ = json.NewEncoder(w).Encode(body)
	return status
}

func problem(message string) any {
	return map[string]string{"error": message}
}

// latencyAt is the latency at quantile u, 0 to 1, times factor (0 means 1).
func latencyAt(u, factor float64) time.Duration {
	return time.Duration(logNormal(u, float64(baseLatency), latencySpread) * cmp.Or(factor, 1))
}

// sleep waits for d, and reports false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
