package node

import (
	"math"
	"testing"
	"time"
)

// drawn are the sequences by name, to try them all.
func drawn(seed string) map[string]*sequence {
	s := newSequences(seed)
	return map[string]*sequence{
		"errors": s.errors, "latency": s.latency, "tokens": s.tokens, "quality": s.quality, "queries": s.queries,
		"vitals": s.vitals, "audit": s.audit,
	}
}

func TestSharesAreExact(t *testing.T) {
	for _, share := range []float64{0, 0.01, 0.05, 0.5, 1} {
		for _, seed := range []string{"a", "b", "pod-7"} {
			for name, s := range drawn(seed) {
				for window := range 20 {
					hits := 0
					for range 200 {
						if s.next() < share {
							hits++
						}
					}
					if want := share * 200; math.Abs(float64(hits)-want) > 2 {
						t.Errorf("%s, seed %s, window %d: %d of 200 are below %v, want %v ± 2", name, seed, window, hits, share, want)
					}
				}
			}
		}
	}
}

func TestSequencesAreIndependent(t *testing.T) {
	for name := range drawn("a") {
		for other := range drawn("a") {
			one, two, both := drawn("a")[name], drawn("a")[other], 0
			for range 10_000 {
				if a, b := one.next() < 0.1, two.next() < 0.1; a && b {
					both++
				}
			}
			if name != other && (both < 50 || both > 150) {
				t.Errorf("%d of 10,000 are in the first tenth of both %s and %s, want about 100", both, name, other)
			}
		}
	}
}

func TestPodsDoNotFailTogether(t *testing.T) {
	if a, b := newSequence("a", stepErrors).next(), newSequence("b", stepErrors).next(); a == b {
		t.Errorf("two pods begin at the same point %v", a)
	}
}

func TestLatency(t *testing.T) {
	for _, tc := range []struct {
		u, factor float64
		want      time.Duration
	}{
		{0.5, 0, 4 * time.Millisecond},
		{0.5, 1, 4 * time.Millisecond},
		{0.5, 2.5, 10 * time.Millisecond},
		{0.95, 0, 9100 * time.Microsecond},
	} {
		if got := latencyAt(tc.u, tc.factor); got.Round(100*time.Microsecond) != tc.want {
			t.Errorf("latencyAt(%v, %v) = %v, want %v", tc.u, tc.factor, got, tc.want)
		}
	}
	if slowest := latencyAt(1, 1); slowest > 20*time.Millisecond {
		t.Errorf("the slowest request of a healthy image takes %v", slowest)
	}
}
