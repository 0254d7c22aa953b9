//go:build lab

package lab_test

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"testing"
	"time"

	"tidegate.io/tidegate/internal/lab"
)

func TestUpDownTwentyTimesLeavesNothing(t *testing.T) {
	const times = 20
	o := empty(t)
	goroutines, files := runtime.NumGoroutine(), openFiles()
	var up, down []time.Duration
	for i := range times {
		began := time.Now()
		l, err := lab.Start(within(t, upWithin, "the lab is ready"), o)
		if err != nil {
			t.Fatalf("start %d of %d: %v", i+1, times, err)
		}
		up = append(up, time.Since(began))
		state := status(t, l)
		if err := running(state); err != nil {
			t.Errorf("start %d of %d: %v", i+1, times, err)
		}
		began = time.Now()
		stop(t, l)
		down = append(down, time.Since(began))
		if err := traceOf(t, state).left(); err != nil {
			t.Fatalf("after %d of %d times: %v", i+1, times, err)
		}
	}
	t.Logf("median of %d: up %.2f s, down %.2f s; slowest: up %.2f s, down %.2f s", times,
		median(up).Seconds(), median(down).Seconds(), slices.Max(up).Seconds(), slices.Max(down).Seconds())

	eventually(t, within(t, soon, "the starter's own goroutines and files are gone"), func() error {
		if now := runtime.NumGoroutine(); now > goroutines {
			var stacks bytes.Buffer
			_ = pprof.Lookup("goroutine").WriteTo(&stacks, 1)
			return fmt.Errorf("%d goroutines, %d before:\n%s", now, goroutines, &stacks)
		}
		if now := openFiles(); now > files {
			return fmt.Errorf("%d open files, %d before", now, files)
		}
		return nil
	})
}

func median(d []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(d))[len(d)/2]
}

// openFiles counts the open files of this process where the system tells.
func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

func TestTwoLabsSideBySide(t *testing.T) {
	type started struct {
		lab *lab.Lab
		err error
	}
	ctx := within(t, upWithin, "both labs are ready")
	answers := make(chan started)
	for range 2 {
		o := empty(t)
		go func() {
			l, err := lab.Start(ctx, o)
			answers <- started{l, err}
		}()
	}
	var labs []*lab.Lab
	for range 2 {
		a := <-answers
		if a.err != nil {
			t.Error(a.err)
			continue
		}
		t.Cleanup(func() { stop(t, a.lab) })
		labs = append(labs, a.lab)
	}
	if t.Failed() {
		return
	}
	first, second := status(t, labs[0]), status(t, labs[1])
	taken := map[int]string{}
	for name, port := range portsOf(t, first.Regions[0]) {
		taken[port] = name
	}
	for name, port := range portsOf(t, second.Regions[0]) {
		if other, ok := taken[port]; ok {
			t.Errorf("port %d is %s of one lab and %s of the other", port, other, name)
		}
	}

	stop(t, labs[0])
	if err := traceOf(t, first).left(); err != nil {
		t.Errorf("the lab that was stopped: %v", err)
	}
	state := status(t, labs[1])
	if err := running(state); err != nil || state.Phase != lab.PhaseReady {
		t.Errorf("the lab that was not stopped is %s: %v", state.Phase, err)
	}
	for name, r := range traceOf(t, state).records {
		if !r.Ours() {
			t.Errorf("%s of the lab that was not stopped does not run", name)
		}
	}
}
