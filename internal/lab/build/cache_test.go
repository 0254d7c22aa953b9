package build

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestBuildOnceThenCached(t *testing.T) {
	// What a user may have set for other work must not matter.
	t.Setenv("GOFLAGS", "-mod=vendor -tags=integration -no-such-flag")
	t.Setenv("GOWORK", filepath.Join(t.TempDir(), "go.work"))
	t.Setenv("GO111MODULE", "off")
	t.Setenv("GOOS", "plan9")
	t.Setenv("GOTOOLCHAIN", "go1.1")
	cache := filepath.Join(t.TempDir(), "a", "b")

	first, w := mustBuild(t, cache)
	if phases := w.phases(); phases[0] != Download || phases[len(phases)-1] != Done {
		t.Errorf("phases %v, want download first, done last", phases)
	}
	key := filepath.Base(filepath.Dir(filepath.Dir(first["pack"])))
	wantClean(t, cache, key, "lock")
	before, err := os.Stat(first["pack"])
	if err != nil {
		t.Fatal(err)
	}

	second, w := mustBuild(t, cache)
	w.wantPhases(t, Cached)
	after, err := os.Stat(second["pack"])
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the second time there is another file: %v", err)
	}
}

func TestDamageIsBuiltAnew(t *testing.T) {
	cache := t.TempDir()
	paths, _ := mustBuild(t, cache)
	entry := filepath.Dir(filepath.Dir(paths["pack"]))
	whole, err := os.ReadFile(paths["pack"])
	if err != nil {
		t.Fatal(err)
	}
	other := append([]byte{}, whole...)
	other[len(other)/2]++
	write := func(text []byte) func() error {
		return func() error { return os.WriteFile(paths["pack"], text, 0o755) }
	}
	for name, damage := range map[string]func() error{
		"cut off":          write(whole[:len(whole)/2]),
		"other bytes":      write(other),
		"gone":             func() error { return os.Remove(paths["pack"]) },
		"not executable":   func() error { return os.Chmod(paths["pack"], 0o644) },
		"no manifest":      func() error { return os.Remove(filepath.Join(entry, manifestName)) },
		"garbled manifest": func() error { return os.WriteFile(filepath.Join(entry, manifestName), []byte(`{"files": [`), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := damage(); err != nil {
				t.Fatal(err)
			}
			_, w := mustBuild(t, cache)
			if phases := w.phases(); phases[len(phases)-1] != Done {
				t.Errorf("phases %v, want a build", phases)
			}
			wantClean(t, cache, filepath.Base(entry), "lock")
		})
	}
}

// A cache that was saved and brought back keeps times to the second, if at all.
func TestRestoredCacheIsUsed(t *testing.T) {
	cache := t.TempDir()
	paths, _ := mustBuild(t, cache)
	built, err := os.Stat(paths["pack"])
	if err != nil {
		t.Fatal(err)
	}
	past := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := os.Chtimes(paths["pack"], past, past); err != nil {
		t.Fatal(err)
	}
	_, w := mustBuild(t, cache)
	w.wantPhases(t, Cached)
	now, err := os.Stat(paths["pack"])
	if err != nil || !now.ModTime().Equal(built.ModTime()) {
		t.Errorf("time of change %v, %v, want %v again, so that the next look is quick", now.ModTime(), err, built.ModTime())
	}
}

func TestSweep(t *testing.T) {
	c := cache{t.TempDir()}
	now := time.Now()
	for name, age := range map[string]time.Duration{
		"old": unusedFor + time.Hour, "recent": unusedFor - time.Hour, "stranger": 0, tempPrefix + "1": 0,
	} {
		dir := filepath.Join(c.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if name == "stranger" {
			continue
		}
		file := filepath.Join(dir, manifestName)
		if err := os.WriteFile(file, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.sweep(now); err != nil {
		t.Fatal(err)
	}
	wantClean(t, c.dir, "recent", "stranger")
}

func TestUseKeepsAnEntry(t *testing.T) {
	dir := t.TempDir()
	paths, _ := mustBuild(t, dir)
	entry := filepath.Dir(filepath.Dir(paths["pack"]))
	old := time.Now().Add(-2 * unusedFor)
	if err := os.Chtimes(filepath.Join(entry, manifestName), old, old); err != nil {
		t.Fatal(err)
	}
	mustBuild(t, dir)
	if err := (cache{dir}).sweep(time.Now()); err != nil {
		t.Fatal(err)
	}
	wantClean(t, dir, filepath.Base(entry), "lock")
}

func TestLock(t *testing.T) {
	c := cache{t.TempDir()}
	never := func() { t.Error("had to wait for a lock that nobody has") }
	unlock, err := c.lock(t.Context(), never)
	if err != nil {
		t.Fatal(err)
	}
	interrupted := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, err := c.lock(ctx, func() { cancel(interrupted) }); !errors.Is(err, interrupted) {
		t.Errorf("lock = %v, want the cause of the context", err)
	}

	// Who gave up gets the lock at some time during this, and must not keep it.
	unlock()
	within, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	for range 1000 {
		unlock, err := c.lock(within, func() {})
		if err != nil {
			t.Fatal(err)
		}
		unlock()
	}
}
