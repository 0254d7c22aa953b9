package lab

import (
	"context"
	"path/filepath"

	"tidegate.io/tidegate/internal/lab/region"
)

// note says that lab.json is behind.
func (s *supervisor) note() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// record keeps lab.json up to date until ctx ends. Some other process finds the lab's own in it, should this one be killed.
func (s *supervisor) record(ctx context.Context, c *control) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.changed:
			if err := s.save(c); err != nil {
				s.log.Error("state not written", "error", err)
			}
		}
	}
}

// save writes lab.json.
func (s *supervisor) save(c *control) error {
	s.saving.Lock()
	defer s.saving.Unlock()
	return stored{State: s.state(), Control: c.url, Token: c.token}.write()
}

func (s *supervisor) enter(phase string) {
	s.mu.Lock()
	s.phase = phase
	s.mu.Unlock()
	s.note()
}

// state is what the lab says of itself now.
func (s *supervisor) state() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := State{
		Phase:      s.phase,
		Started:    s.started,
		Dir:        s.order.Dir,
		Kubeconfig: filepath.Join(s.order.Dir, kubeconfigFile),
		Supervisor: s.self,
		Log:        filepath.Join(s.order.Dir, logFile),
		Speed:      s.order.Speed,
		Load:       s.load,
		Binaries:   s.order.Binaries,
	}
	for _, seat := range s.seats {
		c := seat.config
		state.Regions = append(state.Regions, RegionState{
			Name:       c.Name,
			Context:    contextOf(c.Name),
			Ready:      seat.ready,
			Server:     c.Server(),
			Gateway:    region.URL(c.Ports.Gateway),
			Proxy:      region.URL(c.Ports.Proxy),
			Prometheus: region.URL(c.Ports.Prometheus),
			Ports:      c.Ports,
			Components: seat.region.Components(),
		})
	}
	return state
}
