package cli

import (
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tidegate.io/tidegate/internal/lab"
)

// completeLab completes with what a lab that runs knows; without one, with nothing.
func completeLab(dir *labFolder, words func(*cobra.Command, *lab.Client, []string) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := lab.Open(string(*dir))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words(cmd, c, args), cobra.ShellCompDirectiveNoFileComp
	}
}

func labRegions(_ *cobra.Command, c *lab.Client, _ []string) []string { return c.Regions() }

// labImages are the images that were requested or told what to do.
func labImages(cmd *cobra.Command, c *lab.Client, args []string) []string {
	names := map[string]bool{}
	if traffic, err := c.TrafficAll(cmd.Context()); err == nil && len(args) == 0 {
		for _, counts := range traffic {
			for _, count := range counts {
				names[count.Image] = true
			}
		}
	}
	if told, err := c.Images(cmd.Context()); err == nil && len(args) == 0 {
		for _, images := range told {
			for name := range images {
				names[name] = true
			}
		}
	}
	delete(names, "")
	return slices.Sorted(maps.Keys(names))
}

// completeServices completes the last word of a list with the services that are not in it yet.
func completeServices(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	known, err := lab.Services()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	before := typed[:strings.LastIndex(typed, ",")+1]
	var words []string
	for _, name := range known {
		if !slices.Contains(strings.Split(before, ","), name) {
			words = append(words, before+name)
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// labLogs are a region, then a component that has a log.
func labLogs(_ *cobra.Command, c *lab.Client, args []string) []string {
	switch len(args) {
	case 0:
		return c.Regions()
	case 1:
		if r, err := c.Region(args[0]); err == nil {
			return logged(r)
		}
	}
	return nil
}
