package cli

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab/image"
)

// behaviour is an image's behaviour as flags. The zero value of a flag is healthy.
type behaviour struct{ image.Behaviour }

func (b *behaviour) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.Var((*share)(&b.Errors), "errors", "share of requests answered with 500, like 5%")
	f.Var((*share)(&b.ClientErrors), "client-errors", "share of requests answered with 400, like 5%")
	f.Var((*factor)(&b.Latency), "latency", "how many times slower it answers, like 2x")
	f.BoolVar(&b.Crash, "crash", false, "it exits right after its start")
	f.DurationVar(&b.SlowStart, "slow-start", 0, "time from its start until it is ready, like 20s")
	f.Var((*factor)(&b.Tokens), "tokens", "how many times more tokens it takes, like 1.4x")
	f.BoolVar(&b.Garbled, "garbled", false, "its GenAI answers break the protocol: they offer no choice")
	f.Var((*quality)(&b.Quality), "quality", "mean quality score of its AI answers, like 60%; a healthy image's is about 90%")
	f.Var((*factor)(&b.Queries), "queries", "how many times longer its ClickHouse queries take, like 10x")
	f.Var((*factor)(&b.Vitals), "vitals", "how many times worse its web vitals are, like 3x")
	f.StringVar(&b.Page, "page", "", "how its HTML page differs: "+strings.Join(image.Pages(), ", "))
	f.StringSliceVar(&b.Violations, "violation", nil, "kinds of GDPR violation that each request reports: residency, pii")
	f.Var((*share)(&b.Unaudited), "unaudited", "share of requests that are not written to the audit trail, like 10%")
	_ = cmd.RegisterFlagCompletionFunc("page", cobra.FixedCompletions(image.Pages(), cobra.ShellCompDirectiveNoFileComp))
}

// describeImage writes a behaviour as the flags that tell it.
func describeImage(b image.Behaviour) string {
	var words []string
	add := func(is bool, flag string, value ...string) {
		if is {
			words = append(words, strings.Join(append([]string{"--" + flag}, value...), " "))
		}
	}
	add(b.Errors > 0, "errors", percent(b.Errors))
	add(b.ClientErrors > 0, "client-errors", percent(b.ClientErrors))
	add(b.Latency > 0, "latency", times(b.Latency))
	add(b.Crash, "crash")
	add(b.SlowStart > 0, "slow-start", b.SlowStart.String())
	add(b.Tokens > 0, "tokens", times(b.Tokens))
	add(b.Garbled, "garbled")
	add(b.Quality > 0, "quality", percent(b.Quality))
	add(b.Queries > 0, "queries", times(b.Queries))
	add(b.Vitals > 0, "vitals", times(b.Vitals))
	add(b.Page != "", "page", b.Page)
	add(len(b.Violations) > 0, "violation", strings.Join(b.Violations, ","))
	add(b.Unaudited > 0, "unaudited", percent(b.Unaudited))
	return strings.Join(words, " ")
}

// share is a flag like 5% or 0.05.
type share float64

func (s *share) String() string { return percent(float64(*s)) }
func (s *share) Type() string   { return "percent" }
func (s *share) Set(text string) error {
	number, isPercent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if isPercent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return fmt.Errorf("%q is no share: write 5%%, or 0.05", text)
	}
	*s = share(v)
	return nil
}

// quality is a share that must not be 0, which is how a behaviour says that it is a healthy one's.
type quality float64

func (q *quality) String() string { return percent(float64(*q)) }
func (q *quality) Type() string   { return "percent" }
func (q *quality) Set(text string) error {
	var s share
	if err := s.Set(text); err != nil || s == 0 {
		return fmt.Errorf("%q is no quality: write 60%%, or 0.6; it must be above 0", text)
	}
	*q = quality(s)
	return nil
}

// factor is a flag like 2x or 2.
type factor float64

func (f *factor) String() string { return times(float64(*f)) }
func (f *factor) Type() string   { return "factor" }
func (f *factor) Set(text string) error {
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "x"), 64)
	if err != nil || !(v > 0) {
		return fmt.Errorf("%q is no factor: write 2x, or 1.4x", text)
	}
	*f = factor(v)
	return nil
}

// percent writes a share with as many digits as anybody types: 0.07 is 7 %, not 7.000000000000001 %. Nothing is written
// for 0, as in help, where it is no default but what a healthy image does.
func percent(v float64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v*100, 'g', 12, 64) + "%"
}

// times writes a factor; nothing for 0, as percent does.
func times(v float64) string {
	if v == 0 {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64) + "x"
}
