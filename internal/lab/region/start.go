package region

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/lab/apply"
	"tidegate.io/tidegate/internal/lab/image"
	"tidegate.io/tidegate/internal/lab/mesh"
	"tidegate.io/tidegate/internal/lab/proc"
)

// Options are what a region needs beside its description.
type Options struct {
	Config      Config
	Reservation *Reservation // holds Config.Ports; the region takes it over
	Launcher    *proc.Launcher
	Base        func() (Base, error)                         // asked once the API server answers
	Workloads   func() ([]*unstructured.Unstructured, error) // applied last; nil is none
	Rate        float64                                      // requests per second that the load generator sends to each Rollout
	Images      *image.Table
	Own         func(image string) (path string, ok bool) // see node.Config
	Progress    func(Progress)                            // called from several goroutines
	Changed     func()                                    // some component's state is not what it was
	Log         *slog.Logger
}

// Progress is a step of a region's start. Took is zero where the step begins.
type Progress struct {
	Step string
	Took time.Duration
}

// Region is one region. New → Start → Stop.
type Region struct {
	opts    Options
	files   Description
	clients clients
	parts   *parts
	roll    *roll

	servers   []*http.Server
	watchers  sync.WaitGroup // of servers and processes
	stopping  chan struct{}  // closed by Stop: what ends from now on ends on purpose
	stopOnce  sync.Once
	processMu sync.Mutex
	processes map[string]*proc.Process
}

// New describes the region and builds its parts; nothing runs yet.
func New(opts Options) (*Region, error) {
	opts.Log = opts.Log.With("region", opts.Config.Name)
	r := &Region{opts: opts, roll: newRoll(opts.Changed), processes: map[string]*proc.Process{}, stopping: make(chan struct{})}
	var err error
	if r.files, err = Describe(opts.Config); err != nil {
		return nil, err
	}
	if r.clients, err = opts.Config.clients(); err != nil {
		return nil, fmt.Errorf("region %s: %w", opts.Config.Name, err)
	}
	if r.parts, err = r.newParts(); err != nil {
		return nil, fmt.Errorf("region %s: %w", opts.Config.Name, err)
	}
	return r, nil
}

// Components returns what the region consists of so far, and how it is.
func (r *Region) Components() []Component { return r.roll.list() }

// Traffic returns what the mesh counted since the start.
func (r *Region) Traffic() []mesh.Count { return r.parts.mesh.Traffic() }

// Sent returns what the load generator has sent since the start.
func (r *Region) Sent() []mesh.Total { return r.parts.load.Totals() }

// SetRate changes the load on each Rollout, in requests per second; 0 pauses it.
func (r *Region) SetRate(rps float64) { r.parts.load.SetRate(rps) }

// Start writes the region's files and starts everything, in the order that is fastest: nothing waits for what it does
// not need. It returns once all of it works and every Rollout is Healthy. An error names the component and quotes its
// log; Stop is due in any case.
func (r *Region) Start(ctx context.Context) error {
	if err := r.start(ctx); err != nil {
		return fmt.Errorf("region %s: %w", r.opts.Config.Name, err)
	}
	return nil
}

func (r *Region) start(ctx context.Context) error {
	if err := r.files.write(r.opts.Config.Dir); err != nil {
		return err
	}
	r.serve()
	if err := r.startAPI(ctx); err != nil {
		return err
	}
	if err := r.startRest(ctx); err != nil {
		return err
	}
	r.startLoad()
	return nil
}

// startAPI returns once the API server answers, which is well before it is ready.
func (r *Region) startAPI(ctx context.Context) error {
	ports := r.opts.Config.Ports
	etcd := URL(ports.Etcd)
	err := r.step(Etcd, func() error {
		// An API server that finds no etcd tries again only after a second.
		return r.run(ctx, Etcd, answers(http.DefaultClient, etcd+"/health", "", http.StatusOK), ports.Etcd, ports.EtcdPeer)
	})
	if err != nil {
		return err
	}
	base, err := r.opts.Base()
	if err != nil {
		return err
	}
	if err := seed(ctx, etcd, base.stored); err != nil {
		return err
	}
	return r.step(APIServer, func() error {
		return r.run(ctx, APIServer, r.probe("/livez", r.opts.Config.Tokens.Lab, anyStatus), ports.API)
	})
}

// probe asks the API server for a page.
func (r *Region) probe(path, token string, want int) func(context.Context) error {
	return answers(r.clients.http, r.opts.Config.Server()+path, token, want)
}

// startRest starts what needs the API.
func (r *Region) startRest(ctx context.Context) error {
	base, err := r.opts.Base()
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.step("node", func() error { return r.startNode(ctx) }) })
	group.Go(func() error { return r.step(Rollouts, func() error { return r.startRollouts(ctx, base.objects) }) })
	group.Go(func() error { return r.step(ControllerManager, func() error { return r.startControllerManager(ctx) }) })
	group.Go(func() error {
		port := r.opts.Config.Ports.Prometheus
		return r.step(Prometheus, func() error {
			return r.run(ctx, Prometheus, answers(http.DefaultClient, URL(port)+"/-/ready", "", http.StatusOK), port)
		})
	})
	group.Go(func() error {
		// Until then it has no range of Service addresses, say.
		if err := poll(ctx, r.process(APIServer), r.files.Processes[APIServer], r.probe("/readyz", r.opts.Config.Tokens.Lab, http.StatusOK)); err != nil {
			return err
		}
		if err := apply.Apply(ctx, r.clients.config, base.late); err != nil {
			return err
		}
		if err := r.addressPrometheus(ctx); err != nil {
			return err
		}
		if r.opts.Workloads == nil {
			return nil
		}
		return r.step("workloads", func() error { return r.deploy(ctx) })
	})
	return group.Wait()
}

// startRollouts installs the Rollouts controller, starts it and waits until it works.
func (r *Region) startRollouts(ctx context.Context, installation []*unstructured.Unstructured) error {
	if err := apply.Apply(ctx, r.clients.config, installation); err != nil {
		return err
	}
	token, err := r.writeToken(ctx)
	if err != nil {
		return err
	}
	if err := r.permitted(ctx, token); err != nil {
		return err
	}
	ports := r.opts.Config.Ports
	if err := r.run(ctx, Rollouts, nil, ports.Rollouts, ports.RolloutsProbe); err != nil {
		return err
	}
	return r.prove(ctx, Rollouts, r.leaseTaken)
}

// startControllerManager starts it and waits until it works. It gives an API server that is not healthy ten seconds, and
// then exits: on a busy machine that takes longer.
func (r *Region) startControllerManager(ctx context.Context) error {
	healthy := r.probe("/healthz", r.opts.Config.Tokens.Lab, http.StatusOK)
	if err := poll(ctx, r.process(APIServer), r.files.Processes[APIServer], healthy); err != nil {
		return err
	}
	if err := r.run(ctx, ControllerManager, nil); err != nil {
		return err
	}
	return r.prove(ctx, ControllerManager, r.endpointsMade)
}

// step reports the beginning and the end of a step.
func (r *Region) step(name string, do func() error) error {
	began := time.Now()
	r.opts.Progress(Progress{Step: name})
	if err := do(); err != nil {
		return err
	}
	r.opts.Progress(Progress{Step: name, Took: time.Since(began)})
	return nil
}
