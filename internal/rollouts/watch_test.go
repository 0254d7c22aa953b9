package rollouts

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// An API server that comes back after an outage knows no permissions at first: what it denies then is as young as it is.
func TestADenialIsNotAsOldAsTheOutageBeforeIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &Watcher{failures: map[string]failing{}, changed: make(chan struct{}, 1)}
		refused := func(report error) bool {
			w.report("rollouts", report)
			return errors.Is(w.failure(), ErrRefused)
		}
		denial := fmt.Errorf("%w: 403", ErrDenied)
		if refused(errors.New("connection refused")) {
			t.Fatal("an outage is no refusal")
		}
		<-time.After(time.Minute)
		if refused(denial) {
			t.Error("the first denial after a minute of outage is believed at once")
		}
		<-time.After(DeniedFor)
		if !refused(denial) {
			t.Errorf("a denial that has lasted for %s is not believed", DeniedFor)
		}
		if refused(nil) {
			t.Error("it is refused although it was answered")
		}
	})
}
