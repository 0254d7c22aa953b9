package probe

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestNoPassWithoutEvidence: whatever the checks are, a pass means that there were some and that all of them passed, and a
// check that failed is never outweighed.
func TestNoPassWithoutEvidence(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := New("smoke", "http://shop")
		r.Error = rapid.SampledFrom([]string{"", "", "no browser"}).Draw(t, "error")
		verdicts := rapid.SliceOf(rapid.SampledFrom([]Verdict{Passed, Passed, Passed, Failed, Error})).Draw(t, "verdicts")
		for _, v := range verdicts {
			r.Checks = append(r.Checks, Check{Name: "one", Verdict: v, Message: "why"})
		}
		unmeasured := r.Error != ""
		r.Conclude(time.Second)
		switch {
		case r.Count(Failed) > 0:
			if r.Verdict != Failed {
				t.Fatalf("%v: %s", verdicts, r.Verdict)
			}
		case unmeasured || r.Count(Error) > 0 || len(verdicts) == 0:
			if r.Verdict != Error || r.Error == "" {
				t.Fatalf("%v: %s %q", verdicts, r.Verdict, r.Error)
			}
		default:
			if r.Verdict != Passed || r.Count(Passed) != len(verdicts) || r.Error != "" {
				t.Fatalf("%v: %s %q", verdicts, r.Verdict, r.Error)
			}
		}
	})
}

func TestBrokenIsAnError(t *testing.T) {
	r := New("visual", "http://a", "http://b").Broken(errors.New("no browser"), 0)
	if r.Verdict != Error || r.Error != "no browser" || r.Checks == nil {
		t.Errorf("%+v", r)
	}
}

func TestTook(t *testing.T) {
	if m := Took(1234567*time.Nanosecond, 0); m.Value != 0.0012 || m.Unit != "seconds" || m.Max != nil {
		t.Errorf("%+v", m)
	}
	if m := Took(time.Second, 2*time.Second); *m.Max != 2 {
		t.Errorf("%+v", m)
	}
}
