package mesh

import (
	"encoding/json"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// virtualService is what the mesh keeps of a VirtualService.
type virtualService struct {
	metav1.ObjectMeta
	hosts  []string
	routes []virtualRoute
}

type virtualRoute struct {
	name    string
	matches []match // any of them; none at all matches everything
	legs    []virtualLeg
}

type virtualLeg struct {
	host, subset string
	port         int32 // 0: the Service's first
	weight       uint64
}

// virtualSpec is the part of a VirtualService's spec that is read. The API server has checked its types.
type virtualSpec struct {
	Hosts []string `json:"hosts"`
	HTTP  []struct {
		Name  string           `json:"name"`
		Match []map[string]any `json:"match"`
		Route []struct {
			Destination struct {
				Host   string `json:"host"`
				Subset string `json:"subset"`
				Port   struct {
					Number int32 `json:"number"`
				} `json:"port"`
			} `json:"destination"`
			Weight uint32 `json:"weight"`
		} `json:"route"`
	} `json:"http"`
}

// readVirtualService keeps what routing needs. Of an object that does not read as a VirtualService it keeps a name
// without hosts.
func readVirtualService(u *unstructured.Unstructured) any {
	v := &virtualService{ObjectMeta: metav1.ObjectMeta{
		Namespace: u.GetNamespace(), Name: u.GetName(), UID: u.GetUID(),
		ResourceVersion: u.GetResourceVersion(), CreationTimestamp: u.GetCreationTimestamp(),
	}}
	var spec virtualSpec
	raw, err := json.Marshal(u.Object["spec"])
	if err != nil || json.Unmarshal(raw, &spec) != nil {
		return v
	}
	v.hosts = spec.Hosts
	for _, h := range spec.HTTP {
		route := virtualRoute{name: h.Name}
		for _, m := range h.Match {
			route.matches = append(route.matches, readMatch(m))
		}
		for _, r := range h.Route {
			route.legs = append(route.legs, virtualLeg{
				host: r.Destination.Host, subset: r.Destination.Subset,
				port: r.Destination.Port.Number, weight: uint64(r.Weight),
			})
		}
		// As in Istio: a single destination takes everything, whatever its weight says.
		if len(route.legs) == 1 {
			route.legs[0].weight = 100
		}
		v.routes = append(v.routes, route)
	}
	return v
}

// match is one block of conditions, all of which must hold.
type match struct {
	uri     *pattern
	headers map[string]pattern
	never   bool // it asks for something that is not implemented
}

type pattern struct {
	text   string
	prefix bool // else exact
}

func (p pattern) matches(s string) bool {
	if p.prefix {
		return strings.HasPrefix(s, p.text)
	}
	return s == p.text
}

func readMatch(block map[string]any) match {
	var m match
	for key, value := range block {
		switch key {
		case "name": // says nothing about the request
		case "uri":
			p, ok := readPattern(value)
			m.uri, m.never = &p, m.never || !ok
		case "headers":
			headers, ok := value.(map[string]any)
			m.never = m.never || !ok
			m.headers = make(map[string]pattern, len(headers))
			for name, value := range headers {
				p, ok := readPattern(value)
				m.headers[name], m.never = p, m.never || !ok
			}
		default:
			m.never = true
		}
	}
	return m
}

func readPattern(value any) (pattern, bool) {
	m, ok := value.(map[string]any)
	if !ok || len(m) != 1 {
		return pattern{}, false
	}
	if exact, ok := m["exact"].(string); ok {
		return pattern{text: exact}, true
	}
	prefix, ok := m["prefix"].(string)
	return pattern{text: prefix, prefix: true}, ok
}
