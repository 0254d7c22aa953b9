package cli

import (
	"fmt"
	"strings"
)

// dash stands where there is nothing to say.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// tag is the part of an image that tells versions apart, for narrow columns.
func tag(image string) string {
	if i := strings.LastIndexAny(image, ":@"); i > strings.LastIndex(image, "/") {
		return image[i+1:]
	}
	return image
}

func tags(images []string) string {
	var short []string
	for _, image := range images {
		short = append(short, tag(image))
	}
	return strings.Join(short, ",")
}

// length writes seconds for people.
func length(seconds *float64) string {
	switch {
	case seconds == nil || *seconds == 0:
		return "-"
	case *seconds < 10:
		return fmt.Sprintf("%.2f s", *seconds)
	case *seconds < 120:
		return fmt.Sprintf("%.0f s", *seconds)
	}
	return fmt.Sprintf("%.1f min", *seconds/60)
}
