//go:build lab

// Package gates proves that every gate can pass and can fail: each metric of each analysis template is run by the real
// controller against a real Prometheus, on series whose true value is known to the last digit.
package gates

import (
	"os"
	"testing"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/test/rig"
)

const (
	region    = "us-west"
	namespace = "default"
)

var fleet *rig.Fleet

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, lab.Options{Regions: []string{region}, Empty: true}, func(f *rig.Fleet) { fleet = f }))
}
