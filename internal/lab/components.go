package lab

import (
	"context"
	"fmt"
	"time"

	"tidegate.io/tidegate/internal/lab/build"
)

// Build returns the components' binaries, built first where they are not in the cache yet: minutes the first time,
// milliseconds after that. cache is the folder that keeps them; "" is the user's own. progress may be nil.
func Build(ctx context.Context, cache string, progress func(Event)) (build.Binaries, error) {
	options, err := build.DefaultOptions()
	if err != nil {
		return build.Binaries{}, err
	}
	if cache != "" {
		options.Cache = cache
	}
	if progress != nil {
		options.Progress = func(e build.Event) { progress(buildEvent(e)) }
	}
	return build.Ensure(ctx, options)
}

// buildEvent tells a step of a build in the words of the lab. Took is set once the build is done.
func buildEvent(e build.Event) Event {
	event := Event{Step: "build " + e.Name}
	switch e.Phase {
	case build.Provided:
		event.Message = "taken from " + e.Path
	case build.Waiting:
		event.Message = "another process builds it"
	case build.Download:
		event.Message = fmt.Sprintf("%d modules", e.Done)
	case build.Compile:
		event.Message = fmt.Sprintf("%d of %d packages", e.Done, e.Total)
	case build.Link:
		event.Message = "linking"
	case build.Done:
		event.Took = max(e.Elapsed, time.Millisecond)
	}
	return event
}
