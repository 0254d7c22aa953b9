package lapse

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// divide is d/n to the millisecond, the finest that PromQL knows. It never goes below floor (nor makes a shorter d
// grow to it), and what was not zero does not become zero.
func divide(d time.Duration, n int64, floor time.Duration) time.Duration {
	if d < 0 {
		return -divide(-d, n, floor)
	}
	short := (d / time.Duration(n)).Round(time.Millisecond)
	return min(d, max(short, floor, time.Millisecond))
}

// wholeSeconds is v/n rounded up: half a second of pause is one second, not none.
func wholeSeconds(v, n int64) int64 {
	if v <= 0 {
		return v
	}
	return (v-1)/n + 1
}

// seconds divides a field that counts whole seconds; other types are the API server's to refuse.
func (l *lapse) seconds(m map[string]any, keys ...string) {
	for _, key := range keys {
		switch v := m[key].(type) {
		case int64:
			m[key] = wholeSeconds(v, l.n)
		case float64:
			m[key] = float64(wholeSeconds(int64(math.Ceil(v)), l.n))
		}
	}
}

// goDuration divides a Go duration, the kind that Argo's own fields hold.
func goDuration(s string, n int64, floor time.Duration) (string, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return "", fmt.Errorf("%q is not a duration", s)
	}
	return format(divide(d, n, floor)), nil
}

// promDuration divides what stands for a duration in PromQL: units (5m, 1w2d) or a bare number of seconds.
func promDuration(s string, n int64, floor time.Duration) (string, error) {
	if d, err := model.ParseDuration(s); err == nil {
		if d == 0 {
			return s, nil
		}
		return model.Duration(divide(time.Duration(d), n, floor)).String(), nil
	}
	seconds, err := number(s)
	if err != nil || math.Abs(seconds) > math.MaxInt64/1e9 {
		return "", fmt.Errorf("%q is not a duration", s)
	}
	d := time.Duration(math.Round(seconds * float64(time.Second)))
	return strconv.FormatFloat(divide(d, n, floor).Seconds(), 'f', -1, 64), nil
}

// eitherDuration divides the value of an argument. It may be put into PromQL and into Argo's fields alike, so the
// result is in the units that both understand.
func eitherDuration(s string, n int64, floor time.Duration) (string, error) {
	if d, err := model.ParseDuration(s); err == nil {
		return format(divide(time.Duration(d), n, floor)), nil
	}
	if short, err := goDuration(s, n, floor); err == nil {
		return short, nil
	}
	return promDuration(s, n, floor)
}

// number reads a number as PromQL does: 300, 0x12c, 1_000 or 3e2.
func number(s string) (float64, error) {
	if i, err := strconv.ParseInt(s, 0, 64); err == nil {
		return float64(i), nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
		err = strconv.ErrRange
	}
	return f, err
}

// format writes a duration as a person would: 30s, 1m30s, 7s500ms. Go and PromQL both read it.
func format(d time.Duration) string {
	switch {
	case d < 0:
		return "-" + format(-d)
	case d == 0 || d%time.Millisecond != 0:
		return d.String()
	}
	var b strings.Builder
	for _, unit := range []struct {
		name string
		size time.Duration
	}{{"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}, {"ms", time.Millisecond}} {
		if count := d / unit.size; count > 0 {
			fmt.Fprintf(&b, "%d%s", count, unit.name)
			d -= count * unit.size
		}
	}
	return b.String()
}
