package region

import (
	"sync"

	"tidegate.io/tidegate/internal/lab/proc"
)

// The states of a component.
const (
	StateStarting = "starting"
	StateRunning  = "running"
	StateExited   = "exited" // by itself: nothing starts it again
)

// Component is one part of a region: a process, or a part of the supervisor (node, mesh, load).
type Component struct {
	Name   string       `json:"name"`
	State  string       `json:"state"`
	PID    int          `json:"pid,omitempty"` // absent for parts of the supervisor
	Log    string       `json:"log,omitempty"`
	Error  string       `json:"error,omitempty"`  // how it exited
	Record *proc.Record `json:"record,omitempty"` // tells the process from a later one with the same pid
}

// roll is the list of a region's components, in the order in which they started.
type roll struct {
	changed func()

	mu     sync.Mutex
	names  []string
	byName map[string]Component
}

func newRoll(changed func()) *roll {
	return &roll{changed: changed, byName: map[string]Component{}}
}

func (r *roll) set(c Component) {
	r.mu.Lock()
	if _, ok := r.byName[c.Name]; !ok {
		r.names = append(r.names, c.Name)
	}
	r.byName[c.Name] = c
	r.mu.Unlock()
	r.changed()
}

// mark sets the state of a component that is on the roll; one that has exited stays so.
func (r *roll) mark(name, state string, cause error) {
	r.mu.Lock()
	c, ok := r.byName[name]
	change := ok && c.State != StateExited && c.State != state
	if change {
		c.State = state
		if cause != nil {
			c.Error = cause.Error()
		}
		r.byName[name] = c
	}
	r.mu.Unlock()
	if change {
		r.changed()
	}
}

func (r *roll) list() []Component {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]Component, 0, len(r.names))
	for _, name := range r.names {
		list = append(list, r.byName[name])
	}
	return list
}
