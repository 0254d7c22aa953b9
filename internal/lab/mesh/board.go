package mesh

import (
	"sync"
	"sync/atomic"
)

// board is where the current routing table hangs: readers take it without a lock, and may wait for the next one.
type board struct {
	current atomic.Pointer[table]

	mu      sync.Mutex
	changed chan struct{}
}

func newBoard(t *table) *board {
	b := &board{changed: make(chan struct{})}
	b.current.Store(t)
	return b
}

func (b *board) load() *table { return b.current.Load() }

// post hangs up t, then wakes those who wait: they find t or a later one.
func (b *board) post(t *table) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.current.Store(t)
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *board) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}
