package genai

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/web"
)

const (
	good = `{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"{\"sum\":4}"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}`

	opening = `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}` + "\n\n"
	middle  = `data: {"choices":[{"index":0,"delta":{"content":"four"},"finish_reason":null}]}` + "\n\n"
	closing = `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	bill    = `data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}` + "\n\n"
	end     = "data: [DONE]\n\n"
)

// config asks for what good and the stream of opening to end are.
func config(t *testing.T, address string) Config {
	t.Helper()
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Base: base, Model: "default", Prompt: "2+2?", MaxTokens: 16, Finish: []string{"stop"}, Timeout: 5 * time.Second,
		MaxFirstToken: 2 * time.Second,
	}
}

// model serves one text to those who want it whole and one to those who want a stream.
func model(t *testing.T, whole, streamed string) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		var question struct{ Stream bool }
		if err := json.NewDecoder(r.Body).Decode(&question); err != nil {
			t.Error(err)
		}
		if !question.Stream {
			fmt.Fprint(w, whole)
			return
		}
		if !strings.HasPrefix(streamed, "{") {
			w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		}
		fmt.Fprint(w, streamed)
	})
}

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// failed lists the checks that failed, in order.
func failed(r Result) []string {
	var names []string
	for _, c := range r.Checks {
		if c.Verdict != probe.Passed {
			names = append(names, c.Name)
		}
	}
	return names
}

// TestBrokenProperties: each property that is broken, and no other, goes red.
func TestBrokenProperties(t *testing.T) {
	t.Parallel()
	schema, err := ParseSchema([]byte(`{"type":"object","required":["sum"],"properties":{"sum":{"type":"integer"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	swap := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%s is not in the good answer", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	withSchema := func(c *Config) { c.Schema = schema }
	tests := map[string]struct {
		whole  string
		change func(*Config)
		failed string
	}{
		"good":                          {whole: good},
		"good JSON":                     {whole: good, change: func(c *Config) { c.JSON = true }},
		"keeps the schema":              {whole: good, change: withSchema},
		"no JSON":                       {whole: "<html>", failed: "json"},
		"half":                          {whole: good[:len(good)-9], failed: "json"},
		"two":                           {whole: good + good, failed: "json"},
		"a list":                        {whole: "[" + good + "]", failed: "json"},
		"empty":                         {whole: "", failed: "json"},
		"null":                          {whole: "null", failed: "json"},
		"wrong type":                    {whole: swap(`"role":"assistant"`, `"role":7`), failed: "json"},
		"too long":                      {whole: strings.Repeat(" ", maxBody) + good, failed: "json"},
		"no choices":                    {whole: `{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}`, failed: "choices"},
		"choices left out":              {whole: `{"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}`, failed: "choices"},
		"empty object":                  {whole: `{}`, failed: "usage,choices"},
		"no message":                    {whole: `{"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}`, failed: "role,content"},
		"by the user":                   {whole: swap(`"role":"assistant"`, `"role":"user"`), failed: "role"},
		"by nobody":                     {whole: swap(`"role":"assistant",`, ``), failed: "role"},
		"no content":                    {whole: swap(`"{\"sum\":4}"`, `""`), failed: "content"},
		"null content":                  {whole: swap(`"{\"sum\":4}"`, `null`), failed: "content"},
		"blank content":                 {whole: swap(`"{\"sum\":4}"`, `" \n"`), failed: "content"},
		"a second choice without":       {whole: swap(`"finish_reason":"stop"}]`, `"finish_reason":"stop"},{"message":{"role":"assistant"},"finish_reason":"stop"}]`), failed: "content"},
		"filtered":                      {whole: swap(`"stop"`, `"content_filter"`), failed: "finish-reason"},
		"never finished":                {whole: swap(`"stop"`, `null`), failed: "finish-reason"},
		"ran into the limit":            {whole: swap(`"stop"`, `"length"`), failed: "finish-reason"},
		"may run into the limit":        {whole: swap(`"stop"`, `"length"`), change: func(c *Config) { c.Finish = []string{"stop", "length"} }},
		"ran into a limit nobody set":   {whole: swap(`"stop"`, `"length"`), change: func(c *Config) { c.Finish, c.MaxTokens = []string{"stop", "length"}, 0 }, failed: "finish-reason"},
		"calls a tool":                  {whole: swap(`"content":"{\"sum\":4}"},"finish_reason":"stop"`, `"content":null,"tool_calls":[{}]},"finish_reason":"tool_calls"`), change: func(c *Config) { c.Finish = []string{"stop", "tool_calls"} }},
		"calls a tool it was not given": {whole: swap(`"content":"{\"sum\":4}"},"finish_reason":"stop"`, `"content":null,"tool_calls":[{}]},"finish_reason":"tool_calls"`), failed: "content,finish-reason"},
		"no usage":                      {whole: swap(`,"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}`, ``), failed: "usage"},
		"usage does not add up":         {whole: swap(`"total_tokens":14`, `"total_tokens":15`), failed: "usage"},
		"prompt for nothing":            {whole: swap(`"prompt_tokens":9,"completion_tokens":5`, `"prompt_tokens":0,"completion_tokens":14`), failed: "usage"},
		"completion for nothing":        {whole: swap(`"prompt_tokens":9,"completion_tokens":5`, `"prompt_tokens":14,"completion_tokens":0`), failed: "usage"},
		"below nothing":                 {whole: swap(`"prompt_tokens":9,"completion_tokens":5`, `"prompt_tokens":-1,"completion_tokens":15`), failed: "usage"},
		"as many tokens as allowed":     {whole: good, change: func(c *Config) { c.MaxTokens = 5 }},
		"too many tokens":               {whole: good, change: func(c *Config) { c.MaxTokens = 4 }, failed: "max-tokens,stream-max-tokens"},
		"any number of tokens":          {whole: good, change: func(c *Config) { c.MaxTokens = 0 }},
		"content no JSON":               {whole: swap(`"{\"sum\":4}"`, `"four"`), change: func(c *Config) { c.JSON = true }, failed: "content-json"},
		"content breaks the schema":     {whole: swap(`{\"sum\":4}`, `{\"sum\":\"4\"}`), change: withSchema, failed: "content-json"},
		"content no JSON for a schema":  {whole: swap(`"{\"sum\":4}"`, `"four"`), change: withSchema, failed: "content-json"},
		"too slow":                      {whole: good, change: func(c *Config) { c.MaxLatency = time.Nanosecond }, failed: "latency"},
		"in time":                       {whole: good, change: func(c *Config) { c.MaxLatency = time.Minute }},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(t, model(t, test.whole, opening+middle+closing+bill+end))
			if test.change != nil {
				test.change(&c)
			}
			verify(t, Run(t.Context(), c), test.failed)
		})
	}
}

func verify(t *testing.T, r Result, wantFailed string) {
	t.Helper()
	want := probe.Passed
	if wantFailed != "" {
		want = probe.Failed
	}
	if got := strings.Join(failed(r), ","); got != wantFailed || r.Verdict != want {
		t.Errorf("%s, failed %q, want %q: %+v", r.Verdict, got, wantFailed, r.Checks)
	}
}

func TestBrokenStreams(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		streamed string
		failed   string
		whole    bool // the server does not stream
	}{
		"good":             {streamed: opening + middle + closing + bill + end},
		"without a bill":   {streamed: opening + middle + closing + end},
		"line ends of DOS": {streamed: strings.ReplaceAll(opening+middle+closing+end, "\n", "\r\n")},
		"comments, names":  {streamed: ": ping\n\nevent: chunk\nid: 1\n" + opening + middle + closing + end},
		"data in lines":    {streamed: opening + strings.Replace(middle, ",\"finish", ",\ndata:\"finish", 1) + closing + end},
		"ends at once":     {streamed: opening + middle + closing + "data: [DONE]"},
		"without [DONE]":   {streamed: opening + middle + closing + bill, failed: "stream-protocol"},
		"no JSON":          {streamed: opening + middle + "data: <html>\n\n" + closing + end, failed: "stream-protocol"},
		"an error":         {streamed: opening + middle + `data: {"error":{"message":"out of memory"}}` + "\n\n" + closing + end, failed: "stream-protocol"},
		"an error's text":  {streamed: opening + middle + `data: {"error":"out of memory"}` + "\n\n" + closing + end, failed: "stream-protocol"},
		"by the user":      {streamed: strings.Replace(opening, "assistant", "user", 1) + middle + closing + end, failed: "stream-protocol"},
		"nothing":          {streamed: "", failed: "stream-protocol,stream-content,stream-finish-reason,first-token"},
		"no content":       {streamed: opening + closing + end, failed: "stream-content,first-token"},
		"no choices":       {streamed: `data: {"choices":[]}` + "\n\n" + end, failed: "stream-content,stream-finish-reason,first-token"},
		"never finished":   {streamed: opening + middle + end, failed: "stream-finish-reason"},
		"filtered":         {streamed: opening + middle + strings.Replace(closing, "stop", "content_filter", 1) + end, failed: "stream-finish-reason"},
		"wrong bill":       {streamed: opening + middle + closing + strings.Replace(bill, "14", "15", 1) + end, failed: "stream-usage"},
		"high bill":        {streamed: opening + middle + closing + strings.NewReplacer(":5", ":50", "14", "59").Replace(bill) + end, failed: "stream-max-tokens"},
		"whole":            {streamed: good, whole: true},
		"whole, no choice": {streamed: `{"choices":[]}`, whole: true, failed: "stream-content"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Run(t.Context(), config(t, model(t, good, test.streamed)))
			verify(t, r, test.failed)
			if r.Streamed == nil || *r.Streamed == test.whole {
				t.Errorf("streamed %v", r.Streamed)
			}
		})
	}
}

// TestFirstToken: what counts is the first word, not the first event, and not the end.
func TestFirstToken(t *testing.T) {
	t.Parallel()
	const pause = 150 * time.Millisecond
	paced := func(parts ...string) string {
		return serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if !strings.Contains(string(body), `"stream":true`) {
				fmt.Fprint(w, good)
				return
			}
			w.Header().Set("Content-Type", "text/event-stream")
			for _, part := range parts {
				if part == "" {
					select {
					case <-time.After(pause):
					case <-r.Context().Done():
					}
					continue
				}
				fmt.Fprint(w, part)
				_ = http.NewResponseController(w).Flush()
			}
		})
	}
	reasoning := `data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}` + "\n\n"
	for name, test := range map[string]struct {
		address string
		failed  string
	}{
		"late":      {paced(opening, "", middle, closing, end), "first-token"},
		"late end":  {paced(opening, middle, "", closing, end), ""},
		"reasoning": {paced(opening, reasoning, "", middle, closing, end), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(t, test.address)
			c.MaxFirstToken = pause / 2
			r := Run(t.Context(), c)
			verify(t, r, test.failed)
			last := r.Checks[len(r.Checks)-1].Measured["latency"]
			if late := last.Value >= pause.Seconds(); late != (test.failed != "") || *last.Max != (pause/2).Seconds() {
				t.Errorf("%+v", last)
			}
		})
	}
}

func TestQuestion(t *testing.T) {
	t.Parallel()
	var asked []string
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked = append(asked, fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Header.Get("Authorization"), body))
		fmt.Fprint(w, good)
	})
	c := config(t, address+"/base/v1/")
	c.Header = http.Header{"Authorization": {"Bearer s3cret"}}
	verify(t, Run(t.Context(), c), "")
	want := []string{
		`POST /base/v1/chat/completions Bearer s3cret {"max_tokens":16,"messages":[{"content":"2+2?","role":"user"}],"model":"default","stream":false}`,
		`POST /base/v1/chat/completions Bearer s3cret {"max_tokens":16,"messages":[{"content":"2+2?","role":"user"}],"model":"default","stream":true,"stream_options":{"include_usage":true}}`,
	}
	if !slices.Equal(asked, want) {
		t.Errorf("asked\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(want, "\n"))
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"error":{"message":"wrong key %s"}}`, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	})
	c := config(t, address)
	c.Header = http.Header{"Authorization": {"Bearer s3cret"}}
	r := Run(t.Context(), c)
	verify(t, r, "status")
	if got := r.Checks[0].Message; got != `it answers 401, want 200, and says "wrong key [redacted]"` {
		t.Errorf("message %s", got)
	}
	if r.Streamed != nil {
		t.Error("a service that answers 401 was asked again")
	}
}

// TestRetries: no answer, and an answer of a server that is overloaded, are worth another attempt. A bad answer is not.
func TestRetries(t *testing.T) {
	t.Parallel()
	for first, want := range map[string]struct {
		asked  int32
		failed string
	}{
		"503": {asked: 3}, "429": {asked: 3}, "abort": {asked: 3},
		"404": {asked: 1, failed: "status"}, "bad": {asked: 2, failed: "json"},
	} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			c := config(t, serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if asked.Add(1) > 1 {
					fmt.Fprint(w, good)
					return
				}
				switch first {
				case "abort":
					panic(http.ErrAbortHandler)
				case "bad":
					fmt.Fprint(w, "oops")
				default:
					var status int
					_, _ = fmt.Sscan(first, &status)
					w.WriteHeader(status)
				}
			}))
			c.Retries = 1
			verify(t, Run(t.Context(), c), want.failed)
			if got := asked.Load(); got != want.asked {
				t.Errorf("asked %d times, want %d", got, want.asked)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	silent := serve(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	for address, want := range map[string]string{"http://" + l.Addr().String(): "connection refused", silent: "no whole answer within 100ms"} {
		c := config(t, address)
		c.Timeout = 100 * time.Millisecond
		r := Run(t.Context(), c)
		verify(t, r, "status")
		if !strings.Contains(r.Checks[0].Message, want) {
			t.Errorf("%+v", r.Checks)
		}
	}
}

func TestNothingMeasuredIsAnError(t *testing.T) {
	t.Parallel()
	c := config(t, "https://model.invalid")
	c.TLS = web.TLS{CAFile: "none.pem"}
	if r := Run(t.Context(), c); r.Verdict != probe.Error || !strings.Contains(r.Error, "none.pem") {
		t.Errorf("%+v", r)
	}
	stopped := errors.New("stopped")
	for _, part := range []string{`"stream":false`, `"stream":true`} {
		ctx, cancel := context.WithCancelCause(t.Context())
		r := Run(ctx, config(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			if strings.Contains(string(body), part) {
				w.Header().Set("Content-Type", "text/event-stream")
				_ = http.NewResponseController(w).Flush()
				cancel(stopped)
				<-r.Context().Done()
			}
			fmt.Fprint(w, good)
		})))
		if r.Verdict != probe.Error || !strings.Contains(r.Error, "stopped") {
			t.Errorf("%s: %+v", part, r)
		}
	}
}
