package region

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"tidegate.io/tidegate/internal/lab/mesh"
	"tidegate.io/tidegate/internal/lab/node"
)

const podCIDR = "198.18.0.0/16"

// headerTimeout ends connections that never send a request.
const headerTimeout = 30 * time.Second

// parts are what a region runs inside this process.
type parts struct {
	tls  *tls.Config // of what the API server alone may call
	node *node.Node
	mesh *mesh.Mesh
	load *mesh.Load

	wg       sync.WaitGroup
	stopLoad context.CancelFunc
	stopRest context.CancelFunc
}

// newParts builds node, mesh and load generator; nothing runs yet.
func (r *Region) newParts() (*parts, error) {
	c := r.opts.Config
	config, err := c.PKI.NodeTLS()
	if err != nil {
		return nil, err
	}
	p := &parts{tls: config, stopLoad: func() {}, stopRest: func() {}}
	p.node, err = node.New(node.Config{
		Region:  c.Name,
		Name:    c.nodeName(),
		Client:  r.clients.kube,
		Kubelet: r.opts.Reservation.Take(c.Ports.Kubelet),
		TLS:     config,
		PodCIDR: netip.MustParsePrefix(podCIDR),
		Images:  r.opts.Images,
		Own:     r.opts.Own,
		JobEnv:  proxyEnv(c.Ports.Proxy),
		Scratch: c.path(jobsDir),
		Log:     r.opts.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	p.mesh = mesh.New(mesh.Config{
		Region:  c.Name,
		Client:  r.clients.kube,
		Dynamic: r.clients.custom,
		Dial:    p.node.Dial,
		Fixed:   c.fixed(),
		Log:     r.opts.Log,
	})
	p.load, err = mesh.NewLoad(mesh.LoadConfig{
		Gateway: URL(c.Ports.Gateway),
		Dynamic: r.clients.custom,
		Mesh:    p.mesh,
		Metrics: p.mesh.Registry(),
		RPS:     r.opts.Rate,
		Log:     r.opts.Log,
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func (c Config) nodeName() string { return "node-" + c.Name }

// proxyEnv sends a process's plain HTTP through the region's forward proxy, where the cluster's names resolve.
func proxyEnv(port int) []string {
	return []string{"HTTP_PROXY=" + URL(port), "http_proxy=" + URL(port)}
}

// fixed are the addresses in the cluster at which the lab's own parts answer.
func (c Config) fixed() map[string]string {
	loopback := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	fixed := map[string]string{
		loopback(c.Ports.Kubelet):                          loopback(c.Ports.Kubelet),
		fmt.Sprintf("%s:%d", prometheusIP, prometheusPort): loopback(c.Ports.Prometheus),
	}
	for _, suffix := range []string{"", ".svc", ".svc.cluster.local"} {
		fixed[fmt.Sprintf("%s.%s%s:%d", prometheusService, monitoringNS, suffix, prometheusPort)] = loopback(c.Ports.Prometheus)
		fixed[fmt.Sprintf("argo-rollouts-metrics.%s%s:8090", rolloutsNS, suffix)] = loopback(c.Ports.Rollouts)
	}
	return fixed
}

// serve opens the mesh's doors. They answer 503 until the mesh runs.
func (r *Region) serve() {
	ports := r.opts.Config.Ports
	for port, handler := range map[int]http.Handler{
		ports.Proxy:   r.parts.mesh.Proxy(),
		ports.Gateway: r.parts.mesh.Gateway(),
		ports.Mesh:    r.parts.mesh.Metrics(),
	} {
		r.serveOn(r.opts.Reservation.Take(port), handler)
	}
	r.serveOn(tls.NewListener(r.opts.Reservation.Take(ports.Egress), r.parts.tls), r.parts.mesh.Proxy())
}

func (r *Region) serveOn(listener net.Listener, handler http.Handler) {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: headerTimeout}
	r.servers = append(r.servers, server)
	r.watchers.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			r.opts.Log.Error("server ended", "address", listener.Addr().String(), "error", err)
		}
	})
}

// startNode sets node and mesh going, and waits until the API shows the node as ready and the mesh has routes: scrapes, Jobs
// and logs go through it.
func (r *Region) startNode(ctx context.Context) error {
	// They outlive the start, so they must not end with its context.
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.parts.stopRest = cancel
	r.part("mesh", func() error { return r.parts.mesh.Run(running) })
	r.part("node", func() error { return r.parts.node.Run(running) })
	ctx, stop := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not ready after %s", patience))
	defer stop()
	nodes := r.clients.custom.Resource(schema.GroupVersionResource{Version: "v1", Resource: "nodes"})
	if err := await(ctx, nodes, r.opts.Config.nodeName(), ready); err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	if err := r.parts.mesh.Ready(ctx); err != nil {
		return fmt.Errorf("start mesh: %w", err)
	}
	return nil
}

// startLoad sends users' requests from now on.
func (r *Region) startLoad() {
	running, cancel := context.WithCancel(context.Background())
	r.parts.stopLoad = cancel
	r.part("load", func() error { return r.parts.load.Run(running) })
}

// ready says whether an object has the condition Ready.
func ready(o *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range conditions {
		if condition, ok := c.(map[string]any); ok && condition["type"] == "Ready" && condition["status"] == "True" {
			return true
		}
	}
	return false
}

// part runs a part of the region in this process until it returns.
func (r *Region) part(name string, run func() error) {
	r.roll.set(Component{Name: name, State: StateRunning})
	r.parts.wg.Go(func() {
		err := run()
		select {
		case <-r.stopping:
			if err != nil {
				r.opts.Log.Warn("part ended with an error", "part", name, "error", err)
			}
		default:
			if err == nil {
				err = errors.New("ended by itself")
			}
			r.roll.mark(name, StateExited, err)
		}
	})
}
