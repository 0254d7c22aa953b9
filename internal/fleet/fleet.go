// Package fleet knows the regions and how to reach them.
package fleet

import (
	"fmt"
	"strings"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Region is one cluster of the fleet.
type Region struct {
	Name    string `json:"name"`
	Context string `json:"context"` // in the kubeconfig
}

// Default is the order in which a release goes through the fleet when none is given.
func Default() []Region {
	regions, err := Parse("us-west,us-east,eu-west,eu-central")
	if err != nil {
		panic(err) // a constant
	}
	return regions
}

// Parse reads regions as "name:context,…". A bare name stands for the context k8s-<name>.
func Parse(list string) ([]Region, error) {
	var regions []Region
	seen := map[string]bool{}
	for item := range strings.SplitSeq(list, ",") {
		name, context, given := strings.Cut(strings.TrimSpace(item), ":")
		if name == "" || given && context == "" {
			return nil, fmt.Errorf("%q in %q is no region: write name or name:context, separated by commas", item, list)
		}
		if !given {
			context = "k8s-" + name
		}
		if seen[name] {
			return nil, fmt.Errorf("region %s is listed twice in %q", name, list)
		}
		seen[name] = true
		regions = append(regions, Region{Name: name, Context: context})
	}
	return regions, nil
}

// Config is how to reach the region, from the user's kubeconfig ($KUBECONFIG or the default file). It makes no request.
func (r Region) Config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: r.Context}).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("region %s: kubeconfig context %s: %w", r.Name, r.Context, err)
	}
	config.UserAgent = "tidegate"
	return config, nil
}
