//go:build lab

package lab_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/internal/lab/proc"
)

// trace is where to look for what a lab left.
type trace struct {
	dir     string
	records map[string]proc.Record // by name
	ports   map[string]int         // by purpose
}

func traceOf(t *testing.T, s lab.State) trace {
	t.Helper()
	tr := trace{dir: s.Dir, records: map[string]proc.Record{"supervisor": s.Supervisor}, ports: map[string]int{}}
	for _, r := range s.Regions {
		for _, c := range r.Components {
			if c.Record != nil {
				tr.records[r.Name+" "+c.Name] = *c.Record
			}
		}
		for name, port := range portsOf(t, r) {
			tr.ports[r.Name+" "+name] = port
		}
	}
	return tr
}

// portsOf returns all ports of a region by the names that lab.json has for them.
func portsOf(t *testing.T, r lab.RegionState) map[string]int {
	t.Helper()
	content, err := json.Marshal(r.Ports)
	if err != nil {
		t.Fatal(err)
	}
	var ports map[string]int
	if err := json.Unmarshal(content, &ports); err != nil {
		t.Fatal(err)
	}
	if len(ports) == 0 || ports["api"] == 0 {
		t.Fatalf("region %s tells no ports: %s", r.Name, content)
	}
	return ports
}

// alive names every process of the lab that still runs.
func (tr trace) alive() error {
	var errs []error
	for name, r := range tr.records {
		if r.Ours() {
			errs = append(errs, fmt.Errorf("%s still runs, pid %d", name, r.PID))
		}
	}
	return errors.Join(append(errs, inside(tr.dir))...)
}

// left names everything that is left of the lab.
func (tr trace) left() error {
	errs := []error{tr.alive()}
	for name, port := range tr.ports {
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			errs = append(errs, fmt.Errorf("port of %s is still taken: %w", name, err))
			continue
		}
		errs = append(errs, l.Close())
	}
	return errors.Join(append(errs, absent(tr.dir))...)
}

func absent(dir string) error {
	_, err := os.Lstat(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var files []string
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
		files = append(files, path)
		return nil
	})
	return fmt.Errorf("the state folder is still there: %s", strings.Join(files, " "))
}

// inside names the processes that work in a folder or are called with it: every process of a lab is one or the other,
// whether it was recorded or not. It finds none where the system has no /proc.
func inside(dir string) error {
	var errs []error
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, process := range processes {
		// What cannot be read has ended meanwhile.
		cwd, _ := os.Readlink(filepath.Join(process, "cwd"))
		cwd = strings.TrimSuffix(cwd, " (deleted)")
		called, _ := os.ReadFile(filepath.Join(process, "cmdline"))
		args := strings.Split(string(called), "\x00")
		if slices.ContainsFunc(append(args, cwd), func(s string) bool { return strings.Contains(s+"/", dir+"/") }) {
			errs = append(errs, fmt.Errorf("%s still runs: %s", process, strings.Join(args, " ")))
		}
	}
	return errors.Join(errs...)
}
