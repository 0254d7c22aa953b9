// Package visual compares what a browser shows of two versions of a service, pixel by pixel.
package visual

import (
	"net/url"
	"time"
)

// Config is a comparison of two services.
type Config struct {
	Active, Preview *url.URL
	Paths           []string      // each is shot on both
	Masks           []string      // CSS selectors: what they match on either page is not compared on both
	Tolerance       uint8         // by how much a channel may differ, 0 to 255
	MaxDiff         float64       // percent of the compared pixels that may differ
	Width, Height   int           // of the viewport, in pixels
	FullPage        bool          // not the viewport alone, but the whole page, as wide and as long as it is
	Out             string        // folder for the pictures. Empty: they are not kept
	Inline          bool          // what differs is shown in the result
	Browser         string        // executable. Empty: looked up in the PATH
	SkipVerify      bool          // certificates
	Timeout         time.Duration // for one page to load
	Settle          time.Duration // for a page that has loaded to come to rest
	Parallel        int           // paths that are looked at at a time, most of which goes into waiting; at least 1
	Retries         int           // when a page does not load, or answers 429 or 5xx
}
