package mesh

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func in(namespace string, s *corev1.Service) *corev1.Service {
	s.Namespace = namespace
	return s
}

func TestShortNames(t *testing.T) {
	t1 := build(objects{services: []*corev1.Service{
		in("a", svc("only", "x", "")), in("a", svc("both", "x", "")), in("b", svc("both", "x", "")),
		in("b", svc("home", "x", "")), svc("home", "x", ""), in("c", svc("home", "x", "")),
	}}, &table{})
	if h := t1.hosts["only"]; h == nil || h.namespace != "a" {
		t.Errorf("only: %+v", h)
	}
	if h := t1.hosts["both"]; h != nil {
		t.Errorf("both is ambiguous, and leads to %s", h.namespace)
	}
	if h := t1.hosts["home"]; h == nil || h.namespace != "default" {
		t.Errorf("home: %+v", h)
	}
	if h := t1.hosts["both.b"]; h == nil || h.namespace != "b" {
		t.Errorf("both.b: %+v", h)
	}
}

func TestTargetPorts(t *testing.T) {
	s := svc("app", "app", "")
	s.Spec.ClusterIPs = []string{"10.96.0.7"}
	s.Spec.Ports = []corev1.ServicePort{
		{Name: "named", Port: 80, TargetPort: intstr.FromString("http")},
		{Name: "number", Port: 81, TargetPort: intstr.FromInt32(9000)},
		{Name: "same", Port: 82},
		{Name: "missing", Port: 83, TargetPort: intstr.FromString("grpc")},
	}
	t1 := build(objects{
		services: []*corev1.Service{s},
		pods:     []*corev1.Pod{readyPod("p", "app", "v1", "198.18.1.1"), readyPod("other", "other", "v1", "198.18.1.2")},
	}, &table{})
	for port, want := range map[int32]string{0: "198.18.1.1:8080", 80: "198.18.1.1:8080", 81: "198.18.1.1:9000", 82: "198.18.1.1:82", 83: ""} {
		d, got := t1.services["default/app"].destination(port), ""
		if len(d.endpoints) > 0 {
			got = d.endpoints[0].addr
		}
		if got != want || len(d.endpoints) > 1 {
			t.Errorf("port %d leads to %q, want %q", port, got, want)
		}
	}
	if t1.services["default/app"].destination(84) != nil {
		t.Error("port 84 leads somewhere")
	}
	if h := t1.clusterIPs[netip.MustParseAddr("10.96.0.7")]; h == nil || h.name != "app" {
		t.Errorf("its ClusterIP leads to %+v", h)
	}
}

func TestServiceWithoutSelector(t *testing.T) {
	s := svc("prometheus-server", "", "")
	s.Spec.Selector = nil
	name, port, no := "http", int32(9090), false
	t1 := build(objects{services: []*corev1.Service{s}, slices: []*discoveryv1.EndpointSlice{{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: s.Name}},
		Ports:      []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"198.18.0.2"}},
			{Addresses: []string{"198.18.0.3"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
		},
	}}}, &table{})
	d := t1.services["default/prometheus-server"].destination(80)
	if len(d.endpoints) != 1 || d.endpoints[0].addr != "198.18.0.2:9090" || !d.external {
		t.Errorf("got %+v", d)
	}
}

func read(name string, hosts []any, http ...any) *virtualService {
	u := vsvc("x", 1, 1)
	u.SetName(name)
	u.Object["spec"] = map[string]any{"hosts": hosts, "http": http}
	return readVirtualService(u).(*virtualService)
}

func to(host, subset string) any {
	return map[string]any{"route": []any{map[string]any{"destination": map[string]any{"host": host, "subset": subset}}}}
}

func TestVirtualServices(t *testing.T) {
	old, young := read("old", []any{"shop.example.com"}, to("app", "")), read("young", []any{"shop.example.com"}, to("b", ""))
	young.CreationTimestamp = metav1.NewTime(time.Now())
	byHeader := map[string]any{
		"match": []any{map[string]any{"headers": map[string]any{"x-test": map[string]any{"exact": "1"}}}},
		"route": []any{map[string]any{"destination": map[string]any{"host": "b.default.svc"}}},
	}
	t1 := build(objects{
		services: []*corev1.Service{svc("app", "app", ""), svc("b", "b", "")},
		pods:     []*corev1.Pod{readyPod("p", "app", "v1", "198.18.1.1")},
		virtuals: []*virtualService{
			young, old,
			read("split", []any{"app"}, byHeader, to("app.default.svc.cluster.local", "")),
			read("subset", []any{"sub.example.com"}, to("app", "canary")),
			read("nowhere", []any{"nowhere.example.com"}, to("gone", "")),
			read("picky", []any{"picky.example.com"}, byHeader),
		},
	}, &table{})
	tester := httptest.NewRequest(http.MethodGet, "/", nil)
	tester.Header.Set("x-test", "1")
	user := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range []struct {
		host string
		r    *http.Request
		dest string // empty: nowhere
		why  string // of the refusal or of the destination without endpoints
	}{
		{"shop.example.com", user, "app", ""},
		{"app", user, "app", ""},
		{"app.default.svc", tester, "b", "no ready pod"},
		{"sub.example.com", user, "app", "subset canary"},
		{"nowhere.example.com", user, "gone", "no Service"},
		{"picky.example.com", user, "", "no route"},
		{"picky.example.com", tester, "b", "no ready pod"},
	} {
		d, why := t1.hosts[c.host].choose(c.r, 0)
		got := ""
		if d != nil {
			got, why = d.service, d.why
		}
		if got != c.dest || !strings.HasPrefix(why, c.why) || c.why == "" && len(d.endpoints) != 1 {
			t.Errorf("%s: to %q, %q", c.host, got, why)
		}
	}
	for host, want := range map[string]bool{"app": true, "shop.example.com": true, "b": false, "sub.example.com": false, "picky.example.com": false} {
		if got := t1.hosts[host].routable(); got != want {
			t.Errorf("%s routable: %v", host, got)
		}
	}
	if got := t1.virtuals["default/split"]; got != "app.default.svc.cluster.local" {
		t.Errorf("first host of split: %q", got)
	}
}

// A leg without weight needs no pod; one with weight does.
func TestRoutableAsksForWeightedLegsOnly(t *testing.T) {
	for _, c := range []struct {
		stable, canary int64
		want           bool
	}{{100, 0, true}, {90, 10, false}} {
		t1 := build(objects{
			services: []*corev1.Service{svc("q2q-stable", "q2q", "v1"), svc("q2q-canary", "q2q", "v2")},
			pods:     []*corev1.Pod{readyPod("p", "q2q", "v1", "198.18.1.1")},
			virtuals: []*virtualService{readVirtualService(vsvc("q2q", c.stable, c.canary)).(*virtualService)},
		}, &table{})
		if got := t1.hosts["q2q"].routable(); got != c.want {
			t.Errorf("%d/%d: %v", c.stable, c.canary, got)
		}
	}
}
