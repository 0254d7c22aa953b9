package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// patience bounds every wait of the tests: reached only when the code is wrong.
const patience = 30 * time.Second

// cacheKey makes the test binary build small into that cache instead of running tests.
const cacheKey = "BUILD_TEST_CACHE"

func TestMain(m *testing.M) {
	if cache := os.Getenv(cacheKey); cache != "" {
		_, err := newBuilder(Options{Cache: cache}, small()).ensure(context.Background())
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// small is a module whose tools come with Go itself: a real build of a second, without a download.
func small() []module {
	return []module{{
		name: "small",
		pin:  newPin([]byte("module tidegate.io/lab/small\n\ngo 1.26.1\n"), nil),
		tools: []tool{
			{name: "renamed", path: "cmd/test2json", built: "test2json"},
			{name: "pack", path: "cmd/pack"},
		},
	}}
}

// watched is a builder whose events can be asked for.
type watched struct {
	*builder
	mu     sync.Mutex
	events []Event
	on     func(Event) // called for each, unless nil
}

func watch(opts Options, modules []module) *watched {
	w := &watched{}
	opts.Progress = func(e Event) {
		w.mu.Lock()
		w.events = append(w.events, e)
		w.mu.Unlock()
		if w.on != nil {
			w.on(e)
		}
	}
	w.builder = newBuilder(opts, modules)
	return w
}

// phases are those of the events, without repetition.
func (w *watched) phases() []Phase {
	w.mu.Lock()
	defer w.mu.Unlock()
	var phases []Phase
	for _, e := range w.events {
		phases = append(phases, e.Phase)
	}
	return slices.Compact(phases)
}

func (w *watched) wantPhases(t *testing.T, want ...Phase) {
	t.Helper()
	if diff := cmp.Diff(want, w.phases()); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
}

// mustBuild builds small for real.
func mustBuild(t *testing.T, cache string) (map[string]string, *watched) {
	t.Helper()
	w := watch(Options{Cache: cache}, small())
	paths, err := w.ensure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		// Both print how they are used, and fail, when they are not asked for anything they know.
		out, err := exec.CommandContext(t.Context(), path, "-h").CombinedOutput()
		var exit *exec.ExitError
		if (err != nil && !errors.As(err, &exit)) || !strings.Contains(strings.ToLower(string(out)), "usage") {
			t.Fatalf("%s does not run: %v: %s", path, err, out)
		}
	}
	return paths, w
}

// fakeGo puts a script before go in PATH that answers list and build in its own way.
func fakeGo(t *testing.T, list, build string) {
	t.Helper()
	script := fmt.Sprintf("#!/bin/sh\ncase $1 in\nenv) echo go1.26.8 ;;\nlist)\n%s\n;;\nbuild)\n%s\n;;\nesac\n", list, build)
	putGo(t, script)
}

func putGo(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "go"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// makeTools is what a fake build does to succeed: "go build -v -o DIR/ …".
const makeTools = `for f in test2json pack; do echo "#!/bin/sh" > "$4$f"; chmod +x "$4$f"; done`

// fifo returns a named pipe and the test's end of it, open for both directions so that opening blocks nobody.
func fifo(t *testing.T) (string, *os.File) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	if err := file.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return path, file
}

func wantClean(t *testing.T, cache string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the cache holds (-want +got):\n%s", diff)
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("error %v\nwant it to say %q", err, part)
		}
	}
}
