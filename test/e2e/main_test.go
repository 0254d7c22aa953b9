//go:build lab

// Package e2e proves Tidegate on four real regions: what it says it did is held against what the API servers and the mesh
// saw.
package e2e

import (
	"os"
	"testing"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/test/rig"
)

const (
	q2q     = "teei-q2q-ai"
	gateway = "teei-api-gateway"
)

var order = lab.DefaultRegions()

// fleet is one lab for the whole package.
var fleet *rig.Fleet

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, lab.Options{Regions: order, Services: []string{gateway, q2q}}, func(f *rig.Fleet) { fleet = f }))
}
