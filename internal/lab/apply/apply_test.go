package apply

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func parse(t *testing.T, documents ...string) []*unstructured.Unstructured {
	t.Helper()
	objs, err := Read(strings.NewReader(strings.Join(documents, "---\n")))
	if err != nil {
		t.Fatal(err)
	}
	return objs
}

// bounded is a context for a test that talks to a server on this machine: ten seconds are a hundred times enough.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func TestApplyOrder(t *testing.T) {
	s, cfg := newServer(t)
	s.hidden = 2 // the kind turns up late in discovery, as it does on a busy server
	objs := parse(t, tide, secret, namespace, crd)
	before := objs[1].DeepCopy()
	if err := Apply(bounded(t), cfg, objs); err != nil {
		t.Fatal(err)
	}
	want := []string{crdPath + "/tides.example.io", established, "/api/v1/namespaces/sea", secretPath, tidePath}
	if !slices.Equal(s.applied, want) {
		t.Errorf("applied %q\nwant    %q", s.applied, want)
	}
	if got := objs[1]; got.GetNamespace() != before.GetNamespace() {
		t.Errorf("the caller's object was changed: %v", got)
	}
	if cfg.QPS != 0 {
		t.Errorf("the caller's configuration was changed: QPS %v", cfg.QPS)
	}
}

func TestApplyRetriesWhatPasses(t *testing.T) {
	s, cfg := newServer(t)
	s.answers[secretPath] = []int{429, 409, 429}
	if err := Apply(bounded(t), cfg, parse(t, secret)); err != nil {
		t.Fatal(err)
	}
	if s.asked[secretPath] != 4 {
		t.Errorf("asked %d times, want 4", s.asked[secretPath])
	}
}

func TestApplyJoinsErrorsAndDoesNotRetryThem(t *testing.T) {
	s, cfg := newServer(t)
	other := "/api/v1/namespaces/sea/secrets/other"
	s.answers[secretPath], s.answers[other] = []int{422}, []int{404}
	err := Apply(bounded(t), cfg, parse(t, secret, strings.Replace(secret, "s}", "other, namespace: sea}", 1),
		strings.Replace(secret, "s}", "fine}", 1)))
	for _, want := range []string{"apply Secret s: as told", "apply Secret sea/other: as told"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nlacks %q", err, want)
		}
	}
	if s.asked[secretPath] != 1 || s.asked[other] != 1 {
		t.Errorf("asked %v, want each once", s.asked)
	}
	if want := []string{"/api/v1/namespaces/default/secrets/fine"}; !slices.Equal(s.applied, want) {
		t.Errorf("applied %q, want %q: one object's error must not stop another", s.applied, want)
	}
}

func TestApplyStopsAtAFailedStage(t *testing.T) {
	s, cfg := newServer(t)
	s.answers["/api/v1/namespaces/sea"] = []int{422}
	if err := Apply(bounded(t), cfg, parse(t, secret, namespace)); err == nil {
		t.Error("no error")
	}
	if len(s.applied) > 0 {
		t.Errorf("applied %q after the namespaces failed", s.applied)
	}
}

func TestApplyEndsWithItsContext(t *testing.T) {
	late := errors.New("the region is late")
	for name, test := range map[string]struct {
		object, refusal, want string
	}{
		"a CRD that is refused": {crd, "name taken by others.example.io", "apply CustomResourceDefinition tides.example.io: not established (name taken by others.example.io): the region is late"},
		"a kind unknown":        {tide, "", `apply Tide sea/a: no matches for kind "Tide" in version "example.io/v1" (the region is late)`},
	} {
		t.Run(name, func(t *testing.T) {
			s, cfg := newServer(t)
			s.refusal = test.refusal
			ctx, cancel := context.WithTimeoutCause(context.Background(), 300*time.Millisecond, late)
			defer cancel()
			err := Apply(ctx, cfg, parse(t, test.object))
			if !errors.Is(err, late) || err.Error() != test.want {
				t.Errorf("error %v\nwant  %s", err, test.want)
			}
		})
	}
}
