package build

import "time"

// Phase is how far a build is.
type Phase string

// The phases, in the order in which they come. Provided, Cached and Done are the last of their build.
const (
	Provided Phase = "provided" // a binary of the user's own is taken, nothing is built
	Cached   Phase = "cached"   // it was built before
	Waiting  Phase = "waiting"  // another process builds
	Download Phase = "download" // Done modules have been asked for; how many it will be nobody knows
	Compile  Phase = "compile"  // Done packages of Total are compiled
	Link     Phase = "link"     // everything is compiled
	Done     Phase = "done"     // Total packages were compiled
)

// Event is a step of progress.
type Event struct {
	Name    string // what is built: "kubernetes" or "prometheus"; with Provided the component
	Phase   Phase
	Done    int           // modules or packages so far; see the phases
	Total   int           // packages to compile, 0 while unknown. Those in Go's own build cache do not count
	Elapsed time.Duration // since the build of Name began
	Path    string        // with Provided, the binary
}
