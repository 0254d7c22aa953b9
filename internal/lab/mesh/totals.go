package mesh

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Total is what the load generator sent to one Rollout since it began.
type Total struct {
	Namespace string `json:"namespace"`
	Rollout   string `json:"rollout"`
	// Service is the public host that was loaded.
	Service string `json:"service"`
	// Sent are the requests that were answered or failed; Failed had no answer within five seconds or one of 400 and above.
	Sent   uint64 `json:"sent"`
	Failed uint64 `json:"failed"`
	// Dropped were due but not sent, because too many others still waited.
	Dropped uint64 `json:"dropped"`
	// Versions splits Sent and Failed by X-Lab-Version. What no pod answered stands under "".
	Versions map[string]VersionTotal `json:"versions"`
}

// VersionTotal is the share of one version.
type VersionTotal struct {
	Sent   uint64 `json:"sent"`
	Failed uint64 `json:"failed"`
}

// loadBooks are the books of the load generator: totals, and the same for Prometheus.
type loadBooks struct {
	requests *prometheus.CounterVec
	drops    *prometheus.CounterVec
	duration *prometheus.HistogramVec

	mu      sync.Mutex
	totalOf map[bookKey]*Total
}

type bookKey struct{ namespace, rollout string }

func newLoadBooks(reg prometheus.Registerer) (*loadBooks, error) {
	b := &loadBooks{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lab_load_requests_total",
			Help: `Requests of the load generator by answer: a status code, "timeout" or "error".`,
		}, []string{"service", "code", "version"}),
		drops: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "lab_load_dropped_total",
			Help: "Requests that were due but not sent, because too many others still waited.",
		}, []string{"service"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "lab_load_request_duration_seconds",
			Help:    "Time from sending a request to the end of its answer.",
			Buckets: prometheus.DefBuckets,
		}, []string{"service"}),
		totalOf: make(map[bookKey]*Total),
	}
	for _, c := range []prometheus.Collector{b.requests, b.drops, b.duration} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// name opens the page of a Rollout, or notes that its users have moved.
func (b *loadBooks) name(w wish, service string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := bookKey{w.namespace, w.rollout}
	if t := b.totalOf[key]; t != nil {
		t.Service = service
		return
	}
	b.totalOf[key] = &Total{
		Namespace: w.namespace, Rollout: w.rollout, Service: service, Versions: make(map[string]VersionTotal),
	}
}

func (b *loadBooks) sent(w wish, version, code string, failed bool, took time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.totalOf[bookKey{w.namespace, w.rollout}]
	v := t.Versions[version]
	t.Sent++
	v.Sent++
	if failed {
		t.Failed++
		v.Failed++
	}
	t.Versions[version] = v
	b.requests.WithLabelValues(t.Service, code, version).Inc()
	b.duration.WithLabelValues(t.Service).Observe(took.Seconds())
}

func (b *loadBooks) dropped(w wish, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.totalOf[bookKey{w.namespace, w.rollout}]
	t.Dropped += uint64(n)
	b.drops.WithLabelValues(t.Service).Add(float64(n))
}

func (b *loadBooks) totals() []Total {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]Total, 0, len(b.totalOf))
	for _, t := range b.totalOf {
		copied := *t
		copied.Versions = maps.Clone(t.Versions)
		out = append(out, copied)
	}
	slices.SortFunc(out, func(x, y Total) int {
		return cmp.Or(strings.Compare(x.Namespace, y.Namespace), strings.Compare(x.Rollout, y.Rollout))
	})
	return out
}
