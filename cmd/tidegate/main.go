// Command tidegate carries a release through every region of a fleet, and takes it back out.
package main

import (
	"os"

	"tidegate.io/tidegate/internal/cli"
)

func main() {
	os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
