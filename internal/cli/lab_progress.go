package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"tidegate.io/tidegate/internal/lab"
)

// quietFor is how long a step may take before a log, which cannot redraw a line, is told again how far it is.
const quietFor = 15 * time.Second

// labProgress shows what goes on while a lab starts: one line that is redrawn on a terminal, a line now and then elsewhere.
func labProgress(out io.Writer) func(lab.Event) {
	p := &labProgressLine{out: out, redraw: isTerminal(out), told: map[string]time.Time{}}
	return p.show
}

type labProgressLine struct {
	mu     sync.Mutex
	out    io.Writer
	redraw bool
	told   map[string]time.Time // by step
}

func (p *labProgressLine) show(e lab.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	text := strings.TrimSpace(strings.Join([]string{e.Region, e.Step, e.Message}, " "))
	building := strings.HasPrefix(e.Step, "build ")
	switch {
	case e.Step == "" || building && e.Took > 0: // a region or a build is done
		p.line(fmt.Sprintf("%s after %.1f s", strings.TrimSpace(text), e.Took.Seconds()))
	case building && e.Message == "": // it was built before
	case p.redraw:
		fmt.Fprintf(p.out, "\r\x1b[K%s", text)
	case building && time.Since(p.told[e.Step]) >= quietFor:
		p.told[e.Step] = time.Now()
		p.line(text)
	}
}

func (p *labProgressLine) line(text string) {
	if p.redraw {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	fmt.Fprintln(p.out, text)
}
