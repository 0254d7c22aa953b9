package apply

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// server speaks just enough of the Kubernetes API for Apply: discovery, server-side apply, and a watch on CRDs. The
// end-to-end tests use a real one; this one can misbehave on demand.
type server struct {
	*httptest.Server

	mu          sync.Mutex
	applied     []string         // paths that were applied, in the order of their success, and when CRDs were established
	asked       map[string]int   // how often each path was asked for
	answers     map[string][]int // status codes to answer with first, by path
	refusal     string           // why CRDs are not established; empty: they are, as soon as they are watched
	established bool
	hidden      int // discoveries that do not list the custom resource even though it is established
}

const (
	established = "established"
	crdPath     = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	crd         = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: tides.example.io}\n"
	tide        = "apiVersion: example.io/v1\nkind: Tide\nmetadata: {name: a, namespace: sea}\n"
	tidePath    = "/apis/example.io/v1/namespaces/sea/tides/a"
	namespace   = "apiVersion: v1\nkind: Namespace\nmetadata: {name: sea}\n"
	secret      = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
	secretPath  = "/api/v1/namespaces/default/secrets/s"
)

func newServer(t *testing.T) (*server, *rest.Config) {
	s := &server{asked: map[string]int{}, answers: map[string][]int{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s, &rest.Config{Host: s.URL}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.Method == http.MethodPatch:
		s.patch(w, r)
	case r.URL.Path == crdPath:
		s.watch(w)
	default:
		s.discover(w, r.URL.Path)
	}
}

func (s *server) patch(w http.ResponseWriter, r *http.Request) {
	path, query := r.URL.Path, r.URL.Query()
	s.asked[path]++
	if query.Get("fieldManager") != Manager || query.Get("force") != "true" || r.Header.Get("Content-Type") != "application/apply-patch+yaml" {
		fail(w, http.StatusTeapot, "not a forced server-side apply by "+Manager)
		return
	}
	if answers := s.answers[path]; len(answers) > 0 {
		s.answers[path] = answers[1:]
		fail(w, answers[0], "as told")
		return
	}
	var obj map[string]any
	if err := json.NewDecoder(r.Body).Decode(&obj); err != nil {
		fail(w, http.StatusBadRequest, err.Error())
		return
	}
	s.applied = append(s.applied, path)
	obj["metadata"].(map[string]any)["resourceVersion"] = "7"
	_ = json.NewEncoder(w).Encode(obj)
}

func (s *server) watch(w http.ResponseWriter) {
	condition := `{"type": "Established", "status": "True"}`
	if s.refusal != "" {
		condition = fmt.Sprintf(`{"type": "NamesAccepted", "status": "False", "message": %q}`, s.refusal)
	}
	if s.refusal == "" {
		s.established = true
		s.applied = append(s.applied, established)
	}
	fmt.Fprintf(w, `{"type": "MODIFIED", "object": {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
		"metadata": {"name": "tides.example.io", "resourceVersion": "8"}, "status": {"conditions": [%s]}}}`, condition)
}

func (s *server) discover(w http.ResponseWriter, path string) {
	custom := `{"name": "example.io", "versions": [{"groupVersion": "example.io/v1", "version": "v1"}]}`
	switch path {
	case "/api":
		fmt.Fprint(w, `{"kind": "APIVersions", "versions": ["v1"]}`)
	case "/apis":
		if s.hidden--; !s.established || s.hidden >= 0 {
			custom = ""
		}
		fmt.Fprintf(w, `{"kind": "APIGroupList", "groups": [%s]}`, custom)
	case "/api/v1":
		fmt.Fprint(w, `{"kind": "APIResourceList", "groupVersion": "v1", "resources": [
			{"name": "namespaces", "kind": "Namespace"}, {"name": "secrets", "kind": "Secret", "namespaced": true}]}`)
	case "/apis/example.io/v1":
		fmt.Fprint(w, `{"kind": "APIResourceList", "groupVersion": "example.io/v1", "resources": [
			{"name": "tides", "kind": "Tide", "namespaced": true}]}`)
	default:
		fail(w, http.StatusNotFound, path)
	}
}

// fail answers with a status as the API server does, without Retry-After, so that client-go does not retry by itself.
func fail(w http.ResponseWriter, code int, message string) {
	reasons := map[int]string{404: "NotFound", 409: "Conflict", 422: "Invalid", 429: "TooManyRequests"}
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": %q, "message": %q, "code": %d}`,
		reasons[code], strings.TrimSpace(message), code)
}
