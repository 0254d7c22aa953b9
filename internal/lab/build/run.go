package build

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"tidegate.io/tidegate/internal/lab/proc"
)

const (
	// stale begins a line of Step.List that stands for a package to compile.
	stale = "stale: "
	// linkOnly follows it for a program that is compiled but was not linked to where go install would put it.
	linkOnly = "not installed but available in build cache"
	// keepLines of what go complained about are shown: the first lines of a long complaint are in them or like them.
	keepLines = 20
	// drainWithin is how long a process that go started and that left its group, such as a helper for credentials, may
	// hold on to our pipe once go is gone.
	drainWithin = time.Second
)

// run runs the go commands of one step.
type run struct {
	step      Step
	toolchain toolchain
	launcher  *proc.Launcher
	dir       string // with the pins
	temp      string // for go's own temporary files, so that they go with ours
	emit      func(Event)
	total     int // packages to compile, known after list
}

// list downloads the modules and counts what must be compiled.
func (r *run) list(ctx context.Context) error {
	modules := 0
	r.emit(Event{Phase: Download})
	return r.goes(ctx, r.step.List(), func(line string) bool {
		reason, isStale := strings.CutPrefix(line, stale)
		switch {
		case isStale && reason != linkOnly:
			r.total++
		case strings.HasPrefix(line, "go: downloading "):
			modules++
			r.emit(Event{Phase: Download, Done: modules})
		case !isStale && line != "":
			return false
		}
		return true
	})
}

// build compiles and links into the folder out.
func (r *run) build(ctx context.Context, out string) error {
	compiled := 0
	tell := func() {
		phase := Compile
		if compiled >= r.total {
			phase = Link
		}
		r.emit(Event{Phase: phase, Done: compiled, Total: r.total})
	}
	tell()
	return r.goes(ctx, r.step.Build(out), func(line string) bool {
		if line == "" || strings.ContainsAny(line, " \t:") { // no import path
			return false
		}
		// A cache that was trimmed meanwhile makes for more packages than were counted.
		if compiled < r.total {
			compiled++
			tell()
		}
		return true
	})
}

// goes runs go with the arguments. Each line of its output is progress, or else part of the error if it fails.
func (r *run) goes(ctx context.Context, args []string, progress func(line string) bool) error {
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	p, err := r.launcher.Start(proc.Spec{
		Name: "go " + args[0], Path: r.toolchain.path, Args: args, Dir: r.dir,
		Env:    overlay(os.Environ(), append([]string{"GOTMPDIR=" + r.temp, "PWD=" + r.dir}, r.step.Env...)...),
		Output: write,
	})
	write.Close()
	if err != nil {
		return err
	}
	// ctx is over when Stop is called, so it kills go and all of its group at once.
	defer context.AfterFunc(ctx, func() { _ = p.Stop(ctx) })()
	go func() {
		<-p.Done()
		_ = read.SetReadDeadline(time.Now().Add(drainWithin)) // fails once read is closed, and is not needed then
	}()

	var complaint []string
	lines := bufio.NewReader(read)
	for {
		line, err := lines.ReadString('\n')
		if text := strings.TrimRight(line, "\n"); line != "" && !progress(text) {
			complaint = append(complaint, text)
			if len(complaint) > keepLines {
				complaint = complaint[1:]
			}
		}
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("read the output of go %s: %w", args[0], err)
		}
		if err != nil {
			break
		}
	}
	<-p.Done()
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case p.Err() != nil:
		return &goError{err: p.Err(), output: complaint}
	}
	return nil
}
