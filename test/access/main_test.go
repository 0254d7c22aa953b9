//go:build lab

// Package access proves, on a real region, who may do what: that each account of k8s/base/tidegate may do what its work
// asks for and not one verb more, that the API server takes every manifest, and that the brief's commands work as they
// stand.
package access

import (
	"os"
	"testing"

	"tidegate.io/tidegate/internal/lab"
	"tidegate.io/tidegate/test/rig"
)

const (
	region    = "us-west"
	namespace = "default" // of the Rollouts
	q2q       = "teei-q2q-ai"
	gateway   = "teei-api-gateway"
)

// fleet is one lab of one region for the whole package, with one service of each strategy.
var fleet *rig.Fleet

func TestMain(m *testing.M) {
	os.Exit(rig.Main(m, lab.Options{Regions: []string{region}, Services: []string{q2q, gateway}}, func(f *rig.Fleet) { fleet = f }))
}
