package lapse

import (
	"fmt"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func (l *lapse) rollout(obj *unstructured.Unstructured, spec map[string]any) error {
	l.seconds(spec, "minReadySeconds")
	l.podTemplate(child(spec, "template"))

	blueGreen := child(spec, "strategy", "blueGreen")
	l.seconds(blueGreen, "autoPromotionSeconds", "scaleDownDelaySeconds", "abortScaleDownDelaySeconds")
	l.call(obj, child(blueGreen, "prePromotionAnalysis"))
	l.call(obj, child(blueGreen, "postPromotionAnalysis"))

	canary := child(spec, "strategy", "canary")
	l.seconds(canary, "scaleDownDelaySeconds", "abortScaleDownDelaySeconds")
	l.call(obj, child(canary, "analysis"))
	for i, step := range items(canary, "steps") {
		if err := l.step(obj, step); err != nil {
			return fmt.Errorf("canary step %d: %w", i+1, err)
		}
	}
	return nil
}

func (l *lapse) step(obj *unstructured.Unstructured, step map[string]any) error {
	if err := l.pause(child(step, "pause")); err != nil {
		return fmt.Errorf("pause: %w", err)
	}
	l.call(obj, child(step, "analysis"))
	return l.trial(obj, child(step, "experiment"))
}

// pause divides the duration of a pause: whole seconds as a number or a string, or a Go duration. Argo cuts the
// latter to whole seconds, so anything less would be no pause at all.
func (l *lapse) pause(pause map[string]any) error {
	s, ok := pause["duration"].(string)
	if !ok {
		l.seconds(pause, "duration")
		return nil
	}
	if v, err := strconv.ParseInt(s, 10, 32); err == nil {
		pause["duration"] = strconv.FormatInt(wholeSeconds(v, l.n), 10)
		return nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("duration %q: neither seconds nor a duration", s)
	}
	v := wholeSeconds(int64(d.Seconds()), l.n)
	pause["duration"] = format(time.Duration(v) * time.Second)
	return nil
}

func (l *lapse) experiment(obj *unstructured.Unstructured, spec map[string]any) error {
	for _, template := range items(spec, "templates") {
		l.seconds(template, "minReadySeconds")
		l.podTemplate(child(template, "template"))
	}
	return l.trial(obj, spec)
}

// trial divides what an Experiment and a canary's experiment step have in common.
func (l *lapse) trial(obj *unstructured.Unstructured, spec map[string]any) error {
	l.seconds(spec, "scaleDownDelaySeconds")
	if s := text(spec, "duration"); s != "" {
		short, err := goDuration(s, l.n, 0)
		if err != nil {
			return fmt.Errorf("experiment duration: %w", err)
		}
		spec["duration"] = short
	}
	for _, analysis := range items(spec, "analyses") {
		l.calls = append(l.calls, call{
			refs: []ref{refOf(obj, analysis)},
			args: l.arglist(obj, analysis),
		})
	}
	return nil
}

// podTemplate divides the delays and periods of readiness probes. Those of the other two are deadlines: periodSeconds times
// failureThreshold is when a container is given up. It changes the pod template's hash, once, as it is applied.
func (l *lapse) podTemplate(template map[string]any) {
	pod := child(template, "spec")
	for _, list := range []string{"initContainers", "containers"} {
		for _, container := range items(pod, list) {
			l.seconds(child(container, "readinessProbe"), "initialDelaySeconds", "periodSeconds")
		}
	}
}

func (l *lapse) autoscaler(spec map[string]any) {
	for _, direction := range []string{"scaleUp", "scaleDown"} {
		rules := child(spec, "behavior", direction)
		l.seconds(rules, "stabilizationWindowSeconds")
		for _, policy := range items(rules, "policies") {
			l.seconds(policy, "periodSeconds")
		}
	}
}
