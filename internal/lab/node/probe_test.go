package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// play runs a prober on a false clock. answers says what each probe meets: + passes, - fails, and the last goes
// on. It returns when probes were sent and what was reported, in milliseconds from the start.
func play(t *testing.T, p prober, answers string, until time.Duration) (asked []int64, reported []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), until)
		defer cancel()
		p.ask = func(context.Context) error {
			asked = append(asked, time.Since(begun).Milliseconds())
			if answers[min(len(asked), len(answers))-1] == '-' {
				return errors.New("refused")
			}
			return nil
		}
		p.timeout = time.Second
		p.run(ctx, begun, func(err error) bool {
			mark := "+"
			if err != nil {
				mark = "-"
			}
			reported = append(reported, fmt.Sprintf("%s%d", mark, time.Since(begun).Milliseconds()))
			return true
		})
	})
	return asked, reported
}

func TestProbePace(t *testing.T) {
	quick := prober{
		period: 10 * time.Second, successes: 1, failures: 3,
		quickMin: 10 * time.Millisecond, quickMax: 100 * time.Millisecond,
	}
	steady := prober{period: 10 * time.Second, successes: 1, failures: 3}
	delayed := quick
	delayed.delay = 5 * time.Second
	twice := quick
	twice.successes = 2
	for _, tc := range []struct {
		name     string
		p        prober
		answers  string
		until    time.Duration
		asked    []int64 // the first of them
		reported string
	}{
		{"ready at once, then the period", quick, "+", 25 * time.Second, []int64{0, 10000, 20000}, "+0 +10000 +20000"},
		{"quick until the first success", quick, "------+", 15 * time.Second,
			[]int64{0, 10, 30, 70, 150, 250, 350, 10350}, "+350 +10350"},
		{"quick failures do not use up the threshold", quick, "-", 25 * time.Second, []int64{0, 10, 30}, "-20050"},
		{"steady from the start", steady, "-", 35 * time.Second, []int64{0, 10000, 20000, 30000}, "-20000 -30000"},
		{"a success forgives", steady, "--+--+", 55 * time.Second, []int64{0, 10000, 20000, 30000, 40000, 50000}, "+20000 +50000"},
		{"lost and found", quick, "+---+", 55 * time.Second, []int64{0, 10000, 20000, 30000, 40000, 50000},
			"+0 -30000 +40000 +50000"},
		{"initial delay", delayed, "+", 20 * time.Second, []int64{5000, 15000}, "+5000 +15000"},
		{"success threshold", twice, "+", 15 * time.Second, []int64{0, 10000}, "+10000"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			asked, reported := play(t, tc.p, tc.answers, tc.until)
			if len(asked) < len(tc.asked) || !slices.Equal(asked[:len(tc.asked)], tc.asked) {
				t.Errorf("asked at %v ms, want %v first", asked[:min(len(asked), 12)], tc.asked)
			}
			if got := strings.Join(reported, " "); !strings.HasPrefix(got, tc.reported) {
				t.Errorf("reported %q, want %q", got, tc.reported)
			}
		})
	}
}

func TestProbeTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := prober{timeout: time.Second, ask: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}
		begun := time.Now()
		if err := p.once(t.Context()); !errors.Is(err, errProbeTimeout) || time.Since(begun) != time.Second {
			t.Errorf("once = %v after %v", err, time.Since(begun))
		}
	})
}
