package node

import (
	"hash/fnv"
	"math"
	"sync/atomic"
)

// Steps of the sequences: independent irrationals, so that slow requests are no likelier to fail than others. Those
// whose fractions are hard to approximate spread best.
const (
	stepErrors  = math.Phi - 1
	stepLatency = math.Sqrt2 - 1
	stepTokens  = 0.7320508075688772 // √3 - 1
	stepQuality = 0.6457513110645906 // √7 - 2
	stepQueries = 0.4494897427831781 // √6 - 2
	stepVitals  = 0.5866068747318506 // (√221 - 9) / 10
	stepAudit   = 0.3166247903553998 // √11 - 3
)

// sequences are what one life of a container draws from, one for each thing that may go wrong by itself.
type sequences struct {
	errors, latency, tokens, quality, queries, vitals, audit *sequence
}

func newSequences(seed string) sequences {
	return sequences{
		errors:  newSequence(seed, stepErrors),
		latency: newSequence(seed, stepLatency),
		tokens:  newSequence(seed, stepTokens),
		quality: newSequence(seed, stepQuality),
		queries: newSequence(seed, stepQueries),
		vitals:  newSequence(seed, stepVitals),
		audit:   newSequence(seed, stepAudit),
	}
}

// sequence spreads numbers over [0, 1) more evenly than chance does: of any 100 in a row, 5 ± 1 are below 0.05.
// So a share of 5 % is 5 % after a few requests, in every run.
type sequence struct {
	start, step float64
	n           atomic.Uint64
}

// newSequence starts at a point of the seed's own: pods that begin together must not fail together.
func newSequence(seed string, step float64) *sequence {
	hash := fnv.New64a()
	hash.Write([]byte(seed))
	return &sequence{start: float64(hash.Sum64()>>11) / (1 << 53), step: step}
}

func (s *sequence) next() float64 {
	_, fraction := math.Modf(s.start + float64(s.n.Add(1))*s.step)
	return fraction
}
