// Package genai asks an OpenAI-compatible endpoint for chat completions and judges the properties of the answers, never
// their words: a model says the same thing differently each time.
package genai

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/web"
)

// maxBody bounds what is read of an answer, in bytes.
const maxBody = 4 << 20

// Config is a smoke test of a model.
type Config struct {
	Base          *url.URL // before /v1/chat/completions, with or without the /v1
	Model, Prompt string
	MaxTokens     int      // asked for, and held to. 0: no limit
	Finish        []string // finish_reasons that are good
	JSON          bool     // the content must be JSON
	Schema        *Schema  // nil: any
	MaxFirstToken time.Duration
	MaxLatency    time.Duration // until the end of an answer that comes whole. 0: no limit
	Timeout       time.Duration // of one attempt
	Retries       int           // when no answer comes, or 429, or 5xx. What a model answers, it is not asked twice
	Header        http.Header
	TLS           web.TLS
}

// Result is a probe's result, and whether the server streams.
type Result struct {
	probe.Result
	Streamed *bool `json:"streamed,omitempty"` // absent: not found out
}

// runner is a smoke test under way.
type runner struct {
	Config
	transport http.RoundTripper
}

// Run asks twice, for an answer that comes whole and for a stream. A service that refuses connections, or keeps silent, has
// failed; only what keeps the question from being asked at all is an error.
func Run(ctx context.Context, c Config) Result {
	begun := time.Now()
	result := Result{Result: probe.New("genai", web.Redact(c.Base))}
	transport, err := c.TLS.Transport()
	if err != nil {
		result.Result = result.Broken(err, time.Since(begun))
		return result
	}
	if c.TLS.SkipVerify && c.Base.Scheme == "https" {
		result.Warnings = append(result.Warnings, "certificates were not verified: anybody may have answered")
	}
	r, s := runner{c, transport}, &sheet{hide: c.hide}
	if r.whole(ctx, s) {
		result.Streamed = r.stream(ctx, s)
	}
	result.Checks = append(result.Checks, s.checks...)
	result.Conclude(time.Since(begun))
	return result
}

// whole asks for an answer in one piece, and tells whether there was a good status, so that it is worth asking again.
func (r runner) whole(ctx context.Context, s *sheet) bool {
	var got answer
	took, err := r.until(ctx, func(resp *http.Response, clock func() time.Duration) (err error) {
		got = answer{status: resp.StatusCode}
		got.body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
		got.latency = clock()
		return err
	}, false)
	if err != nil {
		s.unanswered("status", err, took)
		return false
	}
	at := len(s.checks)
	r.judge(s, got)
	s.checks[at].Seconds = probe.Seconds(took)
	return got.status == http.StatusOK
}

// stream asks for a stream, and tells whether it got one.
func (r runner) stream(ctx context.Context, s *sheet) *bool {
	var got stream
	took, err := r.until(ctx, func(resp *http.Response, clock func() time.Duration) (err error) {
		got = stream{status: resp.StatusCode}
		kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
		if got.streamed = kind == "text/event-stream" && got.status == http.StatusOK; got.streamed {
			got.readEvents(resp.Body, clock)
			return nil
		}
		body := &stamped{from: resp.Body, clock: clock}
		got.body, err = io.ReadAll(io.LimitReader(body, maxBody+1))
		got.first = body.first
		return err
	}, true)
	if err != nil {
		s.unanswered("stream-status", err, took)
		return nil
	}
	at := len(s.checks)
	r.judgeStream(s, got)
	s.checks[at].Seconds = probe.Seconds(took)
	return &got.streamed
}

// unmeasured is an error that says nothing about the service.
type unmeasured struct{ error }

// unanswered adds the check of a question to which no answer came.
func (s *sheet) unanswered(name string, err error, took time.Duration) {
	s.check(name, web.Reason(err), nil)
	check := &s.checks[len(s.checks)-1]
	check.Seconds = probe.Seconds(took)
	if _, ok := err.(unmeasured); ok { //nolint:errorlint // made in this package, never wrapped
		check.Verdict = probe.Error
	}
}

// until asks until an answer comes that is worth judging, and hands it to read. It returns the time that all attempts took.
func (r runner) until(ctx context.Context, read func(*http.Response, func() time.Duration) error, streamed bool) (time.Duration, error) {
	begun := time.Now()
	var last error
	_, err := web.Attempts(ctx, r.Retries, func() bool {
		limited, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("no whole answer within %s", r.Timeout))
		defer cancel()
		var busy bool
		busy, last = r.ask(limited, read, streamed)
		return last == nil && !busy
	})
	switch {
	case err != nil || ctx.Err() != nil:
		last = unmeasured{fmt.Errorf("not asked to the end: %w", context.Cause(ctx))}
	case last != nil && web.Unmeasured(last):
		last = unmeasured{fmt.Errorf("the proxy cannot be reached: %w", last)}
	}
	return time.Since(begun), last
}

// ask makes one request, and tells whether the server was too busy to answer it.
func (r runner) ask(ctx context.Context, read func(*http.Response, func() time.Duration) error, streamed bool) (busy bool, err error) {
	question := map[string]any{
		"model": r.Model, "messages": []map[string]string{{"role": "user", "content": r.Prompt}}, "stream": streamed,
	}
	if streamed {
		question["stream_options"] = map[string]bool{"include_usage": true}
	}
	if r.MaxTokens > 0 {
		question["max_tokens"] = r.MaxTokens
	}
	body, err := json.Marshal(question)
	if err != nil {
		return false, err
	}
	base := *r.Base
	base.Path = strings.TrimSuffix(strings.TrimSuffix(base.Path, "/"), "/v1")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base.JoinPath("/v1/chat/completions").String(), bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	web.Dress(req, r.Header)
	begun := time.Now()
	resp, err := r.transport.RoundTrip(req)
	if err != nil && ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	resp.Body = timely{resp.Body, ctx}
	busy = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError
	return busy, read(resp, func() time.Duration { return time.Since(begun) })
}

// timely is a body that says why it breaks off, where ctx knows.
type timely struct {
	io.ReadCloser
	ctx context.Context
}

func (t timely) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	if err != nil && err != io.EOF && t.ctx.Err() != nil { //nolint:errorlint // io.Reader's contract is the bare io.EOF
		err = context.Cause(t.ctx)
	}
	return n, err
}

// stamped notes when the first byte came.
type stamped struct {
	from  io.Reader
	clock func() time.Duration
	first time.Duration
}

func (s *stamped) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if n > 0 && s.first == 0 {
		s.first = s.clock()
	}
	return n, err
}

// hide takes our secrets out of what is told of the server: some quote the token that they refuse.
func (c Config) hide(text string) string {
	for _, values := range c.Header {
		for _, word := range strings.Fields(strings.Join(values, " ")) {
			if len(word) >= 4 && word != "Bearer" && word != "Basic" {
				text = strings.ReplaceAll(text, word, "[redacted]")
			}
		}
	}
	if password, ok := c.Base.User.Password(); ok && password != "" {
		text = strings.ReplaceAll(text, password, "[redacted]")
	}
	return text
}
