package mesh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

const (
	// patience is how long a user waits for an answer.
	patience = 5 * time.Second
	// inFlight bounds the requests that wait for one target, so that a target that hangs costs a bounded share of the
	// machine: 50 requests/s for the whole of their patience.
	inFlight = 250
)

var errPatience = errors.New("no answer within " + patience.String())

// Router is what the load generator asks of the mesh.
type Router interface {
	// Routable says whether a request to host would find a ready pod.
	Routable(host string) bool
	// VirtualHost returns the first host of a VirtualService.
	VirtualHost(namespace, name string) (string, bool)
	// Changed is closed when either answer may have changed.
	Changed() <-chan struct{}
}

// LoadConfig is what a load generator stands on.
type LoadConfig struct {
	// Gateway is the base URL of the region's gateway. It must be a loopback address.
	Gateway string
	// Dynamic watches the region's Rollouts.
	Dynamic dynamic.Interface
	// Mesh says when a Rollout's host has its first ready pod, which is when its load begins.
	Mesh Router
	// Metrics takes lab_load_requests_total, lab_load_request_duration_seconds and lab_load_dropped_total.
	Metrics prometheus.Registerer
	// RPS is the rate for each Rollout in requests per second; 0 pauses.
	RPS float64
	// Log takes the troubles of the watch. Nil discards it.
	Log *slog.Logger
}

// Load is an open-loop load generator: it sends a steady rate to the public host of every Rollout in the region, whatever
// the answers are. A blue/green Rollout's host is its active Service; a canary's the first host of its VirtualService,
// else the Service of the same name, else its stable Service.
type Load struct {
	mesh      Router
	gateway   *url.URL
	rate      *rate
	books     *loadBooks
	transport *http.Transport
	rollouts  *custom

	mu      sync.Mutex
	targets map[string]*target // by namespace/name of the Rollout
}

// NewLoad returns a load generator that sends nothing until Run. It fails if the gateway is not on this machine, or if
// its metrics are registered already.
func NewLoad(cfg LoadConfig) (*Load, error) {
	gateway, err := loopback(cfg.Gateway)
	if err != nil {
		return nil, fmt.Errorf("gateway for the load: %w", err)
	}
	books, err := newLoadBooks(cfg.Metrics)
	if err != nil {
		return nil, fmt.Errorf("metrics of the load: %w", err)
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	l := &Load{
		mesh: cfg.Mesh, gateway: gateway, books: books,
		rate:      newRate(cfg.RPS),
		transport: &http.Transport{MaxIdleConnsPerHost: inFlight, IdleConnTimeout: time.Minute, DisableCompression: true},
		targets:   make(map[string]*target),
	}
	l.rollouts = &custom{
		client: cfg.Dynamic, log: log,
		resource: schema.GroupResource{Group: "argoproj.io", Resource: "rollouts"},
		versions: []string{"v1alpha1"},
		convert:  readRollout,
	}
	return l, nil
}

func loopback(base string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddrPort(u.Host)
	if err != nil || u.Scheme != "http" || !addr.Addr().IsLoopback() {
		return nil, fmt.Errorf("%q is not http:// and a loopback address with a port", base)
	}
	return u.JoinPath("/"), nil
}

// Run sends until ctx ends and returns once nothing is in flight. Requests that the end cuts off are not counted.
func (l *Load) Run(ctx context.Context) error {
	var sending sync.WaitGroup
	l.rollouts.handler = cache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { l.aim(ctx, &sending, o) },
		UpdateFunc: func(_, o any) { l.aim(ctx, &sending, o) },
		DeleteFunc: l.drop,
	}
	err := l.rollouts.run(ctx)
	sending.Wait()
	l.transport.CloseIdleConnections()
	return err
}

// SetRate changes the rate for each Rollout, in requests per second, from the next request on; 0 pauses.
func (l *Load) SetRate(rps float64) { l.rate.set(rps) }

// Totals returns what each Rollout was sent since NewLoad, in a stable order; a Rollout that is gone keeps its place.
func (l *Load) Totals() []Total { return l.books.totals() }

// fire sends the next request of a target, unless too many still wait.
func (l *Load) fire(ctx context.Context, t *target, template *http.Request) {
	select {
	case t.flying <- struct{}{}:
	default:
		l.books.dropped(t.wish, 1)
		return
	}
	t.inFlight.Go(func() {
		defer func() { <-t.flying }()
		l.send(ctx, t, template)
	})
}

func (l *Load) send(ctx context.Context, t *target, template *http.Request) {
	waiting, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	began := time.Now()
	code, version, err := l.ask(template.WithContext(waiting))
	switch {
	case err == nil:
		l.books.sent(t.wish, version, strconv.Itoa(code), code >= http.StatusBadRequest, time.Since(began))
	case ctx.Err() != nil: // the load was ended, not the service
	case waiting.Err() != nil:
		l.books.sent(t.wish, version, "timeout", true, time.Since(began))
	default:
		l.books.sent(t.wish, version, "error", true, time.Since(began))
	}
}

// ask sends one request and reads its answer to the end.
func (l *Load) ask(r *http.Request) (code int, version string, err error) {
	resp, err := l.transport.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("X-Lab-Version"), err
}

// request is what a target is sent, over and over. It is only read once it is made.
func (l *Load) request(host string) *http.Request {
	return &http.Request{
		Method: http.MethodGet, URL: l.gateway, Host: host,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": {"tidegate-lab"}},
	}
}
