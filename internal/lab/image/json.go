package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// document is a Behaviour as JSON; a duration is written as Go writes it.
type document struct {
	Errors     float64  `json:"errors,omitempty"`
	Latency    float64  `json:"latency,omitempty"`
	Crash      bool     `json:"crash,omitempty"`
	SlowStart  string   `json:"slowStart,omitempty"`
	Tokens     float64  `json:"tokens,omitempty"`
	Violations []string `json:"violations,omitempty"`
}

// MarshalJSON leaves out what is healthy: the zero Behaviour is {}.
func (b Behaviour) MarshalJSON() ([]byte, error) {
	d := document{Errors: b.Errors, Latency: b.Latency, Crash: b.Crash, Tokens: b.Tokens, Violations: b.Violations}
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
	read := Behaviour{Errors: d.Errors, Latency: d.Latency, Crash: d.Crash, Tokens: d.Tokens, Violations: d.Violations}
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
