package mesh

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func newRollout(name string, strategy map[string]any) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
		"metadata": map[string]any{"namespace": "default", "name": name},
		"spec":     map[string]any{"strategy": strategy},
	}}
}

func routed(virtualService string) map[string]any {
	return map[string]any{"canary": map[string]any{
		"stableService": "q2q-stable", "canaryService": "q2q-canary",
		"trafficRouting": map[string]any{"istio": map[string]any{
			"virtualService": map[string]any{"name": virtualService, "routes": []any{"primary"}},
		}},
	}}
}

// loaded is a rig under load, whose gateway tells what it answered.
type loaded struct {
	*rig
	load    *Load
	halt    func() // ends the load and waits for it
	answers chan answered
}

type answered struct {
	host string
	code int
}

func (r *rig) loaded(rps float64) *loaded {
	r.Helper()
	l := &loaded{rig: r, answers: make(chan answered, 1<<20)}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		spy := &spy{ResponseWriter: w}
		r.mesh.Gateway().ServeHTTP(spy, q)
		l.answers <- answered{q.Host, spy.code}
	}))
	r.Cleanup(gateway.Close)
	load, err := NewLoad(LoadConfig{Gateway: gateway.URL, Dynamic: r.dyn, Mesh: r.mesh, Metrics: r.mesh.Registry(), RPS: rps})
	if err != nil {
		r.Fatal(err)
	}
	l.load = load
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := load.Run(ctx); err != nil {
			r.Errorf("Run: %v", err)
		}
	})
	l.halt = func() { cancel(); running.Wait() }
	r.Cleanup(l.halt)
	return l
}

// more waits until the gateway answered host n more times with code.
func (l *loaded) more(n int, host string, code int) {
	l.Helper()
	deadline := time.After(patienceOfTests)
	for n > 0 {
		select {
		case a := <-l.answers:
			if a.host == host+".default.svc.cluster.local" && a.code == code {
				n--
			}
		case <-deadline:
			l.Fatalf("%s was not answered %d often enough: %d to go", host, code, n)
		}
	}
}

type spy struct {
	http.ResponseWriter
	code int
}

func (s *spy) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func TestLoadFindsItsTargets(t *testing.T) {
	r := newRig(t, nil,
		svc("shop", "shop", ""), svc("q2q", "q2q", ""), svc("q2q-stable", "q2q", "v1"), svc("q2q-canary", "q2q", "v2"),
		svc("plain", "plain", ""), svc("late", "late", ""), svc("behind", "behind", ""),
		crd(virtualResource, "VirtualService"), vsvc("q2q", 100, 0), crd(rolloutResource, "Rollout"),
		newRollout("gateway", map[string]any{"blueGreen": map[string]any{"activeService": "shop"}}),
		newRollout("q2q", routed("q2q-vsvc.default")),
		newRollout("plain", map[string]any{"canary": map[string]any{}}),
		newRollout("named", map[string]any{"canary": map[string]any{"stableService": "behind"}}),
		newRollout("late", map[string]any{"canary": map[string]any{}}),
	)
	for _, name := range []string{"shop", "q2q", "plain", "behind"} {
		r.runs(name, 1, "v1")
	}
	l := r.loaded(200)
	for _, name := range []string{"shop", "q2q", "plain", "behind"} {
		l.more(10, name, http.StatusOK)
	}
	// Without a pod there is no load; from its first on there is, come what may.
	for _, total := range l.load.Totals() {
		if total.Rollout == "late" {
			t.Errorf("%+v without a pod", total)
		}
	}
	r.runs("late", 1, "v1")
	l.more(10, "late", http.StatusOK)
	if err := r.kube.CoreV1().Pods("default").Delete(context.Background(), "late-v1-0", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.more(10, "late", http.StatusServiceUnavailable)
	l.load.SetRate(0)
	totals, _ := l.agreed()

	want := map[string]string{"gateway": "shop", "q2q": "q2q", "plain": "plain", "named": "behind", "late": "late"}
	for _, total := range totals {
		if total.Service != want[total.Rollout] || total.Sent == 0 || total.Sent != total.Versions["v1"].Sent+total.Versions[""].Sent {
			t.Errorf("%+v", total)
		}
		if late := total.Rollout == "late"; late != (total.Failed > 0) || total.Failed != total.Versions[""].Failed {
			t.Errorf("%+v", total)
		}
		delete(want, total.Rollout)
	}
	if len(want) > 0 {
		t.Errorf("never loaded: %v", want)
	}
	for _, line := range []string{
		`lab_load_requests_total{code="200",service="q2q",version="v1"} `,
		`lab_load_requests_total{code="503",service="late",version=""} `,
		`lab_load_request_duration_seconds_count{service="shop"} `,
	} {
		if !strings.Contains(scrape(r.mesh), line) {
			t.Errorf("no line %s", line)
		}
	}
}

// The mesh and the load generator agree on how many requests there were, and there are no more than the rate allows. That
// there are no fewer is shown in virtual time: a machine that stalls sends late, and drops what is too late.
func TestLoadKeepsItsRate(t *testing.T) {
	r := newRig(t, nil, svc("shop", "shop", ""), crd(rolloutResource, "Rollout"),
		newRollout("shop", map[string]any{"canary": map[string]any{}}))
	r.runs("shop", 2, "v1")
	l := r.loaded(0)
	began := time.Now()
	l.load.SetRate(200)
	l.more(200, "shop", http.StatusOK)
	took := time.Since(began)
	l.load.SetRate(0)
	// 200 slots 5 ms apart take 995 ms.
	if took < 990*time.Millisecond {
		t.Errorf("200 requests at 200/s took %v", took)
	}
	if got, errors := l.agreed(); len(got) != 1 || got[0].Failed != 0 || errors != 0 {
		t.Errorf("sent %+v, counted %d errors", got, errors)
	}
}

// agreed waits until the books of the load and those of the mesh hold as many requests, and returns the former and the
// errors of the latter. It is asked before the load is halted, which cuts off what is in flight. No channel tells when an
// answer is entered.
func (l *loaded) agreed() ([]Total, uint64) {
	l.Helper()
	deadline := time.After(patienceOfTests)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		got := l.load.Totals()
		requests, errors := l.counted()
		var sent uint64
		for _, total := range got {
			sent += total.Sent
		}
		if sent == requests {
			return got, errors
		}
		select {
		case <-tick.C:
		case <-deadline:
			l.Fatalf("sent %+v, counted %d", got, requests)
		}
	}
}

// A service that hangs is not sent ever more.
func TestLoadIsBounded(t *testing.T) {
	r := newRig(t, nil, svc("shop", "shop", ""), crd(rolloutResource, "Rollout"),
		newRollout("shop", map[string]any{"canary": map[string]any{}}))
	var mu sync.Mutex
	var inside int
	full := make(chan struct{})
	pod := readyPod("p", "shop", "v1", "198.18.1.1")
	r.serve("198.18.1.1:8080", http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		mu.Lock()
		if inside++; inside == inFlight {
			close(full)
		}
		mu.Unlock()
		<-q.Context().Done()
	}))
	if _, err := r.kube.CoreV1().Pods("default").Create(context.Background(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	r.until("the pod", func(*table) bool { return r.mesh.Routable("shop") })
	l := r.loaded(2000)
	select {
	case <-full:
	case <-time.After(patienceOfTests):
		t.Fatal("never full")
	}
	if err := r.dyn.Resource(rolloutResource).Namespace("default").
		Delete(context.Background(), "shop", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	l.halt()
	mu.Lock()
	defer mu.Unlock()
	got := l.load.Totals()
	if inside > inFlight || got[0].Sent != 0 || got[0].Failed != 0 {
		t.Errorf("%d at once, %+v", inside, got)
	}
}

func TestLoadStaysOnThisMachine(t *testing.T) {
	for _, base := range []string{"http://example.com:80", "http://10.0.0.1:80", "https://127.0.0.1:443", "127.0.0.1:80", ""} {
		if _, err := NewLoad(LoadConfig{Gateway: base, Metrics: prometheus.NewRegistry()}); err == nil {
			t.Errorf("%q was taken", base)
		}
	}
	reg := prometheus.NewRegistry()
	for i, want := range []bool{true, false} {
		if _, err := NewLoad(LoadConfig{Gateway: "http://127.0.0.1:80", Metrics: reg}); (err == nil) != want {
			t.Errorf("load generator %d on the same registry: %v", i+1, err)
		}
	}
}
