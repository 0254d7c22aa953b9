package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/web"
)

func newProbe(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "probe",
		Short: "Look at a version before users do: smoke test, GenAI smoke test, visual regression",
		Long: `Look at a version before users do. A probe is what the Job of an analysis runs, and what you can run by hand.

The answer is one JSON document on stdout, and the exit code is the verdict: 0 passed, 5 failed, 1 could not be measured,
2 the command line was wrong. A service that refuses connections or keeps silent has failed; a probe that cannot start its
browser, read a file or reach its proxy has measured nothing. Nothing passes without at least one check.

HTTP_PROXY, HTTPS_PROXY and NO_PROXY are honoured. Credentials and queries of URLs are never written.`,
		Example: `  tidegate probe smoke http://teei-api-gateway-preview.default.svc.cluster.local:3000 --endpoint /readyz,/healthz=200
  tidegate probe genai http://teei-reporting-preview.default.svc.cluster.local:3014 --max-first-token 2s
  tidegate probe visual https://cockpit.example.org https://preview.cockpit.example.org --path /,/reports --mask .clock`,
	}
	cmd.AddCommand(newProbeSmoke(s), newProbeGenAI(s), newProbeVisual(s))
	return cmd
}

// requestFlags are what probes that make requests have in common.
type requestFlags struct {
	timeout   seconds
	retries   int
	headers   []string
	headerEnv []string
	tls       web.TLS
}

func (r *requestFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var(&r.timeout, "timeout", "time for one attempt, with the whole body of the answer")
	f.IntVar(&r.retries, "retries", r.retries, "attempts after the first, with a short pause that grows")
	f.StringArrayVar(&r.headers, "header", nil, "header of every request, as NAME=VALUE (repeatable)")
	f.StringArrayVar(&r.headerEnv, "header-env", nil, "header whose value is taken from an environment variable, as NAME=VARIABLE (repeatable)")
	f.StringVar(&r.tls.CAFile, "ca-file", "", "PEM file: trust these certificate authorities, and no others")
	f.BoolVar(&r.tls.SkipVerify, "insecure-skip-verify", false, "verify no certificate; the result says so")
	_ = cmd.MarkFlagFilename("ca-file")
}

var headerForm = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+=.")

// validate does not repeat what was typed, which may be a secret.
func (r *requestFlags) validate() error {
	for flag, pairs := range map[string][]string{"--header": r.headers, "--header-env": r.headerEnv} {
		for i, pair := range pairs {
			if !headerForm.MatchString(pair) {
				return usagef("%s, number %d: write NAME=VALUE; a VALUE that is secret belongs into a variable: --header-env NAME=VARIABLE", flag, i+1)
			}
		}
	}
	return positive(r.timeout, r.retries)
}

func (r *requestFlags) header() (http.Header, error) {
	return web.Headers(r.headers, r.headerEnv, os.LookupEnv)
}

func positive(timeout seconds, retries int) error {
	switch {
	case timeout <= 0:
		return usagef("--timeout: want more than 0")
	case retries < 0:
		return usagef("--retries: want 0 or more")
	}
	return nil
}

// base reads a URL of the command line.
func base(name, text string) (*url.URL, error) {
	u, err := web.ParseBase(text)
	if err != nil {
		return nil, usagef("%s: %w", name, err)
	}
	return u, nil
}

// answerProbe writes a probe's result, full where there is more to it, and turns its verdict into the exit code.
func answerProbe(ctx context.Context, s streams, f format, r probe.Result, full any) error {
	if err := render(s.out, f, full, func(out io.Writer) error { return probeTable(out, r) }); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintf(s.err, "tidegate: interrupted: %s probe\n", r.Probe)
		return reported{exitInterrupted}
	case r.Verdict == probe.Passed:
		return nil
	case r.Verdict == probe.Failed:
		fmt.Fprintf(s.err, "tidegate: %s probe failed: %d of %d checks\n", r.Probe, r.Count(probe.Failed), len(r.Checks))
		return reported{exitProbeFailed}
	}
	fmt.Fprintf(s.err, "tidegate: %s probe could not measure: %s\n", r.Probe, r.Error)
	return reported{exitFailed}
}

func probeTable(out io.Writer, r probe.Result) error {
	p := newPaint(out)
	colour := map[probe.Verdict]func(string) string{probe.Passed: p.good, probe.Failed: p.bad, probe.Error: p.busy}
	err := columns(out, func(w io.Writer) {
		fmt.Fprintln(w, "CHECK\tVERDICT\tWHY")
		for _, c := range r.Checks {
			fmt.Fprintf(w, "%s\t%s\t%s\n", c.Name, c.Verdict, dash(c.Message))
		}
	})
	if err != nil {
		return err
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(out, "\nwarning: %s\n", warning)
	}
	took := time.Duration(r.Seconds * float64(time.Second)).Round(time.Millisecond)
	_, err = fmt.Fprintf(out, "\n%s probe: %s after %s\n", r.Probe, colour[r.Verdict](string(r.Verdict)), took)
	return err
}
