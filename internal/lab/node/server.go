package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"

	"tidegate.io/tidegate/internal/lab/image"
)

// Limits of a pod's servers, so that no client can hold one for ever.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
)

// server is a container of any image but Tidegate's own: the lab's app behind each of its ports. One without
// ports just runs.
type server struct {
	pod  *pod
	spec *v1.Container
}

func (s server) behaviour() image.Behaviour {
	return s.pod.node.cfg.Images.Get(s.spec.Image)
}

func (s server) run(ctx context.Context, l *life) exit {
	who := identity{Pod: s.pod.name.Name, Image: s.spec.Image, Version: image.Tag(s.spec.Image), hash: s.pod.hash}
	log := slog.New(slog.NewJSONHandler(l.log, nil))
	log.Info("starting", "image", who.Image, "version", who.Version)
	if s.behaviour().Crash {
		l.up(nil)
		log.Error("crashed right after the start", "exitCode", 1)
		return exit{code: 1}
	}
	listeners, err := s.listen(ctx)
	if err != nil {
		l.up(nil)
		log.Error("cannot listen", "error", err, "exitCode", 1)
		return exit{code: 1}
	}
	a := newApp(who, string(s.pod.uid)+s.spec.Name, s.behaviour, probePaths(s.spec), log)
	web := &http.Server{
		Handler: a, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	var serving sync.WaitGroup
	defer serving.Wait()
	for _, listener := range listeners {
		serving.Go(func() {
			if err := web.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				log.Error("listener failed", "error", err)
			}
		})
	}
	log.Info("listening", "ports", s.ports())
	l.up(func() error {
		if a.starting() {
			return errors.New("starting")
		}
		return nil
	})
	return s.end(ctx, l, a, web)
}

// end waits for what ends the server, and ends it the way that deserves.
func (s server) end(ctx context.Context, l *life, a *app, web *http.Server) exit {
	select {
	case <-ctx.Done():
	case <-a.crashed:
		_ = web.Close()
		a.log.Error("crashed", "exitCode", 1)
		return exit{code: 1}
	case <-l.unhealthy:
	case <-l.term:
		a.log.Info("terminating", "drain", l.drain().String())
		a.draining.Store(true)
		sleep(ctx, l.drain())
	}
	a.draining.Store(true)
	if err := web.Shutdown(ctx); err != nil {
		_ = web.Close()
		return exit{code: codeKilled}
	}
	a.log.Info("stopped", "exitCode", 0)
	return exit{}
}

func (s server) listen(ctx context.Context) ([]net.Listener, error) {
	var listeners []net.Listener
	for _, port := range s.ports() {
		listener, err := s.pod.node.ports.listen(ctx, netip.AddrPortFrom(s.pod.ip, port))
		if err != nil {
			for _, open := range listeners {
				_ = open.Close()
			}
			return nil, err
		}
		listeners = append(listeners, listener)
	}
	return listeners, nil
}

// ports are those the container declares, and those its probes name by number: a real image would listen there
// whether or not the manifest says so.
func (s server) ports() []uint16 {
	var ports []uint16
	add := func(port int32) {
		if port > 0 && !slices.Contains(ports, uint16(port)) {
			ports = append(ports, uint16(port))
		}
	}
	for _, p := range s.spec.Ports {
		if p.Protocol == v1.ProtocolTCP || p.Protocol == "" {
			add(p.ContainerPort)
		}
	}
	for _, probe := range probesOf(s.spec) {
		if probe.HTTPGet != nil {
			add(probe.HTTPGet.Port.IntVal)
		}
		if probe.TCPSocket != nil {
			add(probe.TCPSocket.Port.IntVal)
		}
		if probe.GRPC != nil {
			add(probe.GRPC.Port)
		}
	}
	return ports
}

func probesOf(spec *v1.Container) []*v1.Probe {
	return slices.DeleteFunc([]*v1.Probe{spec.StartupProbe, spec.LivenessProbe, spec.ReadinessProbe},
		func(p *v1.Probe) bool { return p == nil })
}

func probePaths(spec *v1.Container) map[string]bool {
	paths := make(map[string]bool)
	for _, probe := range probesOf(spec) {
		if probe.HTTPGet != nil {
			path, _, _ := strings.Cut(rooted(probe.HTTPGet.Path), "?")
			paths[path] = true
		}
	}
	return paths
}
