package smoke

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/web"
)

const (
	// maxBody bounds what is read of an answer, in bytes.
	maxBody = 1 << 20
	// atOnce is how many endpoints are asked at a time.
	atOnce = 8
)

// Config is a smoke test.
type Config struct {
	Base        *url.URL
	Endpoints   []Endpoint
	Header      http.Header // of every request; an endpoint's own goes before
	TLS         web.TLS
	MinCertDays int           // 0: certificates are only verified
	Timeout     time.Duration // of one attempt, with its body
}

// runner is a smoke test under way.
type runner struct {
	Config
	transport http.RoundTripper
}

// Run asks all endpoints at once and answers in their order. A service that refuses connections, or keeps silent, has
// failed; only what keeps the question from being asked at all is an error.
func Run(ctx context.Context, c Config) probe.Result {
	begun := time.Now()
	result := probe.New("smoke", web.Redact(c.Base))
	transport, err := c.TLS.Transport()
	if err != nil {
		return result.Broken(err, time.Since(begun))
	}
	if c.TLS.SkipVerify && c.Base.Scheme == "https" {
		result.Warnings = append(result.Warnings, "certificates were not verified: anybody may have answered")
	}
	result.Checks = make([]probe.Check, len(c.Endpoints))
	var all errgroup.Group
	all.SetLimit(atOnce)
	for i, e := range c.Endpoints {
		all.Go(func() error {
			result.Checks[i] = runner{c, transport}.check(ctx, e)
			return nil
		})
	}
	_ = all.Wait() // none of them returns an error: what is wrong stands in the checks
	result.Conclude(time.Since(begun))
	return result
}

// check asks one endpoint until it is content.
func (r runner) check(ctx context.Context, e Endpoint) probe.Check {
	begun := time.Now()
	check := probe.Check{Name: e.Name}
	made, err := web.Attempts(ctx, e.Retries, func() bool {
		check.Verdict, check.Message, check.Measured = r.attempt(ctx, e)
		return check.Verdict == probe.Passed
	})
	if err == nil && check.Verdict != probe.Passed {
		err = context.Cause(ctx) // the last attempt was cut off too
	}
	switch {
	case err != nil:
		check.Verdict, check.Message = probe.Error, "not asked to the end: "+err.Error()
	case check.Verdict == probe.Failed && made > 1:
		check.Message = fmt.Sprintf("%s (the last of %d attempts)", check.Message, made)
	case check.Verdict == probe.Passed && made > 1:
		check.Message = fmt.Sprintf("only at attempt %d of %d", made, e.Retries+1)
	}
	if check.Measured == nil {
		check.Measured = map[string]probe.Measure{}
	}
	check.Measured["attempts"] = probe.Measure{Value: float64(made), Unit: "requests", Max: probe.Bound(float64(e.Retries + 1))}
	check.Seconds = probe.Seconds(time.Since(begun))
	return check
}

// attempt asks once.
func (r runner) attempt(ctx context.Context, e Endpoint) (probe.Verdict, string, map[string]probe.Measure) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("no answer within %s", r.Timeout))
	defer cancel()
	a, err := r.ask(ctx, e)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if web.Unmeasured(err) {
			return probe.Error, "the proxy cannot be reached: " + web.Scrub(err.Error()), nil
		}
		return probe.Failed, web.Reason(err), nil
	}
	now := time.Now()
	measured := map[string]probe.Measure{
		"status":  {Value: float64(a.status), Unit: "status"},
		"latency": probe.Took(a.latency, e.MaxLatency),
		"body":    {Value: float64(len(a.body)), Unit: "bytes"},
	}
	if !a.expires.IsZero() {
		days := probe.Measure{Value: float64(int(a.daysLeft(now)*10)) / 10, Unit: "days"}
		if r.MinCertDays > 0 {
			days.Min = probe.Bound(float64(r.MinCertDays))
		}
		measured["certificate"] = days
	}
	if wrong := e.judge(a, now, r.MinCertDays); len(wrong) > 0 {
		return probe.Failed, strings.Join(wrong, "; "), measured
	}
	return probe.Passed, "", measured
}

// ask makes one request. It follows no redirect: a redirect is an answer with a status of its own.
func (r runner) ask(ctx context.Context, e Endpoint) (answer, error) {
	address, err := web.Join(r.Base, e.Path)
	if err != nil {
		return answer{}, err
	}
	req, err := http.NewRequestWithContext(ctx, e.Method, address.String(), strings.NewReader(e.Body))
	if err != nil {
		return answer{}, err
	}
	web.Dress(req, r.Header, e.Header)
	begun := time.Now()
	resp, err := r.transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return answer{}, fmt.Errorf("it answers %d, and its body breaks off after %d bytes: %w", resp.StatusCode, len(body), err)
	}
	a := answer{status: resp.StatusCode, body: body, latency: time.Since(begun)}
	if len(body) > maxBody {
		a.body, a.cut = body[:maxBody], true
	}
	if to := resp.Header.Get("Location"); to != "" && a.status >= 300 && a.status < 400 {
		a.location = web.RedactPath(to)
	}
	if resp.TLS != nil && len(resp.TLS.PeerCertificates) > 0 {
		a.expires = resp.TLS.PeerCertificates[0].NotAfter
	}
	return a, nil
}
