package lapse

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	kindTemplate = "AnalysisTemplate"
	kindCluster  = "ClusterAnalysisTemplate"
)

// errPart is returned where a placeholder is a piece of a duration, as in [{{args.minutes}}m]: the piece alone
// cannot be divided.
var errPart = errors.New("a placeholder is only a part of this duration; let the argument carry the unit")

// use is what an argument stands for. The zero value is anything that has no duration in it.
type use struct {
	duration bool          // a duration
	query    bool          // a PromQL expression (or a name or number, which are expressions too)
	floor    time.Duration // of the ranges that it stands for
}

func (u use) or(v use) use {
	return use{duration: u.duration || v.duration, query: u.query || v.query, floor: max(u.floor, v.floor)}
}

// uses maps an argument's name to what it stands for.
type uses map[string]use

func (u uses) add(more uses) {
	for name, use := range more {
		u[name] = u[name].or(use)
	}
}

// duration notes that the placeholder with this tag stands for a duration.
func (u uses) duration(tag string, floor time.Duration) error {
	name, ok := strings.CutPrefix(tag, "args.")
	if !ok {
		return fmt.Errorf("{{%s}} stands for a duration, but only arguments can be shortened", tag)
	}
	u.add(uses{name: {duration: true, floor: floor}})
	return nil
}

// query notes that the placeholder with this tag stands for an expression.
func (u uses) query(tag string) {
	if name, ok := strings.CutPrefix(tag, "args."); ok {
		u.add(uses{name: {query: true}})
	}
}

// ref names a template.
type ref struct{ kind, namespace, name string }

// refOf reads {templateName, clusterScope}, as obj has it.
func refOf(obj *unstructured.Unstructured, m map[string]any) ref {
	if cluster, _ := m["clusterScope"].(bool); cluster {
		return ref{kind: kindCluster, name: text(m, "templateName")}
	}
	return ref{kind: kindTemplate, namespace: namespaceOf(obj), name: text(m, "templateName")}
}

func refsOf(obj *unstructured.Unstructured, m map[string]any) []ref {
	var refs []ref
	for _, item := range items(m, "templates") {
		refs = append(refs, refOf(obj, item))
	}
	return refs
}

// namespaceOf says where an object will be: without a namespace it goes to "default".
func namespaceOf(obj *unstructured.Unstructured) string {
	if ns := obj.GetNamespace(); ns != "" {
		return ns
	}
	return "default"
}

// call is one use of templates together: Argo merges their metrics and their arguments, and args overrides these.
type call struct {
	refs []ref
	args []*argument
}

// call reads an analysis of a Rollout.
func (l *lapse) call(obj *unstructured.Unstructured, analysis map[string]any) {
	l.calls = append(l.calls, call{refs: refsOf(obj, analysis), args: l.arglist(obj, analysis)})
}

// argument is one entry in a list of args.
type argument struct {
	owner  string // the object that has it, for errors
	fields map[string]any
	use    use
}

func (l *lapse) arglist(obj *unstructured.Unstructured, m map[string]any) []*argument {
	var args []*argument
	for _, fields := range items(m, "args") {
		args = append(args, &argument{owner: title(obj), fields: fields})
	}
	l.args = append(l.args, args...)
	return args
}

// arguments divides the values of all arguments that stand for a duration, once each, however many templates
// and calls share them.
func (l *lapse) arguments() error {
	for _, c := range l.calls {
		l.spread(c, uses{})
	}
	for _, t := range l.templates {
		l.spread(t.call, t.uses)
	}
	for _, arg := range l.args {
		if err := arg.shorten(l.n); err != nil {
			return fmt.Errorf("%s: argument %q: %w", arg.owner, text(arg.fields, "name"), err)
		}
	}
	return nil
}

// spread tells every argument of a call, and of the templates called, what the metrics of all of them use it for.
func (l *lapse) spread(c call, own uses) {
	all, args := uses{}, c.args
	all.add(own)
	for t := range l.reach(c.refs, map[*template]bool{}) {
		all.add(t.uses)
		args = append(args, t.args...)
	}
	for _, arg := range args {
		arg.use = arg.use.or(all[text(arg.fields, "name")])
	}
}

// reach adds the templates that refs name, and those that these include. Templates outside the list are not known.
func (l *lapse) reach(refs []ref, found map[*template]bool) map[*template]bool {
	for _, r := range refs {
		if t := l.templates[r]; t != nil && !found[t] {
			found[t] = true
			l.reach(t.refs, found)
		}
	}
	return found
}

func (a *argument) shorten(n int64) error {
	value := text(a.fields, "value")
	switch {
	case a.use.duration && a.fields["valueFrom"] != nil:
		return errors.New("stands for a duration, and a value from elsewhere (valueFrom) cannot be shortened")
	case a.use.duration && value != "":
		short, err := eitherDuration(value, n, a.use.floor)
		if err != nil {
			return err
		}
		a.fields["value"] = short
	case a.use.query && value != "":
		// A value that is no expression stands for a list of labels, an operator or the like: no durations there.
		if short, err := shortenQuery(value, n, uses{}); err == nil {
			a.fields["value"] = short
		}
	}
	return nil
}
