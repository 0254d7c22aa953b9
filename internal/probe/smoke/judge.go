package smoke

import (
	"bytes"
	"fmt"
	"time"
)

// answer is what one attempt brought.
type answer struct {
	status   int
	location string // where a redirect leads, without its query
	body     []byte
	cut      bool // the body was longer
	latency  time.Duration
	expires  time.Time // the end of the server's certificate; zero where there is none
}

// judge lists what is wrong with an answer. It quotes nothing of the body, which may tell what is nobody's business.
func (e Endpoint) judge(a answer, now time.Time, minCertDays int) []string {
	var wrong []string
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if !e.goodStatus(a.status) {
		to := ""
		if a.location != "" {
			to = " to " + a.location + " (redirects are not followed)"
		}
		add("it answers %d%s, want %s", a.status, to, e.wantedStatus())
	}
	where := fmt.Sprintf("its body of %d bytes", len(a.body))
	if a.cut {
		where = fmt.Sprintf("the first %d bytes of its body", len(a.body))
	}
	if e.BodyRegex != nil && !e.BodyRegex.Match(a.body) {
		add("%s does not match /%s/", where, e.BodyRegex)
	}
	if e.BodyContains != "" && !bytes.Contains(a.body, []byte(e.BodyContains)) {
		add("%s does not contain %q", where, e.BodyContains)
	}
	if e.MaxLatency > 0 && a.latency > e.MaxLatency {
		add("it took %s, want at most %s", a.latency.Round(time.Millisecond), e.MaxLatency)
	}
	if left := a.daysLeft(now); minCertDays > 0 && left < float64(minCertDays) {
		add("its certificate expires in %.1f days, want at least %d: renew it", left, minCertDays)
	}
	return wrong
}

// daysLeft is the time until the server's certificate expires, in days. Without a certificate there are none left.
func (a answer) daysLeft(now time.Time) float64 {
	if a.expires.IsZero() {
		return 0
	}
	return a.expires.Sub(now).Hours() / 24
}
