package build

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"
)

func TestProgress(t *testing.T) {
	fakeGo(t, `
		echo "go: downloading example.com/a v1.0.0" >&2
		echo "go: downloading example.com/b v1.0.0" >&2
		echo "stale: build ID mismatch"
		echo "stale: stale dependency: errors"
		echo
		echo "stale: not installed but available in build cache"
	`, `
		echo internal/goarch >&2
		echo example.com/a >&2
		echo example.com/more-than-were-counted >&2
	`+makeTools)
	w := watch(Options{Cache: t.TempDir()}, small())
	if _, err := w.ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []Event{
		{Phase: Download},
		{Phase: Download, Done: 1},
		{Phase: Download, Done: 2},
		{Phase: Compile, Total: 2},
		{Phase: Compile, Done: 1, Total: 2},
		{Phase: Link, Done: 2, Total: 2},
		{Phase: Done, Done: 2, Total: 2},
	}
	last := time.Duration(0)
	for i, e := range w.events {
		if e.Name != "small" || e.Elapsed < last {
			t.Errorf("event %d: name %q, elapsed %v after %v", i, e.Name, e.Elapsed, last)
		}
		last = e.Elapsed
		w.events[i].Name, w.events[i].Elapsed = "", 0
	}
	if diff := cmp.Diff(want, w.events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestTwoAtOnceBuildOnce(t *testing.T) {
	gate, open := fifo(t)
	fakeGo(t, "", "read x < "+gate+"\n"+makeTools)
	opts := Options{Cache: t.TempDir()}
	first, second := watch(opts, small()), watch(opts, small())
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var group errgroup.Group
	started := make(chan struct{})
	first.on = func(e Event) {
		if e.Phase == Download { // it has the lock
			close(started)
		}
	}
	second.on = func(e Event) {
		if e.Phase == Waiting {
			_, _ = io.WriteString(open, "go on\n")
		}
	}
	group.Go(func() error { _, err := first.ensure(ctx); return err })
	group.Go(func() error {
		<-started
		_, err := second.ensure(ctx)
		return err
	})
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	first.wantPhases(t, Download, Link, Done)
	second.wantPhases(t, Waiting, Cached)
}

func TestCancelKillsTheWholeBuild(t *testing.T) {
	path, both := fifo(t)
	reader, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	if err := reader.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fakeGo(t, "", "exec 3> "+path+"; sleep 60 & echo compiles >&3; wait") // go, and a compiler with the same pipe
	cache := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	interrupted := errors.New("interrupted")
	failed := make(chan error, 1)
	go func() {
		_, err := newBuilder(Options{Cache: cache}, small()).ensure(ctx)
		failed <- err
	}()
	if line, err := bufio.NewReader(both).ReadString('\n'); line != "compiles\n" {
		t.Fatalf("read %q, %v", line, err)
	}
	both.Close() // from here on the pipe ends when go and the compiler are dead
	cancel(interrupted)
	if err := <-failed; !errors.Is(err, interrupted) {
		t.Errorf("ensure = %v, want the cause of the context", err)
	}
	if rest, err := io.ReadAll(reader); err != nil {
		t.Errorf("something of the build still lives: read %q, %v", rest, err)
	}
	wantClean(t, cache, "lock")
}

func TestKilledMidwayLeavesNoHalfCache(t *testing.T) {
	path, out := fifo(t)
	real := os.Getenv("PATH")
	// It has made one of two binaries and hangs; its end of a pipe tells when it is dead.
	fakeGo(t, "", `echo half > "$4"pack; echo hangs > `+path+`; exec sleep 60`)
	cache := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), cacheKey+"="+cache)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // "signal: killed", as ordered
	left, err := filepath.Glob(filepath.Join(cache, tempPrefix+"*"))
	if err != nil || len(left) != 1 {
		t.Fatalf("left behind: %v, %v: the test did not kill it midway", left, err)
	}

	t.Setenv("PATH", real)
	paths, _ := mustBuild(t, cache)
	wantClean(t, cache, filepath.Base(filepath.Dir(filepath.Dir(paths["pack"]))), "lock")
}

func TestNoGo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := newBuilder(Options{Cache: t.TempDir()}, small()).ensure(t.Context())
	wantError(t, err, "not in PATH", "install Go 1.26.1 or newer", "https://go.dev/dl", assetsKey, "renamed, pack")
}

func TestNewestGoIsAskedFor(t *testing.T) {
	older, newer := small()[0], small()[0]
	older.pin.goVersion, newer.pin.goVersion = "go1.26.9", "go1.26.10"
	_, _, wanted, err := newBuilder(Options{}, []module{older, newer}).split()
	if err != nil || wanted != "go1.26.10" {
		t.Errorf("wanted %s, %v, want go1.26.10", wanted, err)
	}
}

func TestStrangeGo(t *testing.T) {
	for answer, want := range map[string]string{
		"echo go1.20.14":                     "is go1.20.14, too old",
		"echo what":                          "is what, too old",
		"echo broken >&2; exit 2":            "exit status 2: broken",
		"echo go1.26.8 X:nocoverageredesign": "", // good
		"echo devel go1.27-0123456":          "",
	} {
		putGo(t, "#!/bin/sh\n"+answer+"\n")
		got, err := findGo(t.Context(), "go1.26.1", []string{etcd})
		if want != "" {
			wantError(t, err, want)
		} else if err != nil {
			t.Errorf("%s: %+v, %v", answer, got, err)
		}
	}
}

func TestNoNetwork(t *testing.T) {
	// The real pins, nothing downloaded yet, and a port that nobody listens on.
	t.Setenv("GOMODCACHE", t.TempDir())
	t.Setenv("GOPROXY", "http://127.0.0.1:1")
	t.Setenv("GONOPROXY", "none")
	cache := t.TempDir()
	_, err := newBuilder(Options{Cache: cache}, modules()[1:]).ensure(t.Context())
	wantError(t, err, "build prometheus: ", "modules could not be downloaded", "GOPROXY", "127.0.0.1:1", "connection refused")
	wantClean(t, cache, "lock")
}

func TestFailedBuild(t *testing.T) {
	for name, tc := range map[string]struct {
		build string
		want  []string
	}{
		"full disk": {
			`echo "write $GOTMPDIR/b001/_pkg_.a: no space left on device" >&2; exit 1`,
			[]string{"disk is full", "about 5 GB", "_pkg_.a: no space left on device"},
		},
		"does not compile": {
			`echo example.com/fine >&2; echo "# example.com/a" >&2; echo "a.go:1:2: undefined: x" >&2; exit 1`,
			[]string{"build small: go build: exit status 1\n\t# example.com/a\n\ta.go:1:2: undefined: x"},
		},
		"crash with a long story": {
			`for i in $(seq 100); do echo "line $i" >&2; done; exit 2`,
			[]string{"exit status 2\n\tline 81\n", "line 100"},
		},
		"newer Go not to be had": {
			`echo "go: download go1.99.0 for linux/amd64: toolchain not available" >&2; exit 1`,
			[]string{"a newer Go is needed", "https://go.dev/dl", "toolchain not available"},
		},
		"changed module": {
			`echo "verifying example.com/a@v1.0.0: checksum mismatch" >&2; echo "SECURITY ERROR" >&2; exit 1`,
			[]string{"exit status 1", "checksum mismatch"},
		},
		"makes nothing": {"exit 0", []string{"build small: ", "renamed", "no such file"}},
	} {
		t.Run(name, func(t *testing.T) {
			fakeGo(t, "", tc.build)
			cache := t.TempDir()
			_, err := newBuilder(Options{Cache: cache}, small()).ensure(t.Context())
			wantError(t, err, tc.want...)
			wantClean(t, cache, "lock")
		})
	}
}
