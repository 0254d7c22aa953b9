package genai

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tidegate.io/tidegate/internal/probe"
	"tidegate.io/tidegate/internal/probe/web"
)

// stream is an answer to a request for a stream.
type stream struct {
	status   int
	streamed bool          // the server answered in events, not whole
	first    time.Duration // to the first token, or to the first byte of an answer that came whole; 0: none came
	events   int
	done     bool // [DONE] arrived
	text     bool // some content arrived
	finish   string
	usage    *usage
	wrong    string // what broke the protocol first
	body     []byte // of an answer that came whole
}

// readEvents reads server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) until [DONE] or
// the end, at most maxBody bytes of them. clock tells the time since the request was sent.
func (s *stream) readEvents(from io.Reader, clock func() time.Duration) {
	lines := bufio.NewReader(io.LimitReader(from, maxBody))
	var data []string
	for {
		line, err := lines.ReadString('\n')
		line = strings.TrimRight(line, "\r\n")
		if value, ok := strings.CutPrefix(line, "data:"); ok {
			data = append(data, strings.TrimPrefix(value, " "))
		}
		// A server that closes right after its last line means that line, too.
		if len(data) > 0 && (line == "" || errors.Is(err, io.EOF)) {
			s.event(strings.Join(data, "\n"), clock())
			data = nil
		}
		switch {
		case s.done:
			return
		case errors.Is(err, io.EOF):
			s.breaks("the stream of %d events ends without [DONE]", s.events)
			return
		case err != nil:
			s.breaks("the stream breaks off after %d events: %s", s.events, web.Reason(err))
			return
		}
	}
}

// breaks notes how the protocol was broken, the first time.
func (s *stream) breaks(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
	}
}

// event takes in one event, which came at the given time.
func (s *stream) event(data string, at time.Duration) {
	if data == "[DONE]" {
		s.done = true
		return
	}
	s.events++
	var chunk completion
	if err := json.Unmarshal([]byte(data), &chunk); err != nil {
		s.breaks("event %d is no chunk of a chat completion: %s", s.events, misread(err))
		return
	}
	if chunk.Error != nil {
		s.breaks("event %d is an error%s", s.events, chunk.Error.kind())
	}
	if chunk.Usage != nil {
		s.usage = chunk.Usage
	}
	for _, c := range chunk.Choices {
		if c.FinishReason != "" {
			s.finish = c.FinishReason
		}
		if c.Delta == nil {
			continue
		}
		if role := c.Delta.Role; role != "" && role != "assistant" {
			s.breaks("event %d is by somebody else, want assistant", s.events)
		}
		answers := c.Delta.Content != "" || len(c.Delta.ToolCalls) > 0
		s.text = s.text || answers
		if s.first == 0 && (answers || c.Delta.Reasoning != "") {
			s.first = at
		}
	}
}

// judgeStream checks an answer to a request for a stream. A server that answers whole, as one may, is held to the first
// token alone: the rest has been checked.
func (c Config) judgeStream(s *sheet, got stream) {
	s.check("stream-status", wrongStatus(answer{status: got.status, body: got.body}),
		map[string]probe.Measure{"status": {Value: float64(got.status), Unit: "status"}})
	if got.status != 200 {
		return
	}
	if got.streamed {
		s.check("stream-protocol", got.wrong, map[string]probe.Measure{"events": {Value: float64(got.events), Unit: "events"}})
		wrong := ""
		if !got.text {
			wrong = "no event brings content"
		}
		s.check("stream-content", wrong, nil)
		s.check("stream-finish-reason", c.wrongFinish(choice{FinishReason: got.finish}), nil)
		if got.usage != nil { // which not every server sends, asked or not
			c.judgeUsage(s, "stream-", got.usage)
		}
	} else {
		told, wrong := read(got.body)
		if wrong == "" && len(told.Choices) == 0 {
			wrong = "the answer offers no choice"
		}
		s.check("stream-content", wrong, nil)
	}
	wrong := ""
	switch {
	case got.first == 0:
		wrong = "no token came"
	case c.MaxFirstToken > 0 && got.first > c.MaxFirstToken:
		wrong = fmt.Sprintf("the first token came after %s, want at most %s", got.first.Round(time.Millisecond), c.MaxFirstToken)
	}
	s.check("first-token", wrong, map[string]probe.Measure{"latency": probe.Took(got.first, c.MaxFirstToken)})
}
