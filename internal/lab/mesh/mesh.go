// Package mesh is the service mesh of one region of the lab, in one process. It routes real HTTP requests by the weights
// of VirtualServices and the selectors of Services to the pods that are ready now, resolves the cluster's names for the
// region's components, makes load, and counts what each version served.
//
// Of Istio it knows what Argo Rollouts needs: http routes with weights, and matches by uri and headers (exact, prefix).
// It takes no notice of gateways, timeouts, retries, rewrites, faults and mirrors; a destination with a subset is answered
// 503 with the reason, and a match that it cannot judge never matches.
package mesh

import (
	"context"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Config is what a mesh stands on.
type Config struct {
	// Region names the region in log lines.
	Region string
	// Client and Dynamic watch the region's API; the mesh never writes to it.
	Client  kubernetes.Interface
	Dynamic dynamic.Interface
	// Dial connects to a pod: podIP:port. It refuses what is no pod's.
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	// Fixed maps "host:port" (lower case) to the loopback "127.0.0.1:port" that answers for it. Beside pods, nothing
	// else is ever dialled.
	Fixed map[string]string
	// Log takes what an operator of the lab may want to know. Nil discards it.
	Log *slog.Logger
}

// Mesh routes and counts the requests of one region. Its handlers may be served before Run and after it: they answer
// 503 then.
type Mesh struct {
	cfg       Config
	log       *slog.Logger
	board     *board
	counts    *counts
	transport *http.Transport
	tunnels   *tunnels
	relay     http.Handler
	buffers   *buffers
	quiet     *stdlog.Logger // for net/http, which has no slog
}

// unread is why there are no routes at first.
const unread = "the mesh has not read the region's routes yet"

// New returns a mesh that routes nothing until Run.
func New(cfg Config) *Mesh {
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	log = log.With("region", cfg.Region, "part", "mesh")
	m := &Mesh{
		cfg: cfg, log: log,
		board:   newBoard(&table{down: unread}),
		counts:  newCounts(),
		tunnels: newTunnels(),
		buffers: newBuffers(),
		quiet:   slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	m.transport = &http.Transport{
		DialContext:           m.dial,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       time.Minute,
		ResponseHeaderTimeout: answerTimeout,
		// Answers pass through as the pod wrote them.
		DisableCompression: true,
	}
	m.relay = m.newRelay()
	return m
}

// Run watches the region and keeps the routes up to date until ctx ends. It returns once no watch, tunnel or idle
// connection is left. Requests that are still in flight end with their own servers.
func (m *Mesh) Run(ctx context.Context) error {
	s, err := newSources(m.cfg, m.log)
	if err != nil {
		return fmt.Errorf("watch region %s: %w", m.cfg.Region, err)
	}
	watches, ctx := errgroup.WithContext(ctx)
	watches.Go(func() error { return s.run(ctx) })
	// The first table is whole: half of it would send a canary's traffic by chance.
	if cache.WaitForCacheSync(ctx.Done(), s.synced) {
		m.keepRoutes(ctx, s)
	}
	m.board.post(&table{down: "the mesh is stopped"})
	err = watches.Wait()
	m.tunnels.close()
	m.transport.CloseIdleConnections()
	if err != nil {
		return fmt.Errorf("watch region %s: %w", m.cfg.Region, err)
	}
	return nil
}

// keepRoutes posts a new table at every change until ctx ends. Changes that arrive meanwhile are taken together.
func (m *Mesh) keepRoutes(ctx context.Context, s *sources) {
	for {
		m.board.post(build(s.objects(), m.board.load()))
		select {
		case <-s.changed:
		case <-ctx.Done():
			return
		}
	}
}

// Ready returns once the mesh has routes, or with the cause when ctx ends.
func (m *Mesh) Ready(ctx context.Context) error {
	for {
		next := m.board.next()
		down := m.board.load().down
		if down == "" {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", context.Cause(ctx), down)
		}
	}
}

// Metrics serves what the mesh counted, and what was registered with Registry, as Prometheus text.
func (m *Mesh) Metrics() http.Handler {
	return promhttp.HandlerFor(m.counts.registry, promhttp.HandlerOpts{})
}

// Registry takes further collectors for Metrics: those of the load generator.
func (m *Mesh) Registry() prometheus.Registerer { return m.counts.registry }

// Traffic returns the totals since New, those of pods that are long gone included, in a stable order.
func (m *Mesh) Traffic() []Count { return m.counts.totals() }

// Changed is closed when the routes change next.
func (m *Mesh) Changed() <-chan struct{} { return m.board.next() }

// Routable says whether a request to host would find a ready pod now, whichever way its weights send it.
func (m *Mesh) Routable(host string) bool {
	h := m.board.load().hosts[hostname(host)]
	return h != nil && h.routable()
}

// VirtualHost returns the first host of a VirtualService, fully qualified if it is one of the cluster's names.
func (m *Mesh) VirtualHost(namespace, name string) (string, bool) {
	host, ok := m.board.load().virtuals[namespace+"/"+name]
	return host, ok
}
