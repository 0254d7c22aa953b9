package node

import (
	"cmp"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"time"
)

const chatPath = "/v1/chat/completions"

// Tokens that a healthy image spends on a request, give or take a fifth.
const (
	baseInput  = 120
	baseOutput = 80
)

// maxChatBody bounds what is read of a request, in bytes.
const maxChatBody = 1 << 20

type chatRequest struct {
	Model         string `json:"model"`
	MaxTokens     *int   `json:"max_tokens"`
	Stream        bool   `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

type chatResponse struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []chatChoice `json:"choices"`
	Usage   *chatUsage   `json:"usage,omitempty"`
}

// chatChoice has a message, or in a chunk of a stream a delta and, but in the last of them, no reason to finish.
type chatChoice struct {
	Index        int          `json:"index"`
	Message      *chatMessage `json:"message,omitempty"`
	Delta        *chatMessage `json:"delta,omitempty"`
	FinishReason *string      `json:"finish_reason"`
}

type chatMessage struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content,omitempty"`
}

type chatUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// chat answers as OpenAI's chat completions do, whole or as a stream. Usage is what the metrics count, whatever the
// prompt: the lab compares versions, and the same traffic must cost the same. A garbled answer offers no choice.
func (a *app) chat(w http.ResponseWriter, r *http.Request, input, output int, garbled bool) int {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return a.write(w, http.StatusMethodNotAllowed, problem("want POST"))
	}
	var request chatRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChatBody)).Decode(&request); err != nil {
		return a.write(w, http.StatusBadRequest, problem("body: "+err.Error()))
	}
	finish := "stop"
	if limit := request.MaxTokens; limit != nil {
		if *limit < 1 {
			return a.write(w, http.StatusBadRequest, problem("max_tokens: want 1 or more"))
		}
		if *limit < output {
			output, finish = *limit, "length"
		}
	}
	a.metrics.spent(input, output)
	whole := chatResponse{
		ID:      "chatcmpl-" + a.Pod + "-" + strconv.FormatUint(a.draw.tokens.n.Load(), 10),
		Object:  "chat.completion",
		Created: time.Now().Unix(),
		Model:   request.Model,
		Choices: []chatChoice{{
			Message:      &chatMessage{Role: "assistant", Content: "This is " + a.Version + " speaking."},
			FinishReason: &finish,
		}},
		Usage: &chatUsage{PromptTokens: input, CompletionTokens: output, TotalTokens: input + output},
	}
	if garbled {
		whole.Choices = []chatChoice{}
	}
	if request.Stream {
		return a.stream(w, chunksOf(whole, request.StreamOptions.IncludeUsage))
	}
	return a.write(w, http.StatusOK, whole)
}

// tokensAt is what a request costs at point u of the sequence, times factor (0 means 1).
func tokensAt(u, factor float64) (input, output int) {
	scale := cmp.Or(factor, 1) * (0.8 + 0.4*u)
	return max(1, int(math.Round(baseInput*scale))), max(1, int(math.Round(baseOutput*scale)))
}
