package region

import (
	"crypto/rand"
	"time"

	"tidegate.io/tidegate/internal/lab/build"
)

// NewConfig makes up the credentials of a region.
func NewConfig(name, dir string, binaries build.Binaries, ports Ports) (Config, error) {
	pki, err := NewPKI(name, time.Now())
	if err != nil {
		return Config{}, err
	}
	return Config{
		Name: name, Dir: dir, Binaries: binaries, Ports: ports, PKI: pki,
		Tokens: Tokens{Admin: rand.Text(), Lab: rand.Text(), ControllerManager: rand.Text(), Prometheus: rand.Text()},
	}, nil
}
