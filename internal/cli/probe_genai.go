package cli

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/genai"
	"tidegate.io/tidegate/internal/probe/web"
)

// finishReasons are the reasons of OpenAI's API that an answer may be good with.
var finishReasons = []string{"stop", "length", "tool_calls"}

type probeGenAIOptions struct {
	streams
	requestFlags
	c             genai.Config
	schema        string
	tokenEnv      string
	maxFirstToken seconds
	maxLatency    seconds
	output        format
}

func newProbeGenAI(s streams) *cobra.Command {
	o := &probeGenAIOptions{
		streams: s, output: "json", maxFirstToken: seconds(2 * time.Second),
		requestFlags: requestFlags{timeout: seconds(30 * time.Second), retries: 2},
	}
	cmd := &cobra.Command{
		Use:   "genai URL",
		Short: "Ask an OpenAI-compatible endpoint for completions: protocol, usage, first token",
		Long: `Ask URL/v1/chat/completions twice, for an answer in one piece and for a stream, and judge the properties of what comes,
never its words: status, choices, role, content, finish_reason, usage that adds up, tokens, JSON, [DONE], and the time to the
first token. A server that answers a request for a stream in one piece is held to its first byte, and the result says
"streamed": false.

No answer, 429 and 5xx are worth another attempt, --retries times. What a model has answered, it is not asked again.`,
		Example: `  tidegate probe genai http://teei-reporting-preview.default.svc.cluster.local:3014 --model default --max-tokens 512
  tidegate probe genai https://llm.example.org --token-env TOKEN --schema sum.json --prompt 'Answer {"sum": 2+2} as JSON alone.'`,
		Args: named("URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := base("URL", args[0])
			if err != nil {
				return err
			}
			return o.run(cmd.Context(), to)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.c.Model, "model", "default", "model to ask")
	f.StringVar(&o.c.Prompt, "prompt", "Say in one short sentence what two and two make.", "what to ask it")
	f.IntVar(&o.c.MaxTokens, "max-tokens", 512, "completion tokens that are asked for, and that it may take; 0: any number")
	f.StringSliceVar(&o.c.Finish, "finish", []string{"stop"}, "finish_reasons that are good: "+strings.Join(finishReasons, ", "))
	f.BoolVar(&o.c.JSON, "json", false, "the content must be JSON")
	f.StringVar(&o.schema, "schema", "", "file of a JSON schema (draft 4, without $ref) that the content keeps")
	f.Var(&o.maxFirstToken, "max-first-token", "time to the first token of a stream; 0: any")
	f.Var(&o.maxLatency, "max-latency", "time to the end of an answer in one piece; 0: any")
	f.StringVar(&o.tokenEnv, "token-env", "", "environment variable that holds the bearer token")
	o.add(cmd)
	f.VarP(&o.output, "output", "o", "json, yaml or table")
	_ = cmd.RegisterFlagCompletionFunc("output", completeFormats)
	_ = cmd.RegisterFlagCompletionFunc("finish", cobra.FixedCompletions(finishReasons, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.MarkFlagFilename("schema", "json")
	return cmd
}

func (o *probeGenAIOptions) run(ctx context.Context, to *url.URL) error {
	if err := o.check(); err != nil {
		return err
	}
	result, err := o.measure(ctx, to)
	if err != nil {
		result.Result = probe.New("genai", web.Redact(to)).Broken(err, 0)
	}
	return answerProbe(ctx, o.streams, o.output, result.Result, result)
}

// check fails on what the command line cannot mean.
func (o *probeGenAIOptions) check() error {
	switch {
	case strings.TrimSpace(o.c.Prompt) == "":
		return usagef("--prompt is empty")
	case o.c.Model == "":
		return usagef("--model is empty")
	case o.c.MaxTokens < 0:
		return usagef("--max-tokens: want 0 or more")
	case len(o.c.Finish) == 0:
		return usagef("--finish is empty: want some of %s", strings.Join(finishReasons, ", "))
	}
	for _, reason := range o.c.Finish {
		if !slices.Contains(finishReasons, reason) {
			return usagef("--finish %s: want some of %s", reason, strings.Join(finishReasons, ", "))
		}
	}
	return o.validate()
}

// measure reads what is written down elsewhere, and probes. Its errors are that nothing could be measured.
func (o *probeGenAIOptions) measure(ctx context.Context, to *url.URL) (result genai.Result, err error) {
	c := o.c
	c.Base, c.TLS, c.Timeout, c.Retries = to, o.tls, time.Duration(o.timeout), o.retries
	c.MaxFirstToken, c.MaxLatency = time.Duration(o.maxFirstToken), time.Duration(o.maxLatency)
	if c.Header, err = o.header(); err != nil {
		return result, err
	}
	if o.tokenEnv != "" {
		token, err := web.Secret(o.tokenEnv, os.LookupEnv)
		if err != nil {
			return result, fmt.Errorf("--token-env: %w", err)
		}
		c.Header.Set("Authorization", "Bearer "+token)
	}
	if o.schema != "" {
		data, err := os.ReadFile(o.schema)
		if err != nil {
			return result, fmt.Errorf("--schema: %w", err)
		}
		if c.Schema, err = genai.ParseSchema(data); err != nil {
			return result, fmt.Errorf("--schema %s: %w", o.schema, err)
		}
	}
	return genai.Run(ctx, c), nil
}
