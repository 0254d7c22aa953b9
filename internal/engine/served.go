package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tidegate.io/tidegate/internal/promapi"
)

// Served is what Prometheus counted of one version's requests. It lags behind by up to a scrape.
type Served struct {
	Requests int `json:"requests"`
	Errors   int `json:"errors"` // answered 5xx
}

// CountServed asks how many requests the pods with this template hash have served since a moment. It reads the counters
// as they stood at the last scrape of each pod, so pods that are gone count too.
func CountServed(ctx context.Context, prom *promapi.Client, namespace, hash string, since time.Time) (Served, error) {
	window := max(time.Since(since), time.Minute).Round(time.Second)
	count := func(matchers string) (int, error) {
		v, err := prom.Scalar(ctx, fmt.Sprintf(`sum(max_over_time(http_requests_total{namespace=%q,rollouts_pod_template_hash=%q%s}[%ds]))`,
			namespace, hash, matchers, int(window.Seconds())))
		return int(v), err
	}
	requests, err := count("")
	if err != nil {
		return Served{}, fmt.Errorf("count requests of %s: %w", hash, err)
	}
	failed, err := count(`,status=~"5.."`)
	if err != nil && !errors.Is(err, promapi.ErrNoData) { // no error series: no error was served
		return Served{}, fmt.Errorf("count errors of %s: %w", hash, err)
	}
	return Served{Requests: requests, Errors: failed}, nil
}
