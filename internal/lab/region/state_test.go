package region

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoll(t *testing.T) {
	changes := 0
	r := newRoll(func() { changes++ })
	r.set(Component{Name: "etcd", State: StateStarting, PID: 7})
	r.set(Component{Name: "node", State: StateRunning})
	r.mark("etcd", StateRunning, nil)
	r.mark("etcd", StateRunning, nil) // no news
	r.mark("etcd", StateExited, errors.New("exit status 1"))
	r.mark("etcd", StateRunning, nil) // whoever waited for it to be ready came too late
	r.mark("nobody", StateExited, nil)
	want := []Component{{Name: "etcd", State: StateExited, PID: 7, Error: "exit status 1"}, {Name: "node", State: StateRunning}}
	if diff := cmp.Diff(want, r.list()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if changes != 4 {
		t.Errorf("%d changes were told, want 4", changes)
	}
}
