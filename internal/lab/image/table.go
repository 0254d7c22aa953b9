package image

import "sync"

// Table holds what each image does. The zero value is an empty table, in which every image is healthy. It is
// safe for concurrent use, and a change is seen by the next Get.
type Table struct {
	mu     sync.RWMutex
	images map[string]Behaviour
}

// Set tells what image does from now on; the zero Behaviour makes it healthy again.
func (t *Table) Set(image string, b Behaviour) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b.IsZero() {
		delete(t.images, image)
		return
	}
	if t.images == nil {
		t.images = make(map[string]Behaviour)
	}
	t.images[image] = b.clone()
}

// Get returns what image does; healthy if nothing else was said. The image is matched to the letter.
func (t *Table) Get(image string) Behaviour {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.images[image].clone()
}

// All returns a copy of every image that is not healthy.
func (t *Table) All() map[string]Behaviour {
	t.mu.RLock()
	defer t.mu.RUnlock()
	all := make(map[string]Behaviour, len(t.images))
	for image, b := range t.images {
		all[image] = b.clone()
	}
	return all
}
