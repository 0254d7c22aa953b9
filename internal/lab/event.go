package lab

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Event is one thing that happened while a lab started.
type Event struct {
	Region  string        `json:"region,omitempty"` // "" for what concerns all of them
	Step    string        `json:"step,omitempty"`   // such as a component's name
	Message string        `json:"message,omitempty"`
	Took    time.Duration `json:"took,omitempty"` // set once the step is done

	Ready  bool   `json:"ready,omitempty"`  // last event: everything works
	Failed string `json:"failed,omitempty"` // last event: why nothing is left
}

// events writes events as lines of JSON for whoever started the supervisor. Nobody may be listening any more.
type events struct {
	mu  sync.Mutex
	out io.WriteCloser
}

func (e *events) send(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.out == nil {
		return
	}
	if err := json.NewEncoder(e.out).Encode(event); err != nil || event.Ready || event.Failed != "" {
		_ = e.out.Close() // the reader is gone or has heard the last of us
		e.out = nil
	}
}
