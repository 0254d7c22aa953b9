package cli

import (
	"fmt"
	"strconv"
	"time"
)

// seconds is a flag for a length of time: whole seconds, or Go's notation.
type seconds time.Duration

func (s *seconds) String() string { return time.Duration(*s).String() }
func (s *seconds) Type() string   { return "seconds" }

func (s *seconds) Set(text string) error {
	if n, err := strconv.Atoi(text); err == nil {
		text = strconv.Itoa(n) + "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is no length of time: write seconds, like 300, or 5m", text)
	}
	*s = seconds(d)
	return nil
}
