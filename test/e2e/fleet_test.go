//go:build lab

// Package e2e proves Tidegate on real regions: what it says it did is held against what the API servers and the mesh
// saw. The oracle reads Services, routes, pods and requests by itself; it shares no code with the driver.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/internal/lab/image"
)

const (
	q2q      = "teei-q2q-ai"
	gateway  = "teei-api-gateway"
	registry = "ghcr.io/henrigkroine/"
	speed    = 30
)

var order = []string{"us-west", "us-east", "eu-west", "eu-central"}

// fleet is one lab for the whole package, for a start costs seconds and the tests leave each region whole.
var fleet *testFleet

// testFleet is a lab, the binary under test, and a client for each region.
type testFleet struct {
	lab     *lab.Lab
	binary  string
	clients map[string]dynamic.Interface
}

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // each watch that a test ends would be told of as an error
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tidegate-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeoutCause(context.Background(), 20*time.Minute, errors.New("the lab did not come up within 20 minutes"))
	defer cancel()
	binary := filepath.Join(dir, "tidegate")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "tidegate.io/tidegate/cmd/tidegate").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build tidegate: %v\n%s", err, out)
		return 1
	}
	f, err := start(ctx, binary, filepath.Join(dir, "lab"), order)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fleet = f
	code := m.Run()
	if err := f.stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func start(ctx context.Context, binary, dir string, regions []string) (*testFleet, error) {
	l, err := lab.Start(ctx, lab.Options{Dir: dir, Regions: regions, Speed: speed, Executable: binary})
	if err != nil {
		return nil, err
	}
	f := &testFleet{lab: l, binary: binary, clients: map[string]dynamic.Interface{}}
	for _, region := range regions {
		rules := &clientcmd.ClientConfigLoadingRules{ExplicitPath: l.Kubeconfig()}
		cfg, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: "k8s-" + region}).ClientConfig()
		if err != nil {
			return nil, errors.Join(err, f.stop())
		}
		if f.clients[region], err = dynamic.NewForConfig(cfg); err != nil {
			return nil, errors.Join(err, f.stop())
		}
	}
	return f, nil
}

func (f *testFleet) stop() error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), time.Minute, errors.New("the lab did not stop within a minute"))
	defer cancel()
	return f.lab.Stop(ctx)
}

// quiet pauses the load on the shared lab while a test has a lab of its own: there are two cores.
func (f *testFleet) quiet(t *testing.T) {
	t.Helper()
	state, err := f.lab.Status(t.Context())
	if err == nil {
		err = f.lab.SetLoad(t.Context(), 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.lab.SetLoad(context.Background(), state.Load); err != nil {
			t.Error(err)
		}
	})
}

// tags are new in each test: an image that was released before is no release.
var tags atomic.Int32

func newImage(rollout string) string {
	return fmt.Sprintf("%s%s:v2.%d.0", registry, rollout, tags.Add(1))
}

func (f *testFleet) behave(t *testing.T, img string, b image.Behaviour) {
	t.Helper()
	if err := f.lab.SetImage(t.Context(), "", img, b); err != nil {
		t.Fatal(err)
	}
}

// outcome is what a run of the binary left.
type outcome struct {
	code           int
	stdout, stderr string
}

// tidegate runs the real binary against the lab, and decodes its JSON into result.
func (f *testFleet) tidegate(t *testing.T, result any, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Minute, errors.New("the command did not end within 10 minutes"))
	defer cancel()
	cmd := exec.CommandContext(ctx, f.binary, append(args, "-o", "json")...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+f.lab.Kubeconfig())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v", args, err)
	}
	out := outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
	if err := json.Unmarshal(stdout.Bytes(), result); err != nil {
		t.Fatalf("%v answered no JSON (%v):\n%s\n%s", args, err, out.stdout, out.stderr)
	}
	return out
}
