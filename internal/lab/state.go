package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tidegate.io/tidegate/internal/lab/build"
	"tidegate.io/tidegate/internal/lab/proc"
	"tidegate.io/tidegate/internal/lab/region"
)

// The files of a state folder.
const (
	lockFile       = "lock"
	stateFile      = "lab.json"
	stateTemp      = "lab.json.new"
	kubeconfigFile = "kubeconfig"
	logFile        = "supervisor.log"
	regionsDir     = "regions"
)

// The phases of a lab.
const (
	PhaseStarting = "starting"
	PhaseReady    = "ready"
	PhaseStopping = "stopping"
)

// State is what a lab says of itself.
type State struct {
	Phase      string         `json:"phase"`
	Started    time.Time      `json:"started"`
	Dir        string         `json:"dir"`
	Kubeconfig string         `json:"kubeconfig"`
	Supervisor proc.Record    `json:"supervisor"`
	Log        string         `json:"log"` // the supervisor's
	Speed      int            `json:"speed"`
	Load       float64        `json:"load"` // requests per second for each Rollout in each region
	Binaries   build.Binaries `json:"binaries"`
	Regions    []RegionState  `json:"regions"`
}

// RegionState is what a lab says of one region.
type RegionState struct {
	Name       string             `json:"name"`
	Context    string             `json:"context"` // in the kubeconfig
	Ready      bool               `json:"ready"`
	Server     string             `json:"server"`     // URL of the API server
	Gateway    string             `json:"gateway"`    // URL of the mesh's gateway
	Proxy      string             `json:"proxy"`      // URL of the forward proxy that knows the cluster's names
	Prometheus string             `json:"prometheus"` // URL
	Ports      region.Ports       `json:"ports"`
	Components []region.Component `json:"components"`
}

// Region returns the state of one region.
func (s State) Region(name string) (RegionState, error) {
	for _, r := range s.Regions {
		if r.Name == name {
			return r, nil
		}
	}
	return RegionState{}, fmt.Errorf("the lab has no region %q", name)
}

// Component returns one component of a region.
func (r RegionState) Component(name string) (region.Component, error) {
	for _, c := range r.Components {
		if c.Name == name {
			return c, nil
		}
	}
	return region.Component{}, fmt.Errorf("region %s has no component %q", r.Name, name)
}

// stored is lab.json: the state, and how to talk to the supervisor. The file is its owner's alone.
type stored struct {
	State
	Control string `json:"control"` // URL
	Token   string `json:"token"`
}

// write puts lab.json in place whole: a reader sees the old one or the new one.
func (s stored) write() error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("state of the lab: %w", err)
	}
	temp := filepath.Join(s.Dir, stateTemp)
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("state of the lab: %w", err)
	}
	_, err = f.Write(append(content, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(temp, filepath.Join(s.Dir, stateFile))
	}
	if err != nil {
		return fmt.Errorf("state of the lab: %w", err)
	}
	return nil
}

// read returns what lab.json holds; a missing one is fs.ErrNotExist.
func read(dir string) (stored, error) {
	var s stored
	content, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err == nil {
		err = json.Unmarshal(content, &s)
	}
	if err != nil {
		return stored{}, fmt.Errorf("state of the lab: %w", err)
	}
	return s, nil
}

// ownFiles are all that a lab puts into its state folder, the lock last.
func ownFiles() []string {
	return []string{regionsDir, kubeconfigFile, stateTemp, stateFile, logFile, lockFile}
}

// remove takes away the lab's own files, and the folder if that leaves it empty: a file that someone else put there is
// never touched. The lock goes last, by its holder.
func remove(dir string) error {
	var errs []error
	for _, name := range ownFiles() {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, name)))
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) && !occupied(dir) {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the lab's files: %w", err)
	}
	return nil
}

func occupied(dir string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && len(entries) > 0
}
