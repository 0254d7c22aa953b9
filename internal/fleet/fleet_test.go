package fleet

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	got, err := Parse("us-west, eu-west:prod-eu")
	want := []Region{{"us-west", "k8s-us-west"}, {"eu-west", "prod-eu"}}
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("Parse: %v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"", "a,,b", "a:", ":b", "a,a:b"} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("Parse(%q) accepted it as %v", bad, got)
		}
	}
}

func TestUnknownContextNamesItself(t *testing.T) {
	t.Setenv("KUBECONFIG", t.TempDir()+"/none")
	_, err := Region{Name: "us-west", Context: "k8s-us-west"}.Config()
	if err == nil {
		t.Fatal("a context that does not exist was accepted")
	}
}
