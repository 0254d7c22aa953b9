package lab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidegate.io/tidegate/internal/lab/proc"
	"tidegate.io/tidegate/internal/lab/region"
)

func TestLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	if _, err := lock(dir, false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("lock of no lab: %v", err)
	}
	held, err := lock(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, create := range []bool{true, false} {
		if _, err := lock(dir, create); !errors.Is(err, errHeld) {
			t.Errorf("lock that is held, create %v: %v", create, err)
		}
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := lock(dir, false)
	if err != nil {
		t.Fatalf("lock that was let go: %v", err)
	}
	_ = again.Close()
}

// Whoever holds a lock whose file is gone holds nothing that others could see.
func TestLockOfARemovedFileIsNoLock(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	old, err := lock(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	if err := remove(dir); err != nil {
		t.Fatal(err)
	}
	held, err := lock(dir, true)
	if err != nil {
		t.Fatalf("a new lab after the old one's files went: %v", err)
	}
	defer held.Close()
	if _, err := lock(dir, true); !errors.Is(err, errHeld) {
		t.Errorf("a third: %v", err)
	}
}

// sleeper is a process that a supervisor might have left.
func sleeper(t *testing.T) *proc.Process {
	t.Helper()
	launcher := proc.NewLauncher()
	t.Cleanup(launcher.Close)
	p, err := launcher.Start(proc.Spec{Name: "sleeper", Path: "/bin/sleep", Args: []string{"60"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOpenSweepsAfterADeadSupervisor(t *testing.T) {
	orphan, stranger := sleeper(t), sleeper(t)
	was := stranger.Record()
	was.Started += "0" // what had this pid before
	s := sample(filepath.Join(t.TempDir(), "lab"))
	record := orphan.Record()
	s.Regions[0].Components = []region.Component{
		{Name: region.Etcd, PID: record.PID, Record: &record}, {Name: region.APIServer, PID: was.PID, Record: &was}, {Name: "node"},
	}
	held, err := lock(s.Dir, true)
	if err == nil {
		err = errors.Join(s.write(), held.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.Dir); !errors.Is(err, ErrDied) {
		t.Errorf("Open: %v, want %v", err, ErrDied)
	}
	select {
	case <-orphan.Done():
	case <-time.After(10 * time.Second): // it was sent SIGKILL before Open returned
		t.Error("the orphan lives")
	}
	select {
	case <-stranger.Done():
		t.Error("a stranger was killed")
	default:
	}
	if _, err := os.Stat(s.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("files are left: %v", err)
	}
	if _, err := Open(s.Dir); !errors.Is(err, ErrNone) {
		t.Errorf("Open again: %v, want %v", err, ErrNone)
	}
}

// A state file that was cut short must not keep the folder locked up for ever.
func TestDownSweepsWhatItCannotRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	held, err := lock(dir, true)
	if err == nil {
		err = errors.Join(os.WriteFile(filepath.Join(dir, stateFile), []byte(`{"phase": "rea`), 0o600), held.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := Down(t.Context(), dir); err == nil {
		t.Error("nothing was said of a state that cannot be read")
	}
	if err := Down(t.Context(), dir); !errors.Is(err, ErrNone) {
		t.Errorf("Down again: %v, want %v", err, ErrNone)
	}
}

func TestStartRefusesAFolderInUse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	held, err := lock(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second) // it looks at one file
	defer cancel()
	if _, err := Start(ctx, Options{Dir: dir}); err == nil || err.Error() != "there is a lab in "+dir+" already" {
		t.Errorf("Start: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, lockFile)); err != nil {
		t.Errorf("the other lab's lock: %v", err)
	}
}

// A folder of somebody else's may hold a file by each of the names that a lab uses. Nothing of it is touched.
func TestForeignFilesAreNoLab(t *testing.T) {
	for _, content := range []string{"", "{}", "tidegate lab\nand more\n"} {
		dir := t.TempDir()
		files := map[string]string{lockFile: content, kubeconfigFile: "mine", "regions/prod.tf": "mine"}
		for name, text := range files {
			path := filepath.Join(dir, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := Open(dir); !errors.Is(err, ErrNone) {
			t.Errorf("lock of %q: Open: %v, want %v", content, err, ErrNone)
		}
		if err := Down(t.Context(), dir); !errors.Is(err, ErrNone) {
			t.Errorf("lock of %q: Down: %v, want %v", content, err, ErrNone)
		}
		for _, create := range []bool{false, true} {
			if _, err := claim(dir, create); err == nil || !strings.Contains(err.Error(), "somebody else's") {
				t.Errorf("lock of %q: claim: %v", content, err)
			}
		}
		for name, text := range files {
			if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(got) != text {
				t.Errorf("lock of %q: %s holds %q now: %v", content, name, got, err)
			}
		}
	}
}

// Without a lock of its own, a folder with such files is no place for a lab either.
func TestNoLabBesideForeignFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, kubeconfigFile), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := claim(dir, true); err == nil || !strings.Contains(err.Error(), "somebody else's") {
		t.Errorf("claim: %v", err)
	}
	if exists(filepath.Join(dir, lockFile)) {
		t.Error("a lock was left")
	}
}
