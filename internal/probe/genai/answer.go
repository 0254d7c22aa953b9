package genai

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tidegate.io/tidegate/internal/probe"
)

// completion is what is read of a chat completion, or of a chunk of one.
type completion struct {
	Choices []choice `json:"choices"`
	Usage   *usage   `json:"usage"`
	Error   *problem `json:"error"`
}

type choice struct {
	Message      *message `json:"message"`
	Delta        *message `json:"delta"`
	FinishReason string   `json:"finish_reason"`
}

type message struct {
	Role      string            `json:"role"`
	Content   string            `json:"content"`
	Reasoning string            `json:"reasoning_content"` // of servers that tell how the model came to its answer
	ToolCalls []json.RawMessage `json:"tool_calls"`
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
}

// problem is OpenAI's form of an error; others write a string. Its message is not read: servers repeat there what they were
// asked.
type problem struct{ Type, Code string }

func (p *problem) UnmarshalJSON(data []byte) error {
	var object struct{ Type, Code any }
	if json.Unmarshal(data, &object) == nil {
		p.Type, p.Code = word(object.Type), word(object.Code)
	}
	return nil
}

var wordForm = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,64}$`)

// word is what a field holds, if that is a name or a number, and not a sentence.
func word(field any) string {
	text := fmt.Sprint(field)
	if field == nil || !wordForm.MatchString(text) {
		return ""
	}
	return text
}

// kind names what kind of error a server tells of, if it says so.
func (p *problem) kind() string {
	var all []string
	if p != nil && p.Type != "" {
		all = append(all, "type "+p.Type)
	}
	if p != nil && p.Code != "" {
		all = append(all, "code "+p.Code)
	}
	if len(all) == 0 {
		return ""
	}
	return ": " + strings.Join(all, ", ")
}

// answer is what one request brought.
type answer struct {
	status  int
	body    []byte
	latency time.Duration // until the end of the body
}

// sheet collects checks.
type sheet struct {
	checks []probe.Check
	hide   func(string) string // takes secrets out of what is told of the server
}

// check adds a check, which failed if something is wrong.
func (s *sheet) check(name, wrong string, measured map[string]probe.Measure) {
	verdict := probe.Passed
	if wrong != "" {
		verdict = probe.Failed
	}
	s.checks = append(s.checks, probe.Check{Name: name, Verdict: verdict, Message: s.hide(wrong), Measured: measured})
}

// judge checks an answer that came whole: its properties, never its words. It goes as far as the answer carries it.
func (c Config) judge(s *sheet, a answer) {
	measured := map[string]probe.Measure{
		"status": {Value: float64(a.status), Unit: "status"}, "latency": probe.Took(a.latency, c.MaxLatency),
	}
	s.check("status", wrongStatus(a), measured)
	if a.status != 200 {
		return
	}
	if c.MaxLatency > 0 {
		wrong := ""
		if a.latency > c.MaxLatency {
			wrong = fmt.Sprintf("the answer took %s, want at most %s", a.latency.Round(time.Millisecond), c.MaxLatency)
		}
		s.check("latency", wrong, nil)
	}
	told, wrong := read(a.body)
	s.check("json", wrong, nil)
	if wrong != "" {
		return
	}
	c.judgeUsage(s, "", told.Usage)
	if len(told.Choices) == 0 {
		s.check("choices", "the answer offers no choice", nil)
		return
	}
	s.check("choices", "", map[string]probe.Measure{"choices": {Value: float64(len(told.Choices)), Unit: "choices"}})
	for _, each := range []struct {
		name  string
		wrong func(choice) string
	}{{"role", wrongRole}, {"content", c.wrongContent}, {"finish-reason", c.wrongFinish}, {"content-json", c.wrongJSON}} {
		if each.name == "content-json" && !c.JSON && c.Schema == nil {
			continue
		}
		wrong := ""
		for _, choice := range told.Choices {
			if wrong = each.wrong(choice); wrong != "" {
				break
			}
		}
		s.check(each.name, wrong, nil)
	}
}

func wrongStatus(a answer) string {
	if a.status == 200 {
		return ""
	}
	told, _ := read(a.body) // which may be anything, and then tells no error
	return fmt.Sprintf("it answers %d, want 200%s", a.status, told.Error.kind())
}

// read reads a body that must be one JSON object.
func read(body []byte) (completion, string) {
	var told completion
	if len(body) > maxBody {
		return told, fmt.Sprintf("the answer is longer than %d MiB", maxBody>>20)
	}
	if trimmed := bytes.TrimSpace(body); len(trimmed) == 0 || trimmed[0] != '{' {
		return told, "the answer is no JSON object"
	}
	if err := json.Unmarshal(body, &told); err != nil {
		return completion{}, "the answer is no chat completion: " + misread(err)
	}
	return told, ""
}

// misread says what is wrong with JSON. The library's own words quote some of it.
func misread(err error) string {
	var kind *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &kind) && kind.Field != "":
		return kind.Field + " is of another type"
	case errors.As(err, &syntax):
		return fmt.Sprintf("no JSON from byte %d on", syntax.Offset)
	}
	return "no JSON object"
}

func wrongRole(c choice) string {
	switch {
	case c.Message == nil:
		return "a choice has no message"
	case c.Message.Role == "":
		return "a message is by nobody, want assistant"
	case c.Message.Role != "assistant":
		return "a message is by somebody else, want assistant"
	}
	return ""
}

func (c Config) wrongContent(of choice) string {
	switch m := of.Message; {
	case m == nil:
	case strings.TrimSpace(m.Content) != "":
		return ""
	case c.finishes(toolCalls) && len(m.ToolCalls) > 0:
		return ""
	}
	return "a message has no content"
}

const toolCalls = "tool_calls"

// finishReasons are those of OpenAI's API. Any other may be anything, and is not told.
var finishReasons = []string{"stop", "length", toolCalls, "content_filter", "function_call"}

func (c Config) finishes(reason string) bool { return slices.Contains(c.Finish, reason) }

// wrongFinish accepts only the reasons asked for. A model that stops at a limit which nobody set has cut itself off.
func (c Config) wrongFinish(of choice) string {
	switch {
	case of.FinishReason == "":
		return "a choice has no finish_reason"
	case !c.finishes(of.FinishReason) && !slices.Contains(finishReasons, of.FinishReason):
		return "it finished for a reason that the API does not know, want " + strings.Join(c.Finish, " or ")
	case !c.finishes(of.FinishReason):
		return fmt.Sprintf("it finished for %s, want %s", of.FinishReason, strings.Join(c.Finish, " or "))
	case of.FinishReason == "length" && c.MaxTokens == 0:
		return "it finished for its length, though no limit was asked for"
	}
	return ""
}

func (c Config) wrongJSON(of choice) string {
	if of.Message == nil {
		return "a choice has no message"
	}
	var content any
	if json.Unmarshal([]byte(of.Message.Content), &content) != nil {
		return fmt.Sprintf("the content of %d bytes is no JSON", len(of.Message.Content))
	}
	if c.Schema == nil {
		return ""
	}
	return c.Schema.wrong(content)
}

// judgeUsage checks what the answer cost. What it is billed by must add up.
func (c Config) judgeUsage(s *sheet, prefix string, u *usage) {
	if u == nil {
		s.check(prefix+"usage", "the answer tells no usage", nil)
		return
	}
	wrong := ""
	switch {
	case u.Prompt < 1 || u.Completion < 1 || u.Total < 1:
		wrong = fmt.Sprintf("usage has %d prompt, %d completion and %d total tokens, want all above 0", u.Prompt, u.Completion, u.Total)
	case u.Prompt+u.Completion != u.Total:
		wrong = fmt.Sprintf("usage does not add up: %d prompt and %d completion tokens are not %d", u.Prompt, u.Completion, u.Total)
	}
	tokens := func(n int) probe.Measure { return probe.Measure{Value: float64(n), Unit: "tokens"} }
	s.check(prefix+"usage", wrong, map[string]probe.Measure{"prompt": tokens(u.Prompt), "total": tokens(u.Total)})
	if c.MaxTokens > 0 {
		spent, wrong := tokens(u.Completion), ""
		spent.Max = probe.Bound(float64(c.MaxTokens))
		if u.Completion > c.MaxTokens {
			wrong = fmt.Sprintf("it took %d completion tokens, want at most %d", u.Completion, c.MaxTokens)
		}
		s.check(prefix+"max-tokens", wrong, map[string]probe.Measure{"completion": spent})
	}
}
