//go:build lab

package access

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// request is what RBAC judges of a request to the API server. As a rule of a Role, name is one of its resourceNames, or
// empty where the rule has none.
type request struct {
	verb, group, resource, namespace, name string
}

func (r request) String() string {
	what := strings.TrimSuffix(r.resource+"."+r.group, ".")
	if r.name != "" {
		what += " " + r.name
	}
	return fmt.Sprintf("%s %s in %s", r.verb, what, cmp.Or(r.namespace, "every namespace"))
}

// of reads a request to the API server as its authorizer does. Paths without a resource (discovery, health) are judged by
// other rules, which every account has from Kubernetes itself.
func of(method string, u *url.URL) (request, bool) {
	var r request
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	switch {
	case parts[0] == "api" && len(parts) > 2:
		parts = parts[2:]
	case parts[0] == "apis" && len(parts) > 3:
		r.group, parts = parts[1], parts[3:]
	default:
		return r, false
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		r.namespace, parts = parts[1], parts[2:]
	}
	r.resource = parts[0]
	if len(parts) > 1 {
		r.name = parts[1]
	}
	if len(parts) > 2 { // what follows a proxy is the path on the other side
		r.resource += "/" + parts[2]
	}
	r.verb = verb(method, r.name != "", u.Query().Get("watch"))
	return r, true
}

func verb(method string, named bool, watch string) string {
	switch method {
	case http.MethodPost:
		return "create"
	case http.MethodPut:
		return "update"
	case http.MethodPatch:
		return "patch"
	case http.MethodDelete:
		if named {
			return "delete"
		}
		return "deletecollection"
	}
	switch {
	case watch == "true" || watch == "1":
		return "watch"
	case named:
		return "get"
	}
	return "list"
}

func TestRequestsAreReadAsTheAPIServerReadsThem(t *testing.T) {
	for line, want := range map[string]request{
		"GET /api/v1/namespaces/default/pods":                                         {"list", "", "pods", "default", ""},
		"GET /api/v1/pods?limit=500":                                                  {"list", "", "pods", "", ""},
		"GET /api/v1/namespaces/default/pods?watch=true":                              {"watch", "", "pods", "default", ""},
		"GET /api/v1/namespaces/default/pods/a/log?follow=true":                       {"get", "", "pods/log", "default", "a"},
		"GET /api/v1/namespaces/default":                                              {"get", "", "namespaces", "", "default"},
		"POST /api/v1/namespaces/default/pods/a/exec":                                 {"create", "", "pods/exec", "default", "a"},
		"GET /api/v1/namespaces/m/services/p:9090/proxy/api/v1/query?query=up":        {"get", "", "services/proxy", "m", "p:9090"},
		"PATCH /apis/argoproj.io/v1alpha1/namespaces/default/rollouts/x/status":       {"patch", "argoproj.io", "rollouts/status", "default", "x"},
		"DELETE /apis/argoproj.io/v1alpha1/namespaces/default/rollouts":               {"deletecollection", "argoproj.io", "rollouts", "default", ""},
		"PUT /apis/argoproj.io/v1alpha1/namespaces/default/rollouts/x":                {"update", "argoproj.io", "rollouts", "default", "x"},
		"GET /apis/rbac.authorization.k8s.io/v1/clusterroles?resourceVersion=1":       {"list", "rbac.authorization.k8s.io", "clusterroles", "", ""},
		"POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews?pretty=forsooth": {"create", "authorization.k8s.io", "selfsubjectaccessreviews", "", ""},
	} {
		method, path, _ := strings.Cut(line, " ")
		u, err := url.Parse(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := of(method, u); !ok || got != want {
			t.Errorf("%s is read as %v, want %v", line, got, want)
		}
	}
	for _, path := range []string{"/version", "/api", "/api/v1", "/apis", "/apis/argoproj.io/v1alpha1", "/openapi/v3"} {
		if got, ok := of(http.MethodGet, &url.URL{Path: path}); ok {
			t.Errorf("%s is read as %v", path, got)
		}
	}
}
