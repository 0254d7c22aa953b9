package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// chunksOf cuts a chat completion into the chunks of a stream: who speaks, a word at a time, why it ends, and where it
// was asked for what it cost, which by OpenAI's rule is a chunk without choices.
func chunksOf(whole chatResponse, usage bool) []chatResponse {
	chunk := whole
	chunk.Object, chunk.Usage = "chat.completion.chunk", nil
	var chunks []chatResponse
	for _, choice := range whole.Choices {
		deltas := []chatMessage{{Role: choice.Message.Role}}
		for word := range strings.SplitAfterSeq(choice.Message.Content, " ") {
			deltas = append(deltas, chatMessage{Content: word})
		}
		for _, delta := range append(deltas, chatMessage{}) {
			chunk.Choices = []chatChoice{{Index: choice.Index, Delta: &delta}}
			chunks = append(chunks, chunk)
		}
		chunks[len(chunks)-1].Choices[0].FinishReason = choice.FinishReason
	}
	if len(whole.Choices) == 0 {
		chunks = append(chunks, chunk)
	}
	if usage {
		chunk.Choices, chunk.Usage = []chatChoice{}, whole.Usage
		chunks = append(chunks, chunk)
	}
	return chunks
}

// stream writes chunks as server-sent events, each as soon as it is there.
func (a *app) stream(w http.ResponseWriter, chunks []chatResponse) int {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	w.WriteHeader(http.StatusOK)
	flusher := http.NewResponseController(w)
	for _, chunk := range chunks {
		// Errors from here on are a client that has gone, or a chunk that is no JSON, which these types cannot be.
		text, _ := json.Marshal(chunk)
		fmt.Fprintf(w, "data: %s\n\n", text)
		_ = flusher.Flush()
	}
	fmt.Fprint(w, "data: [DONE]\n\n")
	return http.StatusOK
}
