package mesh

import (
	"context"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// paced runs a rate in virtual time and returns when its slots came, since the start.
func paced(t *testing.T, perSec float64, during time.Duration, slot func(n int), script func(*rate)) (at []time.Duration, missed int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRate(perSec)
		ctx, cancel := context.WithTimeout(t.Context(), during)
		defer cancel()
		began := time.Now()
		var wg sync.WaitGroup
		wg.Go(func() {
			r.pace(ctx, func() {
				at = append(at, time.Since(began))
				slot(len(at))
			}, func(n int) { missed += n })
		})
		script(r)
		wg.Wait()
	})
	return at, missed
}

func nothing(int) {}

func TestPaceIsEvenAndDoesNotDrift(t *testing.T) {
	at, missed := paced(t, 30, 100*time.Second-time.Millisecond, nothing, func(*rate) {})
	if len(at) != 3000 || missed != 0 {
		t.Fatalf("%d slots in 100 s at 30/s, %d missed", len(at), missed)
	}
	for n, d := range at {
		if due := float64(n) / 30; math.Abs(d.Seconds()-due) > 1e-6 {
			t.Fatalf("slot %d at %v, due at %.4f s", n, d, due)
		}
	}
}

func TestPaceCatchesUpAfterAShortStall(t *testing.T) {
	at, missed := paced(t, 10, 10*time.Second-time.Millisecond, func(n int) {
		if n == 20 {
			<-time.After(900 * time.Millisecond)
		}
	}, func(*rate) {})
	if len(at) != 100 || missed != 0 {
		t.Errorf("%d slots, %d missed", len(at), missed)
	}
}

func TestPaceDropsWhatIsTooLate(t *testing.T) {
	at, missed := paced(t, 10, 10*time.Second-time.Millisecond, func(n int) {
		if n == 20 {
			<-time.After(5 * time.Second)
		}
	}, func(*rate) {})
	if len(at)+missed != 100 || missed < 48 || missed > 50 {
		t.Errorf("%d slots, %d missed", len(at), missed)
	}
}

func TestRateChangesAtOnce(t *testing.T) {
	at, _ := paced(t, 1, 40*time.Second-time.Millisecond, nothing, func(r *rate) {
		<-time.After(9500 * time.Millisecond)
		r.set(100)
		<-time.After(10 * time.Second)
		r.set(-1) // pauses
		<-time.After(10 * time.Second)
		r.set(10)
	})
	var first, second, third, fourth int
	for _, d := range at {
		switch {
		case d < 9500*time.Millisecond:
			first++
		case d < 19500*time.Millisecond:
			second++
		case d < 29500*time.Millisecond:
			third++
		default:
			fourth++
		}
	}
	// A slot that falls on the change itself may be on either side of it.
	if first != 10 || second < 1000 || second > 1001 || third > 1 || fourth != 105 {
		t.Errorf("%d, %d, %d, %d slots", first, second, third, fourth)
	}
}
