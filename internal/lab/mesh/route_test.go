package mesh

import (
	"math"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func split(weights ...uint64) *route {
	r := &route{sequence: new(atomic.Uint64)}
	for _, w := range weights {
		r.total += w
		r.legs = append(r.legs, leg{upTo: r.total, dest: &destination{}})
	}
	return r
}

// A weight holds within any few dozen requests in a row, not only in the long run.
func TestChoiceHoldsInEveryWindow(t *testing.T) {
	for _, weights := range [][]uint64{{90, 10}, {99, 1}, {50, 50}, {75, 25}, {0, 100}, {100, 0}, {1, 1, 1}, {60, 0, 40}} {
		r := split(weights...)
		const requests, window = 5000, 100
		chosen := make([]int, requests)
		for k := range chosen {
			d, _ := r.choose()
			for i := range r.legs {
				if r.legs[i].dest == d {
					chosen[k] = i
				}
			}
		}
		for i, w := range weights {
			want := float64(w) / float64(r.total) * window
			for start := 0; start+window <= requests; start++ {
				got := 0
				for _, c := range chosen[start : start+window] {
					if c == i {
						got++
					}
				}
				if math.Abs(float64(got)-want) > 2.5 || w == 0 && got > 0 {
					t.Fatalf("weights %v: leg %d got %d of %d from request %d, want %.1f", weights, i, got, window, start, want)
				}
			}
		}
	}
}

func TestNoWeightIsNoDestination(t *testing.T) {
	if d, why := split(0, 0).choose(); d != nil || why == "" {
		t.Errorf("got %v, %q", d, why)
	}
}

func TestMatches(t *testing.T) {
	uri := func(kind, text string) map[string]any { return map[string]any{"uri": map[string]any{kind: text}} }
	header := func(kind, text string) map[string]any {
		return map[string]any{"headers": map[string]any{"x-user": map[string]any{kind: text}}}
	}
	for _, c := range []struct {
		block map[string]any
		path  string
		user  string
		want  bool
	}{
		{uri("prefix", "/v2"), "/v2/x", "", true},
		{uri("prefix", "/v2"), "/v1", "", false},
		{uri("exact", "/v2"), "/v2", "", true},
		{uri("exact", "/v2"), "/v2/", "", false},
		{uri("regex", "/v."), "/v2", "", false}, // not implemented: never, rather than always
		{header("exact", "tester"), "/", "tester", true},
		{header("exact", "tester"), "/", "testers", false},
		{header("prefix", "test"), "/", "testers", true},
		{header("prefix", ""), "/", "", false}, // no header at all
		{map[string]any{"method": map[string]any{"exact": "GET"}}, "/", "", false},
		{map[string]any{"name": "everything"}, "/", "", true},
		{map[string]any{"uri": uri("prefix", "/v2")["uri"], "headers": header("exact", "me")["headers"]}, "/v2", "you", false},
	} {
		r := httptest.NewRequest(http.MethodGet, c.path, nil)
		if c.user != "" {
			r.Header.Set("X-User", c.user)
		}
		if got := readMatch(c.block).matched(r); got != c.want {
			t.Errorf("%v on %s for %q: %v", c.block, c.path, c.user, got)
		}
	}
}

// Argo may change objects fifty times a second: weights hold over tables that live for one request each.
func TestChoiceOutlivesTheTable(t *testing.T) {
	t1, canary := &table{}, 0
	for range 1000 {
		t1 = build(objects{
			services: []*corev1.Service{svc("q2q-stable", "q2q", "v1"), svc("q2q-canary", "q2q", "v2")},
			virtuals: []*virtualService{readVirtualService(vsvc("q2q", 90, 10)).(*virtualService)},
		}, t1)
		if d, _ := t1.hosts["q2q"].choose(httptest.NewRequest(http.MethodGet, "/", nil), 0); d.service == "q2q-canary" {
			canary++
		}
	}
	if canary < 98 || canary > 102 {
		t.Errorf("10 %% of 1000 is %d", canary)
	}
	if len(t1.sequences) != 3 {
		t.Errorf("%d sequences for two Services and a route", len(t1.sequences))
	}
}
