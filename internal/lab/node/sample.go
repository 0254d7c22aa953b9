package node

import (
	"cmp"
	"math"
)

// What a healthy image reports of a request that it served, beside its time. These are numbers alone: nothing is asked
// of a ClickHouse, and no browser paints. Each healthy percentile is at most half of what the gates allow.
const (
	baseQuality   = 0.9 // mean score of an AI answer
	qualitySpread = 0.08

	baseQuery   = 0.2  // seconds, the median
	querySpread = 0.55 // its 95th percentile is 0.5 s

	baseLCP      = 1.0  // seconds, the median; its 75th percentile is 1.2 s
	baseINP      = 0.07 // seconds; 0.083 s
	baseCLS      = 0.04 // of the window's area; 0.047
	vitalsSpread = 0.25
)

// sample is what one request reports.
type sample struct {
	quality, query, lcp, inp, cls float64
}

// qualityAt is a score at point u of the sequence. The spread narrows near 0 and 1, so that the mean stays the mean.
func qualityAt(u, mean float64) float64 {
	mean = cmp.Or(mean, baseQuality)
	return mean + (2*u-1)*min(qualitySpread, mean, 1-mean)
}

// queryAt is the time of a ClickHouse query at quantile u, times factor (0 means 1), in seconds.
func queryAt(u, factor float64) float64 {
	return logNormal(u, baseQuery, querySpread) * cmp.Or(factor, 1)
}

// vitalsAt are a page's web vitals at quantile u, times factor (0 means 1). A page that paints late answers late, too.
func vitalsAt(u, factor float64) (lcp, inp, cls float64) {
	scale := logNormal(u, 1, vitalsSpread) * cmp.Or(factor, 1)
	return baseLCP * scale, baseINP * scale, baseCLS * scale
}

// logNormal is the value at quantile u, 0 to 1. The far tail is cut off.
func logNormal(u, median, spread float64) float64 {
	z := math.Sqrt2 * math.Erfinv(2*min(max(u, 0.001), 0.999)-1)
	return median * math.Exp(spread*z)
}
