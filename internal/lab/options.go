// Package lab is several regions on this machine, from real components, under one supervisor.
//
// The supervisor is a process of its own. Whoever starts it holds its leash: a pipe, whose end before the word of release
// makes the supervisor tear everything down. So whatever becomes of the starter, nothing is left behind.
package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Variable names the environment variable that says where a lab's state folder is.
const Variable = "TIDEGATE_LAB"

const (
	maxRegions = 16 // each takes half a gigabyte of memory
	maxSpeed   = 100_000
	maxRate    = 10_000
)

// Options are what a lab is started with. The zero value is the default lab.
type Options struct {
	Dir        string      // state folder; see DefaultDir
	Regions    []string    // in order; default us-west, us-east, eu-west, eu-central
	Speed      int         // pauses, intervals and delays of what is applied are divided by it; default 1
	Load       float64     // requests per second sent to each Rollout in each region; default 50, negative for none
	Services   []string    // Rollouts of k8s/rollouts to run, with what belongs to them; default all of Services
	Empty      bool        // no workloads
	Cache      string      // where built components are kept; see build.Options
	Executable string      // the tidegate binary to run as supervisor; default this one
	Progress   func(Event) // told what goes on during the start, one event at a time; may be nil
}

// DefaultRegions are the regions of a lab that names none.
func DefaultRegions() []string { return []string{"us-west", "us-east", "eu-west", "eu-central"} }

// DefaultDir is the state folder where none is named: $TIDEGATE_LAB, else tidegate/lab below $XDG_STATE_HOME or
// ~/.local/state.
func DefaultDir() (string, error) {
	if dir := os.Getenv(Variable); dir != "" {
		return dir, nil
	}
	if state := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(state) {
		return filepath.Join(state, "tidegate", "lab"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("state folder of the lab: %w", err)
	}
	return filepath.Join(home, ".local", "state", "tidegate", "lab"), nil
}

// Complete fills in defaults, makes paths absolute, and says what cannot be honoured.
func (o Options) Complete() (Options, error) {
	if len(o.Regions) == 0 {
		o.Regions = DefaultRegions()
	}
	if o.Speed == 0 {
		o.Speed = 1
	}
	if o.Load == 0 {
		o.Load = 50
	}
	o.Load = max(o.Load, 0)
	if o.Progress == nil {
		o.Progress = func(Event) {}
	}
	if err := o.check(); err != nil {
		return o, err
	}
	var err error
	if o.Dir, err = resolve(o.Dir); err != nil {
		return o, err
	}
	if o.Executable == "" {
		if o.Executable, err = os.Executable(); err != nil {
			return o, fmt.Errorf("executable of the supervisor: %w", err)
		}
	}
	return o, nil
}

func (o Options) check() error {
	if len(o.Regions) > maxRegions {
		return fmt.Errorf("%d regions, at most %d", len(o.Regions), maxRegions)
	}
	name := regexp.MustCompile(`^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$`)
	for i, r := range o.Regions {
		if !name.MatchString(r) {
			return fmt.Errorf("region %q: want a name such as us-west: lower-case letters, digits and dashes", r)
		}
		if slices.Contains(o.Regions[:i], r) {
			return fmt.Errorf("region %s is named twice", r)
		}
	}
	if o.Speed < 1 || o.Speed > maxSpeed {
		return fmt.Errorf("speed %d: want 1 to %d", o.Speed, maxSpeed)
	}
	if !(o.Load <= maxRate) {
		return fmt.Errorf("load %v: want at most %d requests a second", o.Load, maxRate)
	}
	if o.Empty && len(o.Services) > 0 {
		return fmt.Errorf("services %s are named for a lab that is to be empty", strings.Join(o.Services, ", "))
	}
	return checkServices(o.Services)
}

// resolve makes a state folder's path absolute; "" is the default one.
func resolve(dir string) (string, error) {
	if dir == "" {
		var err error
		if dir, err = DefaultDir(); err != nil {
			return "", err
		}
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("state folder of the lab: %w", err)
	}
	if dir == filepath.Dir(dir) {
		return "", errors.New("the state folder of a lab cannot be the root folder")
	}
	return dir, nil
}
