package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/smoke"
	"tidegate.io/tidegate/internal/probe/web"
)

type probeSmokeOptions struct {
	streams
	requestFlags
	endpoints   []string
	file        string
	expectBody  string
	maxLatency  seconds
	minCertDays int
	output      format
}

func newProbeSmoke(s streams) *cobra.Command {
	o := &probeSmokeOptions{
		streams: s, output: "json", endpoints: []string{"/"}, maxLatency: seconds(2 * time.Second),
		requestFlags: requestFlags{timeout: seconds(10 * time.Second), retries: 2},
	}
	cmd := &cobra.Command{
		Use:   "smoke URL",
		Short: "Ask a service a few questions: status, body, latency, certificate",
		Long: `Ask a service a few questions, all at once: does each endpoint answer with the expected status and body, in time, with a
certificate that is good for a while? Any status from 200 to 399 is good, unless one is named. Redirects are not followed: a
redirect is an answer. An endpoint that is not as expected is asked again, --retries times; one that refuses connections or
keeps silent to the end has failed.

What does not fit into --endpoint stands in a --file of YAML: headers, bodies, several statuses, queries.`,
		Example: `  tidegate probe smoke http://checkout.shop:3000 --endpoint /readyz,/healthz=200 --endpoint 'POST /login=401'
  tidegate probe smoke https://shop.example.org --header-env Authorization=TOKEN --min-cert-days 14
  tidegate probe smoke http://checkout.shop:3000 --file endpoints.yaml -o table`,
		Args: named("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.file != "" && cmd.Flags().Changed("endpoint") {
				return usagef("--file and --endpoint: give one of the two")
			}
			to, err := base("URL", args[0])
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), to)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.endpoints, "endpoint", o.endpoints, "what to ask, as [METHOD ]PATH[=STATUS] (repeatable)")
	f.StringVar(&o.file, "file", "", "YAML file of endpoints, instead of --endpoint")
	f.StringVar(&o.expectBody, "expect-body", "", "regular expression that every body matches")
	f.Var(&o.maxLatency, "max-latency", "time that every answer may take, with its body; 0: any")
	f.IntVar(&o.minCertDays, "min-cert-days", 0, "days for which the server's certificate must still be valid; 0: valid is enough")
	o.add(cmd)
	f.VarP(&o.output, "output", "o", "json, yaml or table")
	_ = cmd.RegisterFlagCompletionFunc("output", completeFormats)
	_ = cmd.MarkFlagFilename("file", "yaml", "yml")
	return cmd
}

func (o *probeSmokeOptions) run(ctx context.Context, to *url.URL) error {
	c, err := o.config(to)
	if err != nil {
		return err
	}
	result, err := o.measure(ctx, c)
	if err != nil {
		result = probe.New("smoke", web.Redact(to)).Broken(err, 0)
	}
	return answerProbe(ctx, o.streams, o.output, result, result)
}

// config is what the command line says; its errors are those of usage.
func (o *probeSmokeOptions) config(to *url.URL) (smoke.Config, error) {
	c := smoke.Config{Base: to, TLS: o.tls, MinCertDays: o.minCertDays, Timeout: time.Duration(o.timeout)}
	if err := o.validate(); err != nil {
		return c, err
	}
	defaults, err := o.defaults()
	switch {
	case err != nil:
		return c, err
	case o.minCertDays < 0:
		return c, usagef("--min-cert-days: want 0 or more")
	case o.minCertDays > 0 && to.Scheme != "https":
		return c, usagef("--min-cert-days: %s has no certificate; give an https:// URL", web.Redact(to))
	case o.file != "":
		return c, nil
	}
	for _, text := range o.endpoints {
		e, err := smoke.ParseEndpoint(text)
		if err != nil {
			return c, usagef("--endpoint: %w", err)
		}
		e.BodyRegex, e.MaxLatency, e.Retries = defaults.BodyRegex, defaults.MaxLatency, defaults.Retries
		c.Endpoints = append(c.Endpoints, e)
	}
	if len(c.Endpoints) == 0 {
		return c, usagef("--endpoint is empty: name at least one, like /healthz")
	}
	return c, nil
}

// defaults is what the flags say of every endpoint.
func (o *probeSmokeOptions) defaults() (smoke.Endpoint, error) {
	e := smoke.Endpoint{MaxLatency: time.Duration(o.maxLatency), Retries: o.retries}
	if o.expectBody == "" {
		return e, nil
	}
	compiled, err := regexp.Compile(o.expectBody)
	if err != nil {
		return e, usagef("--expect-body: %w", err)
	}
	e.BodyRegex = compiled
	return e, nil
}

// measure reads what is written down elsewhere, and probes. Its errors are that nothing could be measured.
func (o *probeSmokeOptions) measure(ctx context.Context, c smoke.Config) (result probe.Result, err error) {
	if c.Header, err = o.header(); err != nil {
		return result, err
	}
	if o.file != "" {
		data, err := os.ReadFile(o.file)
		if err != nil {
			return result, fmt.Errorf("--file: %w", err)
		}
		defaults, err := o.defaults()
		if err != nil {
			return result, err
		}
		if c.Endpoints, err = smoke.ParseFile(data, defaults); err != nil {
			return result, fmt.Errorf("--file %s: %s", o.file, strings.TrimSpace(err.Error()))
		}
	}
	return smoke.Run(ctx, c), nil
}
