package rollouts

import (
	"errors"
	"strings"
	"testing"
	"time"

	rov1 "github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tidegate.io/tidegate/internal/release"
	"tidegate.io/tidegate/internal/rollback"
)

// whole is a routed canary that is wholly on version v2 (hash two), with v1 (hash one) kept warm. These tests say how the
// objects are read; what the controller really writes into them is for the lab to show.
func whole() *Snapshot {
	replicas := int32(3)
	ro := &rov1.Rollout{
		ObjectMeta: metav1.ObjectMeta{Name: "shop", Namespace: "default", Generation: 4, UID: "u", Annotations: map[string]string{revisionAnnotation: "2"}},
		Spec: rov1.RolloutSpec{
			Replicas: &replicas, Template: template("v2"),
			Strategy: rov1.RolloutStrategy{Canary: &rov1.CanaryStrategy{
				StableService: "shop-stable", CanaryService: "shop-canary",
				TrafficRouting: &rov1.RolloutTrafficRouting{Istio: &rov1.IstioTrafficRouting{
					VirtualService: &rov1.IstioVirtualService{Name: "shop", Routes: []string{"primary"}},
				}},
			}},
		},
		Status: rov1.RolloutStatus{Phase: rov1.RolloutPhaseHealthy, ObservedGeneration: "4", StableRS: "two", CurrentPodHash: "two"},
	}
	return &Snapshot{
		rollout:     ro,
		replicaSets: []*appsv1.ReplicaSet{replicaSet("one", "v1", "1", 3, time.Minute), replicaSet("two", "v2", "2", 3, 0)},
		services:    map[string]*corev1.Service{"shop-stable": service("two"), "shop-canary": service("two")},
		routes:      map[string]*unstructured.Unstructured{"shop": route(100, 0)},
	}
}

func template(tag string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "shop", Image: "shop:" + tag}}}}
}

func replicaSet(hash, tag, rev string, pods int32, age time.Duration) *appsv1.ReplicaSet {
	rs := &appsv1.ReplicaSet{}
	rs.Labels = map[string]string{rov1.DefaultRolloutUniqueLabelKey: hash}
	rs.Annotations = map[string]string{revisionAnnotation: rev}
	rs.CreationTimestamp = metav1.NewTime(time.Unix(1000, 0).Add(-age))
	rs.Spec.Template = template(tag)
	rs.Spec.Template.Labels = map[string]string{rov1.DefaultRolloutUniqueLabelKey: hash}
	rs.Status.Replicas, rs.Status.ReadyReplicas, rs.Status.AvailableReplicas = pods, pods, pods
	return rs
}

func service(hash string) *corev1.Service {
	return &corev1.Service{Spec: corev1.ServiceSpec{Selector: map[string]string{rov1.DefaultRolloutUniqueLabelKey: hash}}}
}

func route(stable, canary int64) *unstructured.Unstructured {
	to := func(host string, weight int64) any {
		return map[string]any{"destination": map[string]any{"host": host}, "weight": weight}
	}
	return &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"http": []any{
		map[string]any{"name": "primary", "route": []any{to("shop-stable.default.svc.cluster.local", stable), to("shop-canary", canary)}},
		map[string]any{"name": "other", "route": []any{to("elsewhere", 100)}},
	}}}}
}

func TestCompleteNeedsEveryWitness(t *testing.T) {
	if lacks := whole().lacking(); len(lacks) > 0 {
		t.Fatalf("a whole rollout lacks %q", lacks)
	}
	tests := map[string]struct {
		spoil func(*Snapshot)
		want  string
	}{
		"stale status":              {func(s *Snapshot) { s.rollout.Generation = 5 }, "not acted on the newest generation"},
		"not healthy":               {func(s *Snapshot) { s.rollout.Status.Phase = rov1.RolloutPhaseProgressing }, "Progressing"},
		"aborted":                   {func(s *Snapshot) { s.rollout.Status.Abort = true }, "aborted"},
		"not stable":                {func(s *Snapshot) { s.rollout.Status.StableRS = "one" }, "stable is still one"},
		"a pod is missing":          {func(s *Snapshot) { s.replicaSets[1].Status.AvailableReplicas = 2 }, "2 of 3 pods"},
		"the Service lags behind":   {func(s *Snapshot) { s.services["shop-stable"] = service("one") }, "Service shop-stable selects one"},
		"the Service is gone":       {func(s *Snapshot) { delete(s.services, "shop-stable") }, "Service shop-stable does not exist"},
		"weight left on the canary": {func(s *Snapshot) { s.routes["shop"] = route(75, 25); s.services["shop-canary"] = service("one") }, "sends 25% to shop-canary"},
		"the route is gone":         {func(s *Snapshot) { delete(s.routes, "shop") }, "VirtualService shop does not exist"},
		"routes of TCP": {func(s *Snapshot) {
			s.rollout.Spec.Strategy.Canary.TrafficRouting.Istio.VirtualService.TCPRoutes = []rov1.TCPRoute{{Port: 3000}}
		}, "it reads http routes alone"},
		"a route that is not there": {func(s *Snapshot) {
			s.rollout.Spec.Strategy.Canary.TrafficRouting.Istio.VirtualService.Routes = []string{"secondary"}
		}, "it reads http routes alone"},
		"ping and pong": {func(s *Snapshot) { s.rollout.Spec.Strategy.Canary.PingPong = &rov1.PingPongSpec{} }, "a ping and a pong"},
		"no strategy":   {func(s *Snapshot) { s.rollout.Spec.Strategy.Canary = nil }, "no strategy"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := whole()
			test.spoil(s)
			if got := strings.Join(s.lacking(), "; "); !strings.Contains(got, test.want) {
				t.Errorf("lacking %q, want %q in it", got, test.want)
			}
		})
	}
}

func failedRun(hash, rev string) *rov1.AnalysisRun {
	r := &rov1.AnalysisRun{Status: rov1.AnalysisRunStatus{Phase: rov1.AnalysisPhaseFailed}}
	r.Annotations = map[string]string{revisionAnnotation: rev}
	r.Labels = map[string]string{rov1.DefaultRolloutUniqueLabelKey: hash}
	return r
}

func TestAnalysesOfAnEarlierAttemptDoNotCount(t *testing.T) {
	s := whole()
	run := func(name, rev string, phase rov1.AnalysisPhase) *rov1.AnalysisRun {
		r := &rov1.AnalysisRun{Status: rov1.AnalysisRunStatus{Phase: phase}}
		r.Name, r.Annotations = name, map[string]string{revisionAnnotation: rev}
		r.Labels = map[string]string{rov1.DefaultRolloutUniqueLabelKey: "two", rov1.RolloutTypeLabel: "Step"}
		return r
	}
	s.analyses = []*rov1.AnalysisRun{run("old", "1", rov1.AnalysisPhaseFailed), run("new", "2", "")}
	want := []release.Analysis{{Name: "new", Kind: "Step", Verdict: release.Pending}}
	if diff := cmp.Diff(want, s.Observation("shop:v2").Analyses); diff != "" {
		t.Errorf("analyses (-want +got):\n%s", diff)
	}
}

func TestAMetricThatWasNeverMeasuredIsThere(t *testing.T) {
	run := &rov1.AnalysisRun{
		Spec: rov1.AnalysisRunSpec{
			Metrics: []rov1.Metric{{Name: "measured"}, {Name: "never"}, {Name: "for-show"}},
			DryRun:  []rov1.DryRun{{MetricName: "for-.*"}},
		},
		Status: rov1.AnalysisRunStatus{
			Phase:         rov1.AnalysisPhaseSuccessful,
			MetricResults: []rov1.MetricResult{{Name: "measured", Phase: rov1.AnalysisPhaseSuccessful, Successful: 3}},
		},
	}
	want := []release.Metric{
		{Name: "measured", Verdict: release.Successful, Successes: 3},
		{Name: "never", Verdict: release.Pending},
		{Name: "for-show", Verdict: release.Pending, DryRun: true},
	}
	if diff := cmp.Diff(want, analysis(run).Metrics); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}

func TestGatesAreThoseThatTheStrategyDeclares(t *testing.T) {
	templates := []rov1.AnalysisTemplateRef{{TemplateName: "success-rate"}}
	s := whole()
	canary := s.rollout.Spec.Strategy.Canary
	canary.Analysis = &rov1.RolloutAnalysisBackground{RolloutAnalysis: rov1.RolloutAnalysis{Templates: templates}}
	canary.Steps = []rov1.CanaryStep{{}, {Analysis: &rov1.RolloutAnalysis{Templates: templates}}, {Analysis: &rov1.RolloutAnalysis{}}}
	if diff := cmp.Diff([]string{"Background", "Step 1"}, s.Observation("shop:v2").Gates); diff != "" {
		t.Errorf("canary (-want +got):\n%s", diff)
	}
	s.rollout.Spec.Strategy = rov1.RolloutStrategy{BlueGreen: &rov1.BlueGreenStrategy{
		ActiveService: "shop-stable", PrePromotionAnalysis: &rov1.RolloutAnalysis{Templates: templates}, PostPromotionAnalysis: &rov1.RolloutAnalysis{Templates: templates},
	}}
	if diff := cmp.Diff([]string{"PrePromotion", "PostPromotion"}, s.Observation("shop:v2").Gates); diff != "" {
		t.Errorf("blue/green (-want +got):\n%s", diff)
	}
}

func TestWhatSpeaksAgainstAVersion(t *testing.T) {
	run := func(name string, phase rov1.AnalysisPhase, age time.Duration) *rov1.AnalysisRun {
		r := failedRun("two", "2")
		r.Name, r.Status.Phase, r.CreationTimestamp = name, phase, metav1.NewTime(time.Unix(1000, 0).Add(-age))
		r.Labels[rov1.RolloutTypeLabel] = "Background"
		return r
	}
	ended := run("ended", rov1.AnalysisPhaseFailed, 0)
	ended.Spec.Terminate = true
	for name, test := range map[string]struct {
		runs []*rov1.AnalysisRun
		want string
	}{
		"one that failed":                    {[]*rov1.AnalysisRun{run("bad", rov1.AnalysisPhaseFailed, 0)}, "bad"},
		"one that was told to end":           {[]*rov1.AnalysisRun{ended}, ""},
		"one that was tried again":           {[]*rov1.AnalysisRun{run("bad", rov1.AnalysisPhaseFailed, time.Minute), run("again", rov1.AnalysisPhaseSuccessful, 0)}, ""},
		"one that failed when it was again":  {[]*rov1.AnalysisRun{run("again", rov1.AnalysisPhaseError, 0), run("good", rov1.AnalysisPhaseSuccessful, time.Minute)}, "again"},
		"one that did not fail":              {[]*rov1.AnalysisRun{run("good", rov1.AnalysisPhaseSuccessful, 0)}, ""},
		"one of another version altogether":  {[]*rov1.AnalysisRun{failedRun("one", "1")}, ""},
		"one of this version's revision one": {[]*rov1.AnalysisRun{failedRun("two", "1")}, ""},
	} {
		s := whole()
		s.analyses = test.runs
		got := ""
		if failed := s.FailedOn("two"); failed != nil {
			got = failed.Name
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestAStatusBelongsToItsTemplate(t *testing.T) {
	s := whole()
	s.rollout.Spec.Template = template("v3") // observed, says the controller, and its hash and abort are still of v2
	s.rollout.Status.Abort = true
	if o := s.Observation("shop:v3"); o.Settled || o.Aborted || o.Complete {
		t.Errorf("the new version is held for what was said of the old one: %+v", o)
	}
}

func TestAnOldVersionWouldSkipItsGates(t *testing.T) {
	s := whole()
	if why := s.Observation("shop:v1").Shortcut; why != "" {
		t.Errorf("without a rollback window: %s", why)
	}
	s.rollout.Spec.RollbackWindow = &rov1.RollbackWindowSpec{Revisions: 3}
	if why := s.Observation("shop:v1").Shortcut; !strings.Contains(why, "ReplicaSet one has run it before") {
		t.Errorf("within the rollback window: %q", why)
	}
	if why := s.Observation("shop:v3").Shortcut; why != "" {
		t.Errorf("a version that never ran: %s", why)
	}
}

func TestWhatAReleaseBroughtInIsKnownByItsNote(t *testing.T) {
	s := whole()
	if o := s.Observation("shop:v2"); o.Before.Hash != "" {
		t.Errorf("without a note it was %+v before", o.Before)
	}
	s.rollout.Annotations[ledgerAnnotation] = `{"image":"shop:v2","lastGood":"one"}`
	want := release.Version{Image: "shop:v1", Hash: "one"}
	if o := s.Observation("shop:v2"); o.Before != want {
		t.Errorf("before: %+v, want %+v", o.Before, want)
	}
	if o := s.Observation("shop:v3"); o.Before.Hash != "" {
		t.Errorf("of an image that it does not ask for it was %+v before", o.Before)
	}
}

func TestPausesAreThoseThatEndByThemselves(t *testing.T) {
	s := whole()
	s.rollout.Spec.Strategy.Canary.Steps = []rov1.CanaryStep{
		{Pause: &rov1.RolloutPause{Duration: rov1.DurationFromString("15m")}}, {Pause: &rov1.RolloutPause{}},
		{Pause: &rov1.RolloutPause{Duration: rov1.DurationFromInt(30)}}, {},
	}
	if got := s.Observation("shop:v2").Pauses; got != 15*time.Minute+30*time.Second {
		t.Errorf("canary: %s", got)
	}
	s.rollout.Spec.Strategy = rov1.RolloutStrategy{BlueGreen: &rov1.BlueGreenStrategy{ActiveService: "shop-stable", AutoPromotionSeconds: 600}}
	if got := s.Observation("shop:v2").Pauses; got != 10*time.Minute {
		t.Errorf("blue/green: %s", got)
	}
}

func TestLastGood(t *testing.T) {
	tests := map[string]struct {
		spoil func(*Snapshot)
		want  string
		err   error
	}{
		"promoted: the version before": {func(*Snapshot) {}, "one", nil},
		"mid-update: stable":           {func(s *Snapshot) { s.rollout.Status.StableRS = "one" }, "one", nil},
		"a rollback stands: stay":      {func(s *Snapshot) { s.rollout.Annotations[markAnnotation] = `{"from":"one","to":"two"}` }, "two", nil},
		"a rollback is on its way: go on with it": {func(s *Snapshot) {
			s.rollout.Status.StableRS = "one"
			s.rollout.Annotations[markAnnotation] = `{"from":"one","to":"two","left":[{"hash":"one","revision":1}]}`
		}, "two", nil},
		"a rollback is on its way, and the controller has not seen it": {func(s *Snapshot) {
			s.rollout.Generation = 5
			s.rollout.Spec.Template = template("v1")
			s.rollout.Annotations[markAnnotation] = `{"from":"two","to":"one","left":[{"hash":"two","revision":2}]}`
		}, "one", nil},
		"what was gone back to is released over what was left, and that had come again": {func(s *Snapshot) {
			s.rollout.Status.StableRS = "one"
			s.rollout.Annotations[markAnnotation] = `{"from":"one","to":"two","left":[{"hash":"one","revision":0}]}`
		}, "one", nil},
		"the version before was rolled back": {func(s *Snapshot) {
			s.rollout.Annotations[markAnnotation] = `{"from":"x","to":"zero","left":[{"hash":"x","revision":1},{"hash":"one","revision":1}]}`
		}, "", rollback.ErrNoTarget},
		"it was left before it had a ReplicaSet": {func(s *Snapshot) {
			s.rollout.Annotations[markAnnotation] = `{"from":"","to":"zero","left":[{"images":["shop:v1"],"revision":1}]}`
		}, "", rollback.ErrNoTarget},
		"it was rolled back once, and released again": {func(s *Snapshot) {
			s.rollout.Annotations[markAnnotation] = `{"from":"one","to":"zero","left":[{"hash":"one","revision":0}]}`
		}, "one", nil},
		"the ledger knows better than the order of revisions": {func(s *Snapshot) {
			s.replicaSets = append(s.replicaSets, replicaSet("zero", "v0", "0", 0, time.Hour))
			s.rollout.Annotations[ledgerAnnotation] = `{"image":"shop:v2","lastGood":"zero"}`
		}, "zero", nil},
		"a ledger of the release before, of the same image with other settings": {func(s *Snapshot) {
			s.replicaSets[0].Spec.Template.Spec.Containers[0].Image = "shop:v2"
			s.replicaSets = append(s.replicaSets, replicaSet("zero", "v0", "0", 0, time.Hour))
			s.rollout.Annotations[ledgerAnnotation] = `{"image":"shop:v2","lastGood":"zero"}`
		}, "one", nil},
		"a ledger of another release": {func(s *Snapshot) {
			s.rollout.Annotations[ledgerAnnotation] = `{"image":"shop:v1.9","lastGood":"zero"}`
		}, "one", nil},
		"a ledger whose version is gone": {func(s *Snapshot) {
			s.rollout.Annotations[ledgerAnnotation] = `{"image":"shop:v2","lastGood":"zero"}`
		}, "one", nil},
		"its analysis failed": {func(s *Snapshot) { s.analyses = append(s.analyses, failedRun("one", "1")) }, "", rollback.ErrNoTarget},
		"its analysis failed, but the latest rollback went there": {func(s *Snapshot) {
			s.analyses = append(s.analyses, failedRun("one", "1"))
			s.rollout.Annotations[markAnnotation] = `{"from":"zero","to":"one"}`
		}, "one", nil},
		"an older version bears a deadline that is long over": {func(s *Snapshot) {
			old := replicaSet("zero", "v0", "0", 0, 0)
			old.Annotations["scale-down-deadline"] = "2026-01-01T00:00:00Z"
			s.replicaSets = append(s.replicaSets, old)
		}, "one", nil},
		"a new image the controller has not seen": {func(s *Snapshot) { s.rollout.Generation = 5; s.rollout.Spec.Template = template("v3") }, "two", nil},
		"something else it has not seen":          {func(s *Snapshot) { s.rollout.Generation = 5 }, "", ErrUnsettled},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := whole()
			test.spoil(s)
			if got, err := s.LastGood(); got != test.want || !errors.Is(err, test.err) {
				t.Errorf("LastGood: %q, %v; want %q, %v", got, err, test.want, test.err)
			}
		})
	}
}

func TestCleanTemplateTakesOutWhatTheControllerPutIn(t *testing.T) {
	rs := replicaSet("one", "v1", "1", 3, 0)
	rs.Annotations[ephemeralAnnotation] = `{"labels":{"role":"stable"},"annotations":{"note":"x"}}`
	rs.Spec.Template.Labels["role"], rs.Spec.Template.Labels["app"] = "stable", "shop"
	rs.Spec.Template.Annotations = map[string]string{"note": "x", "keep": "y"}
	got := cleanTemplate(rs)
	want := metav1.ObjectMeta{Labels: map[string]string{"app": "shop"}, Annotations: map[string]string{"keep": "y"}}
	if diff := cmp.Diff(want, got.ObjectMeta); diff != "" {
		t.Errorf("metadata (-want +got):\n%s", diff)
	}
	if rs.Spec.Template.Labels["role"] == "" {
		t.Error("the ReplicaSet itself was changed")
	}
}

func TestMarkRemembersAllThatWasLeft(t *testing.T) {
	s := whole()
	s.replicaSets = append(s.replicaSets, replicaSet("three", "v3", "3", 0, 0))
	s.rollout.Annotations[markAnnotation] = `{"from":"two","to":"one","left":[{"hash":"two","revision":2},{"hash":"gone","revision":1}]}`
	got := s.leave(Mark{From: "three", To: "one"}).Left
	want := []left{{Hash: "three", Revision: 3}, {Hash: "two", Revision: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	got = s.leave(Mark{To: "one"}).Left
	want = []left{{Images: []string{"shop:v2"}, Revision: 3}, {Hash: "two", Revision: 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("left before the controller saw it (-want +got):\n%s", diff)
	}
}
