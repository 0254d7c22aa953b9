package node

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// jobPod runs a shell script as Tidegate's own image would run a command.
func jobPod(name, script string, change ...func(*v1.Pod)) *v1.Pod {
	return podOf(name, ownImage, append([]func(*v1.Pod){func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyNever
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "job"}}
		p.Spec.Containers[0].Ports = nil
		p.Spec.Containers[0].Command = []string{"/usr/local/bin/tidegate"}
		p.Spec.Containers[0].Args = []string{"-c", script}
	}}, change...)...)
}

func (n *testNode) awaitPhase(name string, phase v1.PodPhase) *v1.Pod {
	n.t.Helper()
	return n.await(name, string(phase), func(p *v1.Pod) bool { return p.Status.Phase == phase })
}

func (n *testNode) logs(t *testing.T, path string) string {
	t.Helper()
	return get(t, n.kubelet, n.url+"/containerLogs/default/"+path).body
}

func fieldRef(path string) *v1.EnvVarSource {
	return &v1.EnvVarSource{FieldRef: &v1.ObjectFieldSelector{FieldPath: path}}
}

func TestJobRunsItsCommand(t *testing.T) {
	t.Parallel()
	n := startNode(t,
		&v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cm", Namespace: "default"}, Data: map[string]string{"key": "from-map"}},
		&v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "default"}, Data: map[string][]byte{"key": []byte("from-secret")}})
	n.create(jobPod("job", `echo "$NAME $IP $HASH $MAP $SECRET $PLAIN $HTTP_PROXY [$ABSENT]" '$(ARG)' '$$(ARG)'; pwd >&2; echo "$HOME"`, func(p *v1.Pod) {
		c := &p.Spec.Containers[0]
		c.EnvFrom = []v1.EnvFromSource{{Prefix: "ALL_", ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "cm"}}}}
		c.Env = []v1.EnvVar{
			{Name: "NAME", ValueFrom: fieldRef("metadata.name")},
			{Name: "IP", ValueFrom: fieldRef("status.podIP")},
			{Name: "HASH", ValueFrom: fieldRef("metadata.labels['" + hashLabel + "']")},
			{Name: "MAP", ValueFrom: &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{
				LocalObjectReference: v1.LocalObjectReference{Name: "cm"}, Key: "key"}}},
			{Name: "SECRET", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{
				LocalObjectReference: v1.LocalObjectReference{Name: "s"}, Key: "key"}}},
			{Name: "ABSENT", ValueFrom: &v1.EnvVarSource{SecretKeyRef: &v1.SecretKeySelector{
				LocalObjectReference: v1.LocalObjectReference{Name: "none"}, Key: "key", Optional: new(true)}}},
			{Name: "PLAIN", Value: "$(ALL_key)+$(HTTP_PROXY)"},
			{Name: "ARG", Value: "argument"},
		}
	}))
	pod := n.awaitPhase("job", v1.PodSucceeded)
	c := pod.Status.ContainerStatuses[0]
	if end := c.State.Terminated; end == nil || end.ExitCode != 0 || end.Reason != "Completed" || end.StartedAt.IsZero() {
		t.Errorf("container %+v", c)
	}
	lines := strings.Split(strings.TrimSpace(n.logs(t, "job/web")), "\n")
	if len(lines) != 3 {
		t.Fatalf("log %q", lines)
	}
	want := "job 198.18.1.0 abc from-map from-secret from-map+http://proxy.invalid http://proxy.invalid [] argument $(ARG)"
	if lines[0] != want {
		t.Errorf("log %q, want %q", lines[0], want)
	}
	if lines[1] != lines[2] || filepath.Dir(lines[1]) != n.cfg.Scratch {
		t.Errorf("it ran in %q with home %q, want a folder of its own in %q", lines[1], lines[2], n.cfg.Scratch)
	}
	if left, err := os.ReadDir(n.cfg.Scratch); err != nil || len(left) != 0 {
		t.Errorf("folders left behind: %v, %v", left, err)
	}
}

// TestJobHasRoomForABrowser: a browser asks for folders by four names, and binds a socket 57 bytes below one of them.
func TestJobHasRoomForABrowser(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(here); err != nil {
		t.Skip("this system has no /proc/self/cwd, and so no path that is short enough for a browser below a deep folder")
	}
	n := startNode(t)
	n.cfg.Scratch = filepath.Join(t.TempDir(), strings.Repeat("deep", 30))
	if err := os.Mkdir(n.cfg.Scratch, 0o700); err != nil {
		t.Fatal(err)
	}
	n.create(jobPod("job", `touch "$TMPDIR/mark" && ls "$HOME"; echo "$HOME"; echo "$XDG_CONFIG_HOME"; echo "$XDG_CACHE_HOME"; echo "$TMPDIR"`))
	n.awaitPhase("job", v1.PodSucceeded)
	lines := strings.Split(strings.TrimSpace(n.logs(t, "job/web")), "\n")
	if len(lines) != 5 || lines[0] != "mark" {
		t.Fatalf("log %q: want what was put into TMPDIR to be in HOME", lines)
	}
	for _, dir := range lines[2:4] {
		if filepath.Dir(dir) != lines[1] {
			t.Errorf("%s is not in the process's own folder %s", dir, lines[1])
		}
	}
	if len(lines[4]) > 30 {
		t.Errorf("TMPDIR is %s: %d bytes", lines[4], len(lines[4]))
	}
	if left, err := os.ReadDir(n.cfg.Scratch); err != nil || len(left) != 0 {
		t.Errorf("folders left behind: %v, %v", left, err)
	}
}

func TestJobFails(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(jobPod("exit", "exit 3"))
	n.create(jobPod("signal", "kill -KILL $$$$"))
	n.create(jobPod("missing", "", func(p *v1.Pod) { p.Spec.Containers[0].Command = []string{"/no/such/program"} }))
	for name, want := range map[string]int32{"exit": 3, "signal": codeKilled, "missing": codeCannotStart} {
		pod := n.awaitPhase(name, v1.PodFailed)
		if end := pod.Status.ContainerStatuses[0].State.Terminated; end == nil || end.ExitCode != want {
			t.Errorf("%s ended with %+v, want code %d", name, end, want)
		}
	}
	if text := n.logs(t, "missing/web"); !strings.Contains(text, "/no/such/program") {
		t.Errorf("the log does not say what is missing: %q", text)
	}
}

func TestJobIsTriedAgainOnFailure(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	mark := filepath.Join(t.TempDir(), "mark")
	n.create(jobPod("job", `if [ -e "$MARK" ]; then echo second; else touch "$MARK"; echo first; exit 1; fi`, func(p *v1.Pod) {
		p.Spec.RestartPolicy = v1.RestartPolicyOnFailure
		p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "MARK", Value: mark}}
	}))
	pod := n.awaitPhase("job", v1.PodSucceeded)
	if c := pod.Status.ContainerStatuses[0]; c.RestartCount != 1 || c.LastTerminationState.Terminated.ExitCode != 1 {
		t.Errorf("container %+v", c)
	}
	if now, before := n.logs(t, "job/web"), n.logs(t, "job/web?previous=true"); now != "second\n" || before != "first\n" {
		t.Errorf("log %q, previous %q", now, before)
	}
}

func TestJobOfAnotherImageIsRefused(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(jobPod("job", "true", func(p *v1.Pod) {
		p.Spec.Containers[0].Image = "curlimages/curl"
		p.Spec.RestartPolicy = v1.RestartPolicyOnFailure // must not make it a crash loop
	}))
	pod := n.awaitPhase("job", v1.PodFailed)
	if pod.Status.Reason != reasonRefused || pod.Status.Message != messageRefused {
		t.Errorf("reason %q, message %q", pod.Status.Reason, pod.Status.Message)
	}
	if text := n.logs(t, "job/web"); text != messageRefused+"\n" {
		t.Errorf("log %q", text)
	}
}

func TestJobWaitsForItsConfiguration(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(jobPod("job", `echo "$MAP"`, func(p *v1.Pod) {
		p.Spec.Containers[0].Env = []v1.EnvVar{{Name: "MAP", ValueFrom: &v1.EnvVarSource{ConfigMapKeyRef: &v1.ConfigMapKeySelector{
			LocalObjectReference: v1.LocalObjectReference{Name: "late"}, Key: "key"}}}}
	}))
	pod := n.await("job", "waiting", func(p *v1.Pod) bool {
		return len(p.Status.ContainerStatuses) == 1 && p.Status.ContainerStatuses[0].State.Waiting != nil &&
			p.Status.ContainerStatuses[0].State.Waiting.Reason == "CreateContainerConfigError"
	})
	if message := pod.Status.ContainerStatuses[0].State.Waiting.Message; !strings.Contains(message, `"late" not found`) || pod.Status.Phase != v1.PodPending {
		t.Errorf("phase %s, message %q", pod.Status.Phase, message)
	}
	n.eventually("the log says why there is none", func() bool {
		return n.logs(t, "job/web") == `container "web" in pod "job" is waiting to start: CreateContainerConfigError`+"\n"
	})
	late := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "late", Namespace: "default"}, Data: map[string]string{"key": "came"}}
	if _, err := n.client.CoreV1().ConfigMaps("default").Create(t.Context(), late, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod = n.awaitPhase("job", v1.PodSucceeded)
	if text := n.logs(t, "job/web"); text != "came\n" || pod.Status.ContainerStatuses[0].RestartCount != 0 {
		t.Errorf("log %q, restarts %d", text, pod.Status.ContainerStatuses[0].RestartCount)
	}
}

// family is a process, deaf to SIGTERM, with a child in its group; it logs both pids. ($$ is one dollar to
// Kubernetes.)
const family = `trap "" TERM; sleep 1000 & echo $!; echo $$$$; echo up; while :; do wait; done`

// awaitFamily returns the pids that the family logged.
func (n *testNode) awaitFamily(t *testing.T, name string) []int {
	t.Helper()
	n.awaitPhase(name, v1.PodRunning)
	var pids []int
	n.eventually("the family is up", func() bool {
		lines := strings.Fields(n.logs(t, name+"/web"))
		if len(lines) != 3 {
			return false
		}
		for _, line := range lines[:2] {
			pid, err := strconv.Atoi(line)
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
		return true
	})
	return pids
}

func alive(pids []int) bool {
	for _, pid := range pids {
		// The orphan is reaped by init; until then it is dead all the same.
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) && !isZombie(pid) {
			return true
		}
	}
	return false
}

func isZombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return os.IsNotExist(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

func TestJobDiesWithItsPod(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(jobPod("job", family))
	pids := n.awaitFamily(t, "job")
	n.beginDeletion("job", 1)
	n.awaitGone("job")
	n.eventually("the family is dead", func() bool { return !alive(pids) })
}

func TestJobDiesWithTheNode(t *testing.T) {
	t.Parallel()
	n := startNode(t)
	n.create(jobPod("job", family))
	pids := n.awaitFamily(t, "job")
	n.stop()
	if alive(pids[1:]) {
		t.Error("Run returned before the process was dead")
	}
	n.eventually("the family is dead", func() bool { return !alive(pids) })
}

func TestExpand(t *testing.T) {
	vars := map[string]string{"A": "1", "B": "$(A)"}
	for text, want := range map[string]string{
		"plain":       "plain",
		"$(A)-$(A)":   "1-1",
		"$(B)":        "$(A)",
		"$(C)":        "$(C)",
		"$$(A)":       "$(A)",
		"$A ${A} $":   "$A ${A} $",
		"$(A":         "$(A",
		"$(C)$(A)$$$": "$(C)1$$",
	} {
		if got := expand(text, vars); got != want {
			t.Errorf("expand(%q) = %q, want %q", text, got, want)
		}
	}
}
