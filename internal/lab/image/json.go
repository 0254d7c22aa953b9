package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// document is a Behaviour as JSON; a duration is written as Go writes it.
type document struct {
	Errors       float64  `json:"errors,omitempty"`
	ClientErrors float64  `json:"clientErrors,omitempty"`
	Latency      float64  `json:"latency,omitempty"`
	Crash        bool     `json:"crash,omitempty"`
	SlowStart    string   `json:"slowStart,omitempty"`
	Tokens       float64  `json:"tokens,omitempty"`
	Garbled      bool     `json:"garbled,omitempty"`
	Quality      float64  `json:"quality,omitempty"`
	Queries      float64  `json:"queries,omitempty"`
	Vitals       float64  `json:"vitals,omitempty"`
	Page         string   `json:"page,omitempty"`
	Violations   []string `json:"violations,omitempty"`
	Unaudited    float64  `json:"unaudited,omitempty"`
}

// MarshalJSON leaves out what is healthy: the zero Behaviour is {}.
func (b Behaviour) MarshalJSON() ([]byte, error) {
	d := document{
		Errors: b.Errors, ClientErrors: b.ClientErrors, Latency: b.Latency, Crash: b.Crash, Tokens: b.Tokens, Garbled: b.Garbled,
		Quality: b.Quality, Queries: b.Queries, Vitals: b.Vitals, Page: b.Page, Violations: b.Violations, Unaudited: b.Unaudited,
	}
	if b.SlowStart != 0 {
		d.SlowStart = b.SlowStart.String()
	}
	return json.Marshal(d)
}

// UnmarshalJSON is strict: an unknown key is an error. It does not Validate.
func (b *Behaviour) UnmarshalJSON(data []byte) error {
	var d document
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return fmt.Errorf("image behaviour: %w", err)
	}
	read := Behaviour{
		Errors: d.Errors, ClientErrors: d.ClientErrors, Latency: d.Latency, Crash: d.Crash, Tokens: d.Tokens, Garbled: d.Garbled,
		Quality: d.Quality, Queries: d.Queries, Vitals: d.Vitals, Page: d.Page, Violations: d.Violations, Unaudited: d.Unaudited,
	}
	if d.SlowStart != "" {
		pause, err := time.ParseDuration(d.SlowStart)
		if err != nil {
			return fmt.Errorf("image behaviour: slowStart: %w", err)
		}
		read.SlowStart = pause
	}
	*b = read
	return nil
}
