package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"tidegate.io/tidegate/internal/lab/image"
	"tidegate.io/tidegate/internal/lab/lapse"
	"tidegate.io/tidegate/internal/lab/proc"
	"tidegate.io/tidegate/internal/lab/region"
	"tidegate.io/tidegate/k8s"
)

// teardown is what all regions together may take to stop; each kills what is left of it well before.
const teardown = 30 * time.Second

// supervisor holds the regions of one lab.
type supervisor struct {
	order    order
	events   *events
	log      *slog.Logger
	down     func() // begins the end
	launcher *proc.Launcher
	self     proc.Record
	started  time.Time
	changed  chan struct{} // holds one token while lab.json is behind

	saving sync.Mutex // orders the writers of lab.json

	mu    sync.Mutex
	phase string
	load  float64
	seats []*seat
}

// seat is the place of one region.
type seat struct {
	config region.Config
	images *image.Table
	region *region.Region
	ready  bool // under the supervisor's mu
}

func newSupervisor(o order, e *events, log *slog.Logger, down func()) *supervisor {
	return &supervisor{
		order: o, events: e, log: log, down: down, launcher: proc.NewLauncher(), self: proc.Self(),
		started: time.Now().UTC(), changed: make(chan struct{}, 1), phase: PhaseStarting, load: o.Load,
	}
}

// run starts everything, waits for the end, and stops everything.
func (s *supervisor) run(ctx context.Context) error {
	defer s.launcher.Close() // kills what resisted
	err := s.hold(ctx)
	if errors.Is(err, errDown) {
		return nil
	}
	return err
}

// hold returns why it ended; all regions are stopped then.
func (s *supervisor) hold(ctx context.Context) (err error) {
	if err := s.build(); err != nil {
		return err
	}
	control, err := newControl(s)
	if err != nil {
		return err
	}
	defer control.close()
	if err := s.writeKubeconfig(); err != nil {
		return err
	}
	if err := s.save(control); err != nil {
		return err
	}
	writing, done := context.WithCancel(context.WithoutCancel(ctx))
	var writer sync.WaitGroup
	writer.Go(func() { s.record(writing, control) })
	defer writer.Wait()
	defer done()
	defer func() { err = errors.Join(err, s.stop()) }()

	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	s.enter(PhaseReady)
	if err := s.save(control); err != nil { // whoever waits for the event reads the file next
		return err
	}
	s.events.send(Event{Ready: true})
	<-ctx.Done()
	s.log.Info("going down", "why", context.Cause(ctx))
	return context.Cause(ctx)
}

// build gives each region its ports, credentials and place; nothing runs yet.
func (s *supervisor) build() error {
	base := sync.OnceValues(func() (region.Base, error) { return region.ReadBase(k8s.FS) })
	var workloads func() ([]*unstructured.Unstructured, error)
	if !s.order.Empty {
		workloads = sync.OnceValues(s.workloads)
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("executable for Jobs: %w", err)
	}
	for _, name := range s.order.Regions {
		ports, err := region.Reserve()
		if err != nil {
			return err
		}
		config, err := region.NewConfig(name, filepath.Join(s.order.Dir, regionsDir, name), s.order.Binaries, ports.Ports)
		if err != nil {
			return err
		}
		images := &image.Table{}
		r, err := region.New(region.Options{
			Config: config, Reservation: ports, Launcher: s.launcher, Base: base, Workloads: workloads,
			Rate: s.order.Load, Images: images, Log: s.log, Changed: s.note,
			Own: func(image string) (string, bool) { return executable, own(image) },
			Progress: func(p region.Progress) {
				s.events.send(Event{Region: name, Step: p.Step, Took: p.Took})
			},
		})
		if err != nil {
			return err
		}
		s.seats = append(s.seats, &seat{config: config, images: images, region: r})
	}
	return nil
}

// own says whether an image is Tidegate's own, alone or with what some Jobs need beside it, such as tidegate-chromium:
// its containers run as processes.
func own(image string) bool {
	name, _, _ := strings.Cut(path.Base(image), "@")
	name, _, _ = strings.Cut(name, ":")
	return name == "tidegate" || strings.HasPrefix(name, "tidegate-")
}

// workloads reads what every region runs, at the lab's speed.
func (s *supervisor) workloads() ([]*unstructured.Unstructured, error) {
	objs, err := workloadsIn(k8s.FS, s.order.Services)
	if err != nil {
		return nil, err
	}
	if err := lapse.Shorten(objs, s.order.Speed); err != nil {
		return nil, err
	}
	return objs, nil
}

// start starts all regions at once. The first that fails ends the start of the others.
func (s *supervisor) start(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, seat := range s.seats {
		group.Go(func() error {
			if err := seat.region.Start(ctx); err != nil {
				return err
			}
			s.mu.Lock()
			seat.ready = true
			s.mu.Unlock()
			s.note()
			s.events.send(Event{Region: seat.config.Name, Message: "ready", Took: time.Since(s.started)})
			return nil
		})
	}
	return group.Wait()
}

func (s *supervisor) stop() error {
	s.enter(PhaseStopping)
	ctx, cancel := context.WithTimeoutCause(context.Background(), teardown, fmt.Errorf("still there after %s", teardown))
	defer cancel()
	errs := make([]error, len(s.seats))
	var group sync.WaitGroup
	for i, seat := range s.seats {
		group.Go(func() { errs[i] = seat.region.Stop(ctx) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// writeKubeconfig writes the lab's own kubeconfig; nobody's other is touched.
func (s *supervisor) writeKubeconfig() error {
	config := clientcmdapi.NewConfig()
	for i, seat := range s.seats {
		name := contextOf(seat.config.Name)
		seat.config.AddContext(config, name)
		if i == 0 {
			config.CurrentContext = name
		}
	}
	content, err := clientcmd.Write(*config)
	if err == nil {
		err = os.WriteFile(filepath.Join(s.order.Dir, kubeconfigFile), content, 0o600)
	}
	if err != nil {
		return fmt.Errorf("kubeconfig of the lab: %w", err)
	}
	return nil
}

func contextOf(region string) string { return "k8s-" + region }
