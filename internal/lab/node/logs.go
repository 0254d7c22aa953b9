package node

import (
	"bytes"
	"sync"
	"time"
)

// A container's log is bounded three ways, so that no pod can eat the lab's memory.
const (
	maxLogLines = 2000
	maxLogBytes = 1 << 20
	maxLogLine  = 16 << 10
)

type logLine struct {
	at   time.Time
	text []byte // without the newline; never changed after it was written
}

// logBuffer is the log of one life of a container: the newest lines, to be read by any number of followers.
type logBuffer struct {
	mu      sync.Mutex
	lines   []logLine
	first   uint64 // number of lines[0]
	bytes   int
	partial []byte
	closed  bool
	wake    chan struct{} // closed at the next line; nil while nobody waits
}

// Write takes output as it comes and cuts it into lines. It never fails: what comes after close is dropped.
func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return len(p), nil
	}
	for rest := p; len(rest) > 0; {
		line, after, ended := bytes.Cut(rest, []byte("\n"))
		b.partial = append(b.partial, line[:min(len(line), maxLogLine-len(b.partial))]...)
		if ended {
			b.push()
		}
		rest = after
	}
	return len(p), nil
}

// close ends the log: followers read to the end and go.
func (b *logBuffer) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	if len(b.partial) > 0 {
		b.push()
	}
	b.closed = true
	b.rouse()
}

func (b *logBuffer) push() {
	b.lines = append(b.lines, logLine{at: time.Now(), text: bytes.Clone(b.partial)})
	b.bytes += len(b.partial)
	b.partial = b.partial[:0]
	for len(b.lines) > maxLogLines || b.bytes > maxLogBytes {
		b.bytes -= len(b.lines[0].text)
		b.lines[0].text = nil // the array outlives the slice until the next growth
		b.lines = b.lines[1:]
		b.first++
	}
	b.rouse()
}

func (b *logBuffer) rouse() {
	if b.wake != nil {
		close(b.wake)
		b.wake = nil
	}
}

// read returns the lines from number from on, the number to ask for next, whether the log has ended, and a
// channel that is closed when there is more. A reader that is too slow misses the lines that were dropped.
func (b *logBuffer) read(from uint64) (lines []logLine, next uint64, ended bool, more <-chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	next = b.first + uint64(len(b.lines))
	if from = max(from, b.first); from < next {
		// A copy: push overwrites nothing that was handed out but for the text of dropped lines.
		lines = append(lines, b.lines[from-b.first:]...)
	}
	if b.wake == nil {
		b.wake = make(chan struct{})
		if b.closed {
			close(b.wake)
		}
	}
	return lines, next, b.closed, b.wake
}
