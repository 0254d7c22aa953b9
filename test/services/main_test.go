//go:build lab

// Package services releases each of the six services on real regions: good versions go through, and for each gate of
// each service a version with the fault that the gate is there for is caught by that gate and taken back.
package services

import (
	"os"
	"testing"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/test/rig"
)

// The faults have a region of their own: a user of a slow version that gave up would be held against the good one.
const (
	goodRegion  = "us-west"
	faultRegion = "us-east"
)

var fleet *rig.Fleet

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, lab.Options{Regions: []string{goodRegion, faultRegion}}, func(f *rig.Fleet) { fleet = f }))
}
