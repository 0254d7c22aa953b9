package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/pflag"

	"tidegate.io/tidegate/internal/probe/visual"
)

// TestProbeScripts runs testdata/probe/*.txtar, with a service at $SERVER that is a forward proxy too: it answers for every
// host.
func TestProbeScripts(t *testing.T) {
	_, noBrowser := visual.FindBrowser("")
	if noBrowser != nil && os.Getenv("CI") != "" {
		t.Fatal(noBrowser)
	}
	server := httptest.NewServer(http.HandlerFunc(probed))
	t.Cleanup(server.Close)
	testscript.Run(t, testscript.Params{
		Dir: "testdata/probe",
		Setup: func(e *testscript.Env) error {
			e.Setenv("SERVER", server.URL)
			return nil
		},
		Condition: func(word string) (bool, error) {
			if word != "browser" {
				return false, fmt.Errorf("unknown condition %s", word)
			}
			return noBrowser == nil, nil
		},
	})
}

// probed is a service to probe.
func probed(w http.ResponseWriter, r *http.Request) {
	const usage = `"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}`
	switch r.URL.Path {
	case "/v1/chat/completions":
		if body, _ := io.ReadAll(r.Body); !strings.Contains(string(body), `"stream":true`) {
			fmt.Fprint(w, `{"choices":[{"message":{"role":"assistant","content":"{\"sum\":4}"},"finish_reason":"stop"}],`, usage, `}`)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, `data: {"choices":[{"delta":{"role":"assistant","content":"four"},"finish_reason":"stop"}],`, usage, "}\n\ndata: [DONE]\n\n")
	case "/created":
		w.WriteHeader(http.StatusCreated)
	case "/broken":
		w.WriteHeader(http.StatusInternalServerError)
	case "/login":
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, "who are you?")
	case "/private":
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusForbidden)
		}
	case "/version":
		fmt.Fprintf(w, `<!doctype html><link rel=icon href="data:,"><body>the same<h1 style="font-size:99px">on %s`, strings.TrimSuffix(r.Host, ".invalid"))
	case "/private-page":
		http.Redirect(w, r, "/same", http.StatusFound)
	case "/wide":
		fmt.Fprint(w, `<!doctype html><link rel=icon href="data:,"><main style="position:fixed;inset:0 0 20% 0">the same</main>`)
	case "/same":
		fmt.Fprint(w, `<!doctype html><link rel=icon href="data:,"><body>the same`)
	default:
		fmt.Fprint(w, "ok from ", r.Host[:strings.LastIndex(r.Host+":", ":")])
	}
}

// TestInterruptedProbe: who stops a probe gets its document, in which nothing has passed.
func TestInterruptedProbe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	for _, probe := range []string{"smoke", "genai"} {
		var out, err bytes.Buffer
		code := runArgs(ctx, streams{in: strings.NewReader(""), out: &out, err: &err}, []string{"probe", probe, server.URL})
		if code != exitInterrupted || !strings.Contains(out.String(), `"verdict": "error"`) || !strings.Contains(err.String(), "interrupted") {
			t.Errorf("%s: code %d\n%s%s", probe, code, out.String(), err.String())
		}
	}
}

// TestEveryFlagIsDocumented: the page names each flag of each probe.
func TestEveryFlagIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/probe.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, cmd := range newProbe(streams{}).Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if !strings.Contains(string(page), "`--"+f.Name+"`") {
				t.Errorf("docs/probe.md does not say what --%s of %s means", f.Name, cmd.Name())
			}
		})
	}
}
