package mesh

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Count is what one version of a service was asked for since the mesh began, whichever pods it had.
type Count struct {
	// Namespace and Service are the public host: what the caller asked for. Unknown hosts are counted together.
	Namespace string `json:"namespace,omitempty"`
	Service   string `json:"service"`
	// Workload is the label "app" of the pods, Image and Version their first container's, Hash Argo's template hash.
	// Without a pod to send to, Workload and Version are "unknown".
	Workload string `json:"workload"`
	Image    string `json:"image,omitempty"`
	Version  string `json:"version"`
	Hash     string `json:"hash,omitempty"`
	Requests uint64 `json:"requests"`
	// Errors are answers of 500 and above, answers that broke off, and requests that found no way to a pod.
	Errors uint64 `json:"errors"`
}

// subject is what a request is counted under. destination is the Service that the route chose, which with a canary is not
// the one that was asked for.
type subject struct {
	namespace, service                string
	destinationNamespace, destination string
	workload, image, version, hash    string
}

// counts are the books of the mesh: its own totals, and the same for Prometheus under Istio's names.
type counts struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec

	mu      sync.Mutex
	tallies map[subject]*tally
}

type tally struct {
	requests, errors uint64
	duration         prometheus.Observer
	codes            map[int]prometheus.Counter
}

func newCounts() *counts {
	labels := []string{
		"reporter", "destination_service_name", "destination_service_namespace",
		"destination_workload", "destination_version", "rollouts_pod_template_hash",
	}
	c := &counts{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "istio_requests_total",
			Help: "Requests by destination and code. Code 0: the client did not wait. 502: the answer broke off.",
		}, append(slices.Clone(labels), "response_code")),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "istio_request_duration_milliseconds",
			Help:    "Time from a request's arrival to the end of its answer.",
			Buckets: []float64{0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000},
		}, labels),
		tallies: make(map[subject]*tally),
	}
	c.registry.MustRegister(c.requests, c.duration)
	return c
}

// add counts one request. code 0 is a client that did not wait for its answer.
func (c *counts) add(s subject, code int, failed bool, took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.tallies[s]
	if t == nil {
		t = &tally{duration: c.duration.WithLabelValues(s.labels()...), codes: make(map[int]prometheus.Counter)}
		c.tallies[s] = t
	}
	counter := t.codes[code]
	if counter == nil {
		counter = c.requests.WithLabelValues(append(s.labels(), strconv.Itoa(code))...)
		t.codes[code] = counter
	}
	t.requests++
	if failed {
		t.errors++
	}
	counter.Inc()
	t.duration.Observe(float64(took) / float64(time.Millisecond))
}

func (s subject) labels() []string {
	return []string{"source", s.destination, s.destinationNamespace, s.workload, s.version, s.hash}
}

// totals sums over what each version was reached through.
func (c *counts) totals() []Count {
	sums := make(map[Count]Count)
	c.mu.Lock()
	for s, t := range c.tallies {
		key := Count{
			Namespace: s.namespace, Service: s.service,
			Workload: s.workload, Image: s.image, Version: s.version, Hash: s.hash,
		}
		sum, ok := sums[key]
		if !ok {
			sum = key
		}
		sum.Requests += t.requests
		sum.Errors += t.errors
		sums[key] = sum
	}
	c.mu.Unlock()
	out := make([]Count, 0, len(sums))
	for _, sum := range sums {
		out = append(out, sum)
	}
	slices.SortFunc(out, func(a, b Count) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Service, b.Service),
			strings.Compare(a.Version, b.Version), strings.Compare(a.Hash, b.Hash),
			strings.Compare(a.Workload, b.Workload), strings.Compare(a.Image, b.Image))
	})
	return out
}
