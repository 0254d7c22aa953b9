package web

import (
	"context"
	"math/rand/v2"
	"time"
)

// The pause before attempt n+1 is firstPause doubled n times, at most lastPause, give or take half: probes that failed
// together do not come back together.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Attempts calls try until it is content, and at most retries times more than once. It returns how often it called, and
// ctx's cause if that ended first.
func Attempts(ctx context.Context, retries int, try func() (content bool)) (made int, err error) {
	for {
		if ctx.Err() != nil {
			return made, context.Cause(ctx)
		}
		content := try()
		made++
		if content || made > retries {
			return made, nil
		}
		timer := time.NewTimer(pause(made, rand.Float64()))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return made, context.Cause(ctx)
		}
	}
}

// pause is the time after attempt n, from 1, at a dice's throw of 0 to 1.
func pause(n int, dice float64) time.Duration {
	d := lastPause
	if n < 5 {
		d = min(d, firstPause<<(n-1))
	}
	return time.Duration(float64(d) * (0.5 + dice))
}
