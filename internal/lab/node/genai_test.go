package node

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidegate.io/tidegate/internal/lab/image"
)

// ask sends a chat request and reads an answer that is not streamed.
func ask(t *testing.T, web *httptest.Server, body string) (int, chatResponse) {
	t.Helper()
	response, err := try(t.Context(), web.Client(), http.MethodPost, web.URL+chatPath, body)
	if err != nil {
		t.Fatal(err)
	}
	var said chatResponse
	if err := json.Unmarshal([]byte(response.body), &said); err != nil {
		t.Fatalf("%v: %s", err, response.body)
	}
	return response.status, said
}

func TestChat(t *testing.T) {
	a, images, web := newTestApp(t)
	images.Set(testImage, image.Behaviour{Tokens: 10})
	status, said := ask(t, web, `{"model":"m","messages":[{"role":"user","content":"hello"}]}`)
	if status != http.StatusOK || said.Object != "chat.completion" || said.Model != "m" || len(said.Choices) != 1 {
		t.Fatalf("status %d, answer %+v", status, said)
	}
	stop := "stop"
	want := chatChoice{Message: &chatMessage{Role: "assistant", Content: "This is v2 speaking."}, FinishReason: &stop}
	if diff := cmp.Diff(want, said.Choices[0]); diff != "" {
		t.Errorf("choice (-want +got):\n%s", diff)
	}
	use := said.Usage
	if use.PromptTokens < 960 || use.PromptTokens > 1440 || use.TotalTokens != use.PromptTokens+use.CompletionTokens {
		t.Errorf("usage %+v, want ten times 120 ± 20 %% and a right total", use)
	}
	checkSpent(t, a, use)
	if status, _ := ask(t, web, `{`); status != http.StatusBadRequest {
		t.Errorf("a broken body answered %d", status)
	}
	if response := get(t, web.Client(), web.URL+chatPath, "Accept", "text/html"); response.status != http.StatusMethodNotAllowed {
		t.Errorf("GET answered %d", response.status)
	}
}

// checkSpent compares what the metrics say of the only request there was with what its answer said.
func checkSpent(t *testing.T, a *app, use *chatUsage) {
	t.Helper()
	counted := map[string]float64{}
	for _, kind := range []string{"input", "output"} {
		counted[kind] = exported(t, a, `genai_tokens_total{type="`+kind+`"}`)
	}
	want := map[string]float64{"input": float64(use.PromptTokens), "output": float64(use.CompletionTokens)}
	if diff := cmp.Diff(want, counted); diff != "" {
		t.Errorf("metrics and usage differ (-usage +metrics):\n%s", diff)
	}
	if cost := exported(t, a, "genai_cost_usd_total"); math.Abs(cost-(want["input"]*priceInput+want["output"]*priceOutput)) > 1e-12 {
		t.Errorf("cost %v", cost)
	}
}

func TestChatHeedsMaxTokens(t *testing.T) {
	a, _, web := newTestApp(t)
	_, said := ask(t, web, `{"max_tokens": 10}`)
	if said.Usage.CompletionTokens != 10 || *said.Choices[0].FinishReason != "length" {
		t.Errorf("usage %+v, finished by %s: want it cut at 10", said.Usage, *said.Choices[0].FinishReason)
	}
	checkSpent(t, a, said.Usage)
	if _, said := ask(t, web, `{"max_tokens": 10000}`); *said.Choices[0].FinishReason != "stop" || said.Usage.CompletionTokens < 64 {
		t.Errorf("usage %+v, finished by %s: the limit is far away", said.Usage, *said.Choices[0].FinishReason)
	}
	if status, _ := ask(t, web, `{"max_tokens": 0}`); status != http.StatusBadRequest {
		t.Errorf("no tokens at all: %d", status)
	}
}

func TestChatGarbled(t *testing.T) {
	a, images, web := newTestApp(t)
	images.Set(testImage, image.Behaviour{Garbled: true})
	response, err := try(t.Context(), web.Client(), http.MethodPost, web.URL+chatPath, `{}`)
	if err != nil || response.status != http.StatusOK || !strings.Contains(response.body, `"choices":[]`) {
		t.Errorf("status %d, %v: %s", response.status, err, response.body)
	}
	for _, chunk := range streamed(t, web, `{"stream":true}`) {
		if len(chunk.Choices) != 0 {
			t.Errorf("a garbled stream offers %+v", chunk.Choices)
		}
	}
	if got := exported(t, a, `http_requests_total{method="POST",status="200"}`); got != 2 {
		t.Errorf("%v answers look well from outside, want 2", got)
	}
}

// streamed sends a chat request and reads the events of its answer, which must end as the protocol says.
func streamed(t *testing.T, web *httptest.Server, body string) []chatResponse {
	t.Helper()
	response, err := try(t.Context(), web.Client(), http.MethodPost, web.URL+chatPath, body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := response.header.Get("Content-Type"); response.status != http.StatusOK || kind != "text/event-stream" {
		t.Fatalf("status %d, %s", response.status, kind)
	}
	text, ended := strings.CutSuffix(response.body, "data: [DONE]\n\n")
	if !ended {
		t.Fatalf("the stream does not end with [DONE]: %q", response.body)
	}
	var chunks []chatResponse
	for event := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		var chunk chatResponse
		data, found := strings.CutPrefix(event, "data: ")
		if err := json.Unmarshal([]byte(data), &chunk); !found || err != nil || chunk.Object != "chat.completion.chunk" {
			t.Fatalf("event %q: %v", event, err)
		}
		chunks = append(chunks, chunk)
	}
	return chunks
}

func TestChatStreams(t *testing.T) {
	a, _, web := newTestApp(t)
	chunks := streamed(t, web, `{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":5}`)
	last := chunks[len(chunks)-1]
	if len(last.Choices) != 0 || last.Usage == nil || last.Usage.CompletionTokens != 5 {
		t.Fatalf("last chunk %+v, want the usage and no choice", last)
	}
	checkSpent(t, a, last.Usage)
	said, finish := "", ""
	for i, chunk := range chunks[:len(chunks)-1] {
		if chunk.ID != last.ID || chunk.Model != "m" || chunk.Usage != nil || len(chunk.Choices) != 1 {
			t.Fatalf("chunk %d: %+v", i, chunk)
		}
		choice := chunk.Choices[0]
		if finish != "" || (i == 0) != (choice.Delta.Role == "assistant") {
			t.Errorf("chunk %d of role %q comes after %q", i, choice.Delta.Role, finish)
		}
		said += choice.Delta.Content
		if choice.FinishReason != nil {
			finish = *choice.FinishReason
		}
	}
	if said != "This is v2 speaking." || finish != "length" || len(chunks) < 5 {
		t.Errorf("%d chunks say %q and finish by %q", len(chunks), said, finish)
	}
	for _, chunk := range streamed(t, web, `{"stream":true}`) {
		if chunk.Usage != nil || len(chunk.Choices) != 1 {
			t.Errorf("a stream whose usage nobody asked for: %+v", chunk)
		}
	}
}
