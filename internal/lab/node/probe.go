package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

var errProbeTimeout = errors.New("probe timed out")

// watch probes one life: start-up first, then liveness and readiness side by side.
func (c *container) watch(ctx context.Context, l *life, healthy func() error) {
	begun := time.Now()
	if probe := c.spec.StartupProbe; probe != nil {
		up := false
		c.prober(probe, healthy, true).run(ctx, begun, func(err error) bool {
			if up = err == nil; up {
				c.startedUp()
			} else {
				l.restart(fmt.Sprintf("startup probe failed: %v", err))
			}
			return false
		})
		if !up {
			return
		}
	}
	var both sync.WaitGroup
	defer both.Wait()
	if probe := c.spec.LivenessProbe; probe != nil {
		both.Go(func() {
			c.prober(probe, healthy, false).run(ctx, begun, func(err error) bool {
				if err != nil {
					l.restart(fmt.Sprintf("liveness probe failed: %v", err))
				}
				return err == nil
			})
		})
	}
	if probe := c.spec.ReadinessProbe; probe != nil {
		both.Go(func() {
			ready := false
			c.prober(probe, healthy, true).run(ctx, begun, func(err error) bool {
				if now := err == nil; now != ready {
					ready = now
					c.setReady(ready)
				}
				return true
			})
		})
	}
}

// prober asks one question over and over.
type prober struct {
	ask                 func(context.Context) error
	delay, period       time.Duration
	timeout             time.Duration
	successes, failures int // thresholds
	// quickMin and quickMax bound the pause between the probes up to the first success; 0 is the period.
	quickMin, quickMax time.Duration
}

func (c *container) prober(p *v1.Probe, healthy func() error, quick bool) prober {
	seconds := func(n, otherwise int32) time.Duration {
		return time.Duration(cmp.Or(n, otherwise)) * time.Second
	}
	b := prober{
		ask:       c.question(p, healthy),
		delay:     seconds(p.InitialDelaySeconds, 0),
		period:    seconds(p.PeriodSeconds, 10),
		timeout:   seconds(p.TimeoutSeconds, 1),
		successes: int(cmp.Or(p.SuccessThreshold, 1)),
		failures:  int(cmp.Or(p.FailureThreshold, 3)),
	}
	if timing := c.pod.node.timing; quick {
		b.quickMin, b.quickMax = min(timing.quickMin, b.period), min(timing.quickMax, b.period)
	}
	return b
}

// run probes until ctx ends or report returns false. It reports nil at each success and the last error at each
// failure once the threshold is reached.
func (p prober) run(ctx context.Context, begun time.Time, report func(error) bool) {
	if !sleep(ctx, time.Until(begun.Add(p.delay))) {
		return
	}
	var successes, failures int
	var counted time.Time // when the last failure was
	steady, quick := p.quickMax == 0, p.quickMin
	for {
		err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			steady, failures, counted = true, 0, time.Time{}
			if successes++; successes >= p.successes && !report(nil) {
				return
			}
		} else {
			successes = 0
			// Quick probes do not use up the threshold faster than the manifest says.
			if now := time.Now(); counted.IsZero() || now.Sub(counted) >= p.period {
				failures, counted = failures+1, now
				if failures >= p.failures && !report(err) {
					return
				}
			}
		}
		pause := p.period
		if !steady {
			pause, quick = quick, min(2*quick, p.quickMax)
		}
		if !sleep(ctx, pause) {
			return
		}
	}
}

func (p prober) once(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, p.timeout, errProbeTimeout)
	defer cancel()
	if err := p.ask(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	return nil
}

// question is what a probe asks. A command cannot be run in the lab: it passes as soon as the image answers.
func (c *container) question(p *v1.Probe, healthy func() error) func(context.Context) error {
	switch {
	case p.HTTPGet != nil:
		return func(ctx context.Context) error { return c.get(ctx, p.HTTPGet) }
	case p.TCPSocket != nil:
		return func(ctx context.Context) error { return c.connect(ctx, p.TCPSocket.Port) }
	case p.GRPC != nil:
		return func(ctx context.Context) error { return c.connect(ctx, intstr.FromInt32(p.GRPC.Port)) }
	default:
		return func(context.Context) error {
			if healthy == nil {
				return nil
			}
			return healthy()
		}
	}
}

// get passes on any answer from 200 to 399, as a kubelet's probe does.
func (c *container) get(ctx context.Context, action *v1.HTTPGetAction) error {
	if action.Scheme == v1.URISchemeHTTPS {
		return errors.New("the lab's pods speak no HTTPS")
	}
	addr, err := c.address(action.Port)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.String()+rooted(action.Path), nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", probeAgent+"lab")
	for _, header := range action.HTTPHeaders {
		if http.CanonicalHeaderKey(header.Name) == "Host" {
			request.Host = header.Value
			continue
		}
		request.Header.Add(header.Name, header.Value)
	}
	response, err := c.pod.node.probes.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, 10<<10)
	if response.StatusCode < http.StatusOK || response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("HTTP probe failed with statuscode: %d", response.StatusCode)
	}
	return nil
}

// rooted is a probe's path, which may lack the slash.
func rooted(path string) string {
	return "/" + strings.TrimPrefix(path, "/")
}

func (c *container) connect(ctx context.Context, port intstr.IntOrString) error {
	addr, err := c.address(port)
	if err != nil {
		return err
	}
	conn, err := c.pod.node.ports.dial(ctx, addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

// address resolves a port's number or name to the pod's.
func (c *container) address(port intstr.IntOrString) (netip.AddrPort, error) {
	if port.Type == intstr.Int && port.IntVal > 0 && port.IntVal <= 65535 {
		return netip.AddrPortFrom(c.pod.ip, uint16(port.IntVal)), nil
	}
	for _, p := range c.spec.Ports {
		if p.Name == port.StrVal && p.Name != "" {
			return netip.AddrPortFrom(c.pod.ip, uint16(p.ContainerPort)), nil
		}
	}
	if number, err := strconv.ParseUint(port.StrVal, 10, 16); err == nil {
		return netip.AddrPortFrom(c.pod.ip, uint16(number)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("container %q has no port named %q", c.spec.Name, port.String())
}

// newProbeClient makes each probe a connection of its own, as a kubelet does: an old one says nothing about
// whether new ones are accepted.
func newProbeClient(ports *portMap) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				to, err := netip.ParseAddrPort(addr)
				if err != nil {
					return nil, err
				}
				return ports.dial(ctx, to)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
