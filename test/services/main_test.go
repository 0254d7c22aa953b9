//go:build lab

// Package services releases each of the six services on a real region: good versions go through, and for each gate of
// each service a version with the fault that the gate is there for is caught by that gate and taken back.
package services

import (
	"os"
	"testing"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/test/rig"
)

const region = "us-west"

var fleet *rig.Fleet

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, lab.Options{Regions: []string{region}}, func(f *rig.Fleet) { fleet = f }))
}
