package mesh

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Before its first look at the region a mesh says so, rather than that nothing exists.
func TestNotReadYet(t *testing.T) {
	m := New(Config{Region: "test"})
	for name, h := range map[string]http.Handler{"gateway": m.Gateway(), "proxy": m.Proxy()} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://shop/", nil))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get(reasonHeader) == "" {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
	}
}

// What needs no routes is reached without them: the API server asks for a log as soon as there is one.
func TestFixedAddressesNeedNoRoutes(t *testing.T) {
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer app.Close()
	m := New(Config{Region: "test", Fixed: map[string]string{"prometheus:9090": app.Listener.Addr().String()}})
	w := httptest.NewRecorder()
	m.Proxy().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://prometheus:9090/", nil))
	if w.Code != http.StatusOK {
		t.Errorf("%d %q", w.Code, w.Body)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("no patience"))
	if err := m.Ready(ctx); err == nil || !strings.Contains(err.Error(), "no patience: the mesh has not read") {
		t.Errorf("Ready: %v", err)
	}
}

// The end of ctx ends every goroutine that the mesh and its load generator started, and every connection.
func TestNothingIsLeft(t *testing.T) {
	r := newRig(t, nil, svc("shop", "shop", ""), crd(virtualResource, "VirtualService"), crd(rolloutResource, "Rollout"),
		newRollout("shop", map[string]any{"canary": map[string]any{}}))
	r.runs("shop", 2, "v1")
	l := r.loaded(500)
	l.more(50, "shop", http.StatusOK)
	if a := r.through("http://198.18.49.10:8080/"); a.code != http.StatusOK {
		t.Fatalf("scrape: %d %s", a.code, a.reason)
	}
	_, _, tunnel := r.dialThrough("shop:80", "")
	l.halt()
	r.stop()
	r.gateway.Close()
	r.proxy.Close()
	_ = tunnel.Close()
	// The pods' servers still run: that connections to them end is the mesh's doing.
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
	defer cancel()
	// What was told to end may still be on its way out.
	left := "?"
	for left != "" && ctx.Err() == nil {
		runtime.Gosched()
		left = ours()
	}
	if left != "" {
		t.Errorf("still running:\n%s", left)
	}
}

// ours are the stacks of other goroutines that come from the mesh, its informers or its transports.
func ours() string {
	all := make([]byte, 1<<20)
	all = all[:runtime.Stack(all, true)]
	var left []string
	for i, g := range strings.Split(string(all), "\n\n") {
		if i == 0 || strings.Contains(g, "spy") {
			continue // this one
		}
		for _, mark := range []string{"lab/mesh.", "client-go/tools/cache", "http.(*persistConn)"} {
			if strings.Contains(g, mark) {
				left = append(left, g)
				break
			}
		}
	}
	return strings.Join(left, "\n\n")
}

// The price of the mesh: how many times longer a request takes through the gateway than straight to the same pod. The
// ratio is what to look at; the times are this machine's.
func BenchmarkGateway(b *testing.B) {
	r := newCanary(b, 90, 10)
	r.mu.Lock()
	var pod string
	for _, to := range r.backends {
		pod = "http://" + to
	}
	r.mu.Unlock()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	defer client.CloseIdleConnections()
	ask := func(url string) {
		req, _ := http.NewRequest(http.MethodGet, url, nil)
		req.Host = "q2q"
		r.do(client, req)
	}
	const sample = 2000
	for range 200 {
		ask(pod)
		ask(r.gateway.URL)
	}
	began := time.Now()
	for range sample {
		ask(pod)
	}
	direct := time.Since(began) / sample
	b.ReportAllocs()
	n := 0
	began = time.Now()
	for b.Loop() {
		ask(r.gateway.URL)
		n++
	}
	b.ReportMetric(float64(time.Since(began))/float64(n)/float64(direct), "x-direct")
}

// What a change costs: the table of a region with six services, beside that of one. Both are built anew from all objects, so
// the ratio says whether the cost grows with the services or faster.
func BenchmarkBuild(b *testing.B) {
	one, six := services("a"), services("a", "b", "c", "d", "e", "f")
	const sample = 1000
	began := time.Now()
	for range sample {
		build(one, &table{})
	}
	baseline := time.Since(began) / sample
	b.ReportAllocs()
	n := 0
	began = time.Now()
	for b.Loop() {
		build(six, &table{})
		n++
	}
	b.ReportMetric(float64(time.Since(began))/float64(n)/float64(baseline), "x-one-service")
}

// services are the objects of services in the middle of a canary, with seven pods each.
func services(names ...string) objects {
	var o objects
	for _, app := range names {
		o.services = append(o.services, svc(app, app, ""), svc(app+"-stable", app, "v1"), svc(app+"-canary", app, "v2"))
		o.virtuals = append(o.virtuals, readVirtualService(vsvc(app, 90, 10)).(*virtualService))
		for i, ip := range []string{"198.18.1.1", "198.18.1.2", "198.18.1.3", "198.18.1.4", "198.18.1.5", "198.18.1.6", "198.18.1.7"} {
			o.pods = append(o.pods, readyPod(app+string(rune('a'+i)), app, "v1", ip))
		}
	}
	return o
}
