package genai

import (
	"cmp"
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
	"testing/iotest"
	"testing/synctest"
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

// config asks for what good and the stream of opening to end are. Its limits are for those who come to a standstill, not for
// those who are slow.
func config(t *testing.T, address string) Config {
	t.Helper()
	base, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return Config{
		Base: base, Model: "default", Prompt: "2+2?", MaxTokens: 16, Finish: []string{"stop"}, Timeout: time.Minute,
		MaxFirstToken: time.Minute,
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

// TestFirstToken: what counts is the first word, not the first event, and not the end. Its clock goes on only while all wait,
// so that a slow machine makes no token late.
func TestFirstToken(t *testing.T) {
	t.Parallel()
	const pause, step = 150 * time.Millisecond, time.Millisecond
	reasoning := `data: {"choices":[{"delta":{"reasoning_content":"hm"}}]}` + "\n\n"
	for name, test := range map[string]struct {
		parts  []string // each a step after the one before it; an empty one is a pause
		first  time.Duration
		failed string
	}{
		"late":      {[]string{opening, "", middle, closing, end}, pause + 2*step, "first-token"},
		"late end":  {[]string{opening, middle, "", closing, end}, 2 * step, ""},
		"reasoning": {[]string{opening, reasoning, "", middle, closing, end}, 2 * step, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := config(t, "http://model")
				c.MaxFirstToken = pause / 2
				s := &sheet{hide: c.hide}
				runner{c, piped(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					for _, part := range test.parts {
						if part == "" {
							<-time.After(pause)
							continue
						}
						<-time.After(step)
						fmt.Fprint(w, part)
						_ = http.NewResponseController(w).Flush()
					}
				})}.stream(t.Context(), s)
				r := Result{Result: probe.New("genai")}
				r.Checks = s.checks
				r.Conclude(0)
				verify(t, r, test.failed)
				last := r.Checks[len(r.Checks)-1].Measured["latency"]
				if last.Value != test.first.Seconds() || *last.Max != (pause/2).Seconds() {
					t.Errorf("%+v, want %s", last, test.first)
				}
			})
		})
	}
}

// piped is the way to a server in memory: who waits on a network does not let a fake clock go on.
func piped(t *testing.T, handler http.HandlerFunc) http.RoundTripper {
	t.Helper()
	conns := pipes{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(conns) }() // which ends with an error, that it was closed
	t.Cleanup(func() { _ = server.Close() })
	return &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		near, far := net.Pipe()
		select {
		case conns.accepted <- far:
			return near, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

// pipes is a listener for connections in memory.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error   { close(p.closed); return nil }
func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }

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
		key := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		fmt.Fprintf(w, `{"error":{"message":"wrong key %[1]s","type":"invalid_request_error","param":"%[1]s","code":"no_%[1]s"}}`, key)
	})
	c := config(t, address)
	c.Header = http.Header{"Authorization": {"Bearer s3cret"}}
	r := Run(t.Context(), c)
	verify(t, r, "status")
	if got := r.Checks[0].Message; got != "it answers 401, want 200: type invalid_request_error, code no_[redacted]" {
		t.Errorf("message %s", got)
	}
	if r.Streamed != nil {
		t.Error("a service that answers 401 was asked again")
	}
}

// TestNothingOfABodyIsTold: what a model says is its users', and logs are read by many. Of an error, its kind alone is told.
func TestNothingOfABodyIsTold(t *testing.T) {
	t.Parallel()
	event := func(chunk string) string { return opening + middle + "data: " + chunk + "\n\n" + closing + end }
	swap := func(old, with string) string { return strings.Replace(good, old, with, 1) }
	for name, test := range map[string]struct {
		status          int
		whole, streamed string // empty: good
		told            string
	}{
		"an error":                 {status: 400, whole: `{"error":{"message":"s3cret","type":"invalid_request_error","code":"bad_4"}}`, told: "400, want 200: type invalid_request_error, code bad_4"},
		"an error by number":       {status: 400, whole: `{"error":{"message":"s3cret","type":null,"code":400}}`, told: "400, want 200: code 400"},
		"an error's kind is long":  {status: 400, whole: `{"error":{"type":"s3cret and more","code":["s3cret"]}}`, told: "400, want 200"},
		"an error's text":          {status: 400, whole: `{"error":"s3cret"}`, told: "400, want 200"},
		"an error of another form": {status: 400, whole: `{"type":"s3cret","code":"s3cret","detail":"s3cret"}`, told: "400, want 200"},
		"no JSON":                  {status: 400, whole: `s3cret`, told: "400, want 200"},
		"an answer that is none":   {whole: `{"s3cret`, told: "no chat completion: no JSON from byte 8 on"},
		"another type":             {whole: swap(`"assistant"`, `53537`), told: "no chat completion: choices.message.role is of another type"},
		"another role":             {whole: swap(`"assistant"`, `"s3cret"`), told: "a message is by somebody else, want assistant"},
		"another reason":           {whole: swap(`"stop"`, `"s3cret"`), told: "it finished for a reason that the API does not know, want stop"},
		"a reason that is known":   {whole: swap(`"stop"`, `"content_filter"`), told: "it finished for content_filter, want stop"},
		"an event is an error":     {streamed: event(`{"error":{"message":"s3cret","type":"server_error"}}`), told: "event 3 is an error: type server_error"},
		"an event is a text":       {streamed: event(`{"error":"s3cret"}`), told: "event 3 is an error"},
		"an event is no JSON":      {streamed: event(`s3cret`), told: "event 3 is no chunk of a chat completion: no JSON from byte 1 on"},
		"an event is a number":     {streamed: event(`53537`), told: "event 3 is no chunk of a chat completion: no JSON object"},
		"an event by another":      {streamed: event(`{"choices":[{"delta":{"role":"s3cret"}}]}`), told: "event 3 is by somebody else, want assistant"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole, streamed := cmp.Or(test.whole, good), cmp.Or(test.streamed, opening+middle+closing+end)
			c := config(t, serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if strings.Contains(string(body), `"stream":true`) {
					w.Header().Set("Content-Type", "text/event-stream")
					fmt.Fprint(w, streamed)
					return
				}
				w.WriteHeader(cmp.Or(test.status, http.StatusOK))
				fmt.Fprint(w, whole)
			}))
			r := Run(t.Context(), c)
			var messages []string
			for _, check := range r.Checks {
				messages = append(messages, check.Message)
			}
			said := strings.Join(messages, "\n")
			if r.Verdict != probe.Failed || !strings.Contains(said+"\n", test.told+"\n") || strings.Contains(said, "s3cret") || strings.Contains(said, "53537") {
				t.Errorf("%s, %q, want %q", r.Verdict, messages, test.told)
			}
		})
	}
}

// TestABrokenStreamIsNotQuoted: what comes after the last event may be anything.
func TestABrokenStreamIsNotQuoted(t *testing.T) {
	t.Parallel()
	var s stream
	s.readEvents(iotest.ErrReader(errors.New(`malformed MIME header line: "s3cret"`)), func() time.Duration { return 0 })
	if want := "the stream breaks off after 0 events: malformed MIME header line: [redacted]"; s.wrong != want {
		t.Errorf("%s, want %s", s.wrong, want)
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

// TestSilence: no answer, or none that can be read.
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
	garbled := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\ns3cret\r\n\r\n")
		conn.Close()
	})
	for _, test := range []struct {
		address string
		timeout time.Duration
		want    string
	}{
		{"http://" + l.Addr().String(), time.Minute, "connection refused"},
		{garbled, time.Minute, "malformed MIME header: missing colon: [redacted]"},
		{silent, 100 * time.Millisecond, "no whole answer within 100ms"},
	} {
		c := config(t, test.address)
		c.Timeout = test.timeout
		r := Run(t.Context(), c)
		verify(t, r, "status")
		if !strings.Contains(r.Checks[0].Message, test.want) {
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
