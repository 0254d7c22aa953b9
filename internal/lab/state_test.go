package lab

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate.io/tidegate/internal/lab/proc"
	"tidegate.io/tidegate/internal/lab/region"
)

func sample(dir string) stored {
	return stored{
		State: State{
			Phase: PhaseReady, Dir: dir, Supervisor: proc.Record{PID: 7, Started: "noon", Path: "/bin/tidegate"},
			Regions: []RegionState{{Name: "us-west", Context: "k8s-us-west", Components: []region.Component{
				{Name: region.Etcd, State: region.StateRunning, PID: 8, Record: &proc.Record{PID: 8}},
			}}},
		},
		Control: "http://127.0.0.1:1", Token: "secret",
	}
}

func TestStateIsReadAsItWasWritten(t *testing.T) {
	want := sample(t.TempDir())
	if err := want.write(); err != nil {
		t.Fatal(err)
	}
	got, err := read(want.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	info, err := os.Stat(filepath.Join(want.Dir, stateFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("lab.json holds a token, and is %v, %v", info.Mode(), err)
	}
	if _, err := read(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no lab.json: %v", err)
	}
}

// A reader never sees half a file, however often it is written.
func TestStateIsWrittenWhole(t *testing.T) {
	s := sample(t.TempDir())
	if err := s.write(); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 50 {
			s.Speed = i
			s.Regions = slices.Repeat(s.Regions[:1], 1+i%7)
			if err := s.write(); err != nil {
				t.Error(err)
			}
		}
	})
	for range 500 {
		if _, err := read(s.Dir); err != nil {
			t.Fatal(err)
		}
	}
	writer.Wait()
}

func TestStateFindsRegionsAndComponents(t *testing.T) {
	s := sample("/x").State
	r, err := s.Region("us-west")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := r.Component(region.Etcd); err != nil || c.PID != 8 {
		t.Errorf("etcd is %+v, %v", c, err)
	}
	if _, err := s.Region("mars"); err == nil {
		t.Error("there is a region on Mars")
	}
	if _, err := r.Component("mars"); err == nil {
		t.Error("there is a component called mars")
	}
}

// The state folder may turn out to be a folder that somebody uses: --dir . is typed quickly.
func TestRemoveTouchesOnlyTheLabsOwnFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	mine := []string{"regions/us-west/logs/etcd.log", "kubeconfig", "lab.json", "lab.json.new", "supervisor.log", "lock"}
	for _, name := range append(mine, "thesis.txt") {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := remove(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "thesis.txt" {
		t.Errorf("left are %v, %v", entries, err)
	}
	if err := os.Remove(filepath.Join(dir, "thesis.txt")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // twice is no error
		if err := remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder stays: %v", err)
	}
}
