package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"

	"tidegate.io/tidegate/internal/lab/build"
)

// The files that a supervisor is born with, beside stdin, which is the leash.
const (
	lockFD   = 3 // open and locked already
	eventsFD = 4
)

// releaseWord on a line of the leash lets the supervisor live on without whoever started it.
const releaseWord = "release"

var (
	errLeash = errors.New("whoever started the lab is gone")
	errDown  = errors.New("told to go down")
)

// order is what a supervisor is told on the first line of its leash.
type order struct {
	Dir      string         `json:"dir"`
	Regions  []string       `json:"regions"`
	Speed    int            `json:"speed"`
	Load     float64        `json:"load"`
	Services []string       `json:"services"` // none are all
	Empty    bool           `json:"empty"`
	Binaries build.Binaries `json:"binaries"`
}

// Supervise is the supervisor: it starts all regions and holds them until it is told to go down, ctx ends, or the leash
// ends before its release. Then it leaves nothing behind. It must have been started by Start, which gives it what it
// needs on open files.
func Supervise(ctx context.Context) error {
	for _, fd := range []int{lockFD, eventsFD} {
		syscall.CloseOnExec(fd) // else the regions' processes would hold the lock, too
	}
	held, out := os.NewFile(lockFD, lockFile), os.NewFile(eventsFD, "events")
	leash := bufio.NewReader(os.Stdin)
	o, err := readOrder(leash)
	if err != nil {
		return fmt.Errorf("lab supervise is for lab up to start, not for people: %w", err)
	}
	events := &events{out: out}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		if !released(leash) {
			cancel(errLeash)
		}
	}()
	s := newSupervisor(o, events, log, func() { cancel(errDown) })
	err = s.run(ctx)
	// The lock's file goes last: the next lab may start the moment it is gone.
	err = errors.Join(err, remove(o.Dir), held.Close())
	if err != nil {
		events.send(Event{Failed: err.Error()})
	}
	return err
}

func readOrder(leash *bufio.Reader) (order, error) {
	var o order
	line, err := leash.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	return o, err
}

// released reads the leash to its end, or to the word of release.
func released(leash io.Reader) bool {
	lines := bufio.NewScanner(leash)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == releaseWord {
			return true
		}
	}
	return false
}
