//go:build lab

// Package rig is what the suites on real regions have in common: a lab with the binary under test, and an oracle that
// judges what the API servers and the mesh saw. The oracle shares no code with the driver.
package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/internal/lab/image"
	"tidegate.io/tidegate/internal/probe/visual"
)

// Speed is the time lapse of the suites: the most at which the gates still see enough scrapes.
const Speed = 30

// parallel is how many tests go on at once unless -parallel says otherwise. They mostly wait for pauses and windows to pass;
// with more, two cores are too busy to answer every user.
const parallel = "4"

// Fleet is a lab, the binary under test, and a client for each region.
type Fleet struct {
	Lab     *lab.Lab
	Binary  string
	Clients map[string]dynamic.Interface

	quiet  sync.Mutex
	hushed int     // tests that are quiet now
	load   float64 // before the first of them
}

// Main builds the binary, starts one lab for a whole package, lets the tests use it, and returns their exit code. A start
// costs seconds; the tests leave each region whole.
func Main(m *testing.M, o lab.Options, use func(*Fleet)) int {
	klog.SetLogger(logr.Discard()) // each watch that a test ends would be told of as an error
	setParallel()
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	dir, err := os.MkdirTemp("", "tidegate-suite-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeoutCause(context.Background(), 20*time.Minute, errors.New("the lab did not come up within 20 minutes"))
	defer cancel()
	binary := filepath.Join(dir, "tidegate")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "tidegate.io/tidegate/cmd/tidegate").CombinedOutput(); err != nil {
		return fail(fmt.Errorf("build tidegate: %w\n%s", err, out))
	}
	o.Dir = filepath.Join(dir, "lab")
	f, err := Start(ctx, binary, o)
	if err != nil {
		return fail(err)
	}
	use(f)
	code := m.Run()
	if err := f.Stop(); err != nil {
		return fail(err)
	}
	return code
}

func setParallel() {
	flag.Parse()
	chosen := false
	flag.Visit(func(f *flag.Flag) { chosen = chosen || f.Name == "test.parallel" })
	if !chosen {
		_ = flag.Set("test.parallel", parallel) // a flag that every test binary has
	}
}

// Start starts a lab at Speed, unless o says otherwise, that runs the binary.
func Start(ctx context.Context, binary string, o lab.Options) (*Fleet, error) {
	o.Executable = binary
	if o.Speed == 0 {
		o.Speed = Speed
	}
	l, err := lab.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	f := &Fleet{Lab: l, Binary: binary}
	if f.Clients, err = reach(l.Client); err != nil {
		return nil, errors.Join(err, f.Stop())
	}
	return f, nil
}

// reach makes a client for each region of a lab.
func reach(l *lab.Client) (map[string]dynamic.Interface, error) {
	clients := map[string]dynamic.Interface{}
	for _, region := range l.Regions() {
		rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: l.Kubeconfig()}
		cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: "k8s-" + region}).ClientConfig()
		if err != nil {
			return nil, err
		}
		if clients[region], err = dynamic.NewForConfig(cfg); err != nil {
			return nil, err
		}
	}
	return clients, nil
}

// Theirs is the oracle on a lab that somebody else started, and will take down.
func (f *Fleet) Theirs(t *testing.T, dir string) *Fleet {
	t.Helper()
	client, err := lab.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	theirs := &Fleet{Lab: &lab.Lab{Client: client}, Binary: f.Binary}
	if theirs.Clients, err = reach(client); err != nil {
		t.Fatal(err)
	}
	return theirs
}

// Stop takes the lab down.
func (f *Fleet) Stop() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("the lab did not stop within a minute"))
	defer cancel()
	return f.Lab.Stop(ctx)
}

// Another starts a lab of the test's own, which goes when the test does.
func (f *Fleet) Another(t *testing.T, o lab.Options) *Fleet {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, errors.New("the lab did not come up within two minutes"))
	defer cancel()
	o.Dir = filepath.Join(t.TempDir(), "lab")
	another, err := Start(ctx, f.Binary, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := another.Stop(); err != nil {
			t.Error(err)
		}
	})
	return another
}

// Quiet pauses the load on the shared lab while a test has a lab of its own: there are two cores. Where several are quiet at
// once, the load comes back after the last.
func (f *Fleet) Quiet(t *testing.T) {
	t.Helper()
	f.quiet.Lock()
	defer f.quiet.Unlock()
	if f.hushed == 0 {
		state, err := f.Lab.Status(t.Context())
		if err == nil {
			f.load, err = state.Load, f.Lab.SetLoad(t.Context(), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	f.hushed++
	t.Cleanup(func() {
		f.quiet.Lock()
		defer f.quiet.Unlock()
		if f.hushed--; f.hushed > 0 {
			return
		}
		if err := f.Lab.SetLoad(context.Background(), f.load); err != nil {
			t.Error(err)
		}
	})
}

// NeedBrowser skips a test where there is no browser. In CI, where nobody reads what was skipped, it fails.
func NeedBrowser(t *testing.T) {
	t.Helper()
	if _, err := visual.FindBrowser(""); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skipf("the visual gate is not tried: %v", err)
	}
}

// tags count up: an image that was released before is no release.
var tags atomic.Int32

// NewImage names an image of a rollout that no test released before.
func NewImage(rollout string) string {
	return fmt.Sprintf("ghcr.io/henrigkroine/%s:v2.%d.0", rollout, tags.Add(1))
}

// Behave tells what an image does, in every region.
func (f *Fleet) Behave(t *testing.T, img string, b image.Behaviour) {
	t.Helper()
	if err := f.Lab.SetImage(t.Context(), "", img, b); err != nil {
		t.Fatal(err)
	}
}

// Outcome is what a run of the binary left.
type Outcome struct {
	Code           int
	Stdout, Stderr string
}

// Command is a run of the binary that goes on.
type Command struct {
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

// Begin starts the real binary against the lab, with JSON for its output. It is killed when the test ends.
func (f *Fleet) Begin(t *testing.T, args ...string) *Command {
	t.Helper()
	c := &Command{cmd: exec.CommandContext(t.Context(), f.Binary, append(args, "-o", "json")...)}
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr = f.Env(), &c.stdout, &c.stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	return c
}

// Signal sends the command a signal.
func (c *Command) Signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := c.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// End waits for the command and decodes its JSON into result, if there is one.
func (c *Command) End(t *testing.T, result any) Outcome {
	t.Helper()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", c.cmd.Args, err)
	}
	out := Outcome{c.cmd.ProcessState.ExitCode(), c.stdout.String(), c.stderr.String()}
	if err := json.Unmarshal(c.stdout.Bytes(), result); err != nil && result != nil {
		t.Fatalf("%v answered no JSON (%v):\n%s\n%s", c.cmd.Args, err, out.Stdout, out.Stderr)
	}
	return out
}

// Tidegate runs the real binary against the lab, and decodes its JSON into result.
func (f *Fleet) Tidegate(t *testing.T, result any, args ...string) Outcome {
	t.Helper()
	return f.Begin(t, args...).End(t, result)
}

// Shell runs a script as a user of the lab would type it: tidegate, kubectl and its Rollouts plugin are on the PATH, and
// the lab's first region is the current context.
func (f *Fleet) Shell(ctx context.Context, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", "-ec", script)
	cmd.Env = f.Env()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("$ %s\n%w\n%s", script, err, out)
	}
	return string(out), nil
}

// Env is the environment of a user of the lab.
func (f *Fleet) Env() []string {
	b := f.Lab.Binaries()
	path := fmt.Sprintf("PATH=%s:%s:%s:%s", filepath.Dir(f.Binary), filepath.Dir(b.Kubectl), filepath.Dir(b.KubectlArgo), os.Getenv("PATH"))
	return append(os.Environ(), path, "KUBECONFIG="+f.Lab.Kubeconfig(), lab.Variable+"="+f.Lab.Dir())
}
