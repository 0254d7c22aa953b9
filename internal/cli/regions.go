package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"tidegate.io/tidegate/internal/engine"
	"tidegate.io/tidegate/internal/fleet"
	"tidegate.io/tidegate/internal/promapi"
	"tidegate.io/tidegate/internal/rollouts"
)

// defaultPrometheus is the platform's Prometheus, asked through each region's API server.
const defaultPrometheus = "monitoring/prometheus-server:9090"

// errNoNamespace is what an unset variable makes of -n "$NAMESPACE". It must not come to mean all of them.
var errNoNamespace = usagef("--namespace is empty: name one, or leave it out for default")

const prometheusHelp = "each region's Prometheus: a Service as namespace/name:port, asked through the API server, or a URL in which {region} stands for the region"

// reach is one region with the means to drive a rollout in it.
type reach struct {
	region *rollouts.Region
	prom   *promapi.Client
}

// checkPrometheus refuses a --prometheus that could be asked in no region: no release or rollback begins with it.
func checkPrometheus(address string) error {
	if err := promapi.Check(address); err != nil {
		return usagef("--prometheus: %w", err)
	}
	return nil
}

// connect prepares the means to reach a region. It makes no request, so it fails only on what is written down wrong.
func connect(r fleet.Region, namespace, rollout, prometheus string) (reach, error) {
	cfg, err := r.Config()
	if err != nil {
		return reach{}, err
	}
	region, err := rollouts.New(r.Name, cfg, namespace, rollout)
	if err != nil {
		return reach{}, err
	}
	if strings.Contains(prometheus, "://") {
		return reach{region: region, prom: promapi.At(strings.ReplaceAll(prometheus, "{region}", r.Name))}, nil
	}
	prom, err := promapi.Through(cfg, prometheus)
	if err != nil {
		return reach{}, err
	}
	return reach{region: region, prom: prom}, nil
}

// served counts what a version served in the region.
func (r reach) served(ctx context.Context, namespace, hash string, since time.Time) (engine.Served, error) {
	return engine.CountServed(ctx, r.prom, namespace, hash, since)
}

// describeServed writes a count, or why there is none.
func describeServed(s *engine.Served, unknown string) string {
	if s == nil {
		return "an unknown number of requests: " + cmp.Or(unknown, "they were not counted")
	}
	return fmt.Sprintf("%d requests, %d errors", s.Requests, s.Errors)
}
