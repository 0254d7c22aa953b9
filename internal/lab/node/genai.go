package node

import (
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
	Model string `json:"model"`
}

type chatResponse struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []chatChoice `json:"choices"`
	Usage   chatUsage    `json:"usage"`
}

type chatChoice struct {
	Index        int         `json:"index"`
	Message      chatMessage `json:"message"`
	FinishReason string      `json:"finish_reason"`
}

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type chatUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// chat answers as OpenAI's chat completions do. Usage is what the metrics count, whatever the prompt: the lab
// compares versions, and the same traffic must cost the same.
func (a *app) chat(w http.ResponseWriter, r *http.Request, input, output int) int {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return a.write(w, http.StatusMethodNotAllowed, problem("want POST"))
	}
	var request chatRequest
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxChatBody)).Decode(&request); err != nil {
		return a.write(w, http.StatusBadRequest, problem("body: "+err.Error()))
	}
	a.metrics.spent(input, output)
	return a.write(w, http.StatusOK, chatResponse{
		ID:      "chatcmpl-" + a.Pod + "-" + strconv.FormatUint(a.tokens.n.Load(), 10),
		Object:  "chat.completion",
		Created: time.Now().Unix(),
		Model:   request.Model,
		Choices: []chatChoice{{
			Message:      chatMessage{Role: "assistant", Content: "This is " + a.Version + " speaking."},
			FinishReason: "stop",
		}},
		Usage: chatUsage{PromptTokens: input, CompletionTokens: output, TotalTokens: input + output},
	})
}

// tokensAt is what a request costs at point u of the sequence, times factor (0 means 1).
func tokensAt(u, factor float64) (input, output int) {
	if factor == 0 {
		factor = 1
	}
	scale := factor * (0.8 + 0.4*u)
	return max(1, int(math.Round(baseInput*scale))), max(1, int(math.Round(baseOutput*scale)))
}
