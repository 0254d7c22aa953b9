//go:build lab

package gates

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

var rewrite = flag.Bool("rewrite", false, "write the measured table into the docs")

const docs = "../../docs/gates.md"

// cell is one column of the table: what a version's series look like, and the verdict that they must get.
type cell struct {
	title, want string
	series      func(r row, version string) []series
	down        bool // Prometheus does not answer
}

func cells() []cell {
	return []cell{
		{title: "healthy", want: "Successful", series: func(r row, v string) []series { return r.series(v, r.healthy, 1) }},
		{title: "just inside", want: "Successful", series: func(r row, v string) []series { return r.series(v, r.inside, 1) }},
		{title: "just outside", want: "Failed", series: func(r row, v string) []series { return r.series(v, r.outside, 1) }},
		{title: "metric absent", want: "Inconclusive", series: func(r row, v string) []series { return trafficAlone(r.series(v, r.healthy, 1)) }},
		{title: "NaN", want: "Inconclusive", series: func(r row, v string) []series { return broken(r.series(v, r.healthy, 1)) }},
		{title: "no traffic", want: "Inconclusive", series: func(r row, v string) []series { return r.series(v, r.healthy, 0) }},
		{title: "Prometheus down", want: "Error", series: func(r row, v string) []series { return r.series(v, r.healthy, 1) }, down: true},
	}
}

// TestEachGateBites is the table: gate by kind of input.
func TestEachGateBites(t *testing.T) {
	e, all := &exporter{}, templates(t)
	for i, r := range rows() {
		for j, c := range cells() {
			e.add(c.series(r, name(i, j))...)
		}
	}
	alive, dead := scrape(t, e), "http://"+closedPort(t)
	var runs []*unstructured.Unstructured
	for i, r := range rows() {
		for j, c := range cells() {
			address := alive
			if c.down {
				address = dead
			}
			runs = append(runs, r.run(t, name(i, j), "table", address, all))
		}
	}
	verdicts := judge(t, "table", runs)
	var table strings.Builder
	head(&table)
	for i, r := range rows() {
		fmt.Fprintf(&table, "| `%s` | %s | %s |", r.metric, r.fault, r.threshold())
		for j, c := range cells() {
			want := c.want
			if c.title == "no traffic" {
				want = cmp.Or(r.quiet, want)
			}
			verdicts["table-"+name(i, j)].enter(t, &table, fmt.Sprintf("%s (%s), %s", r.metric, r.fault, c.title), want)
		}
		table.WriteString("\n")
	}
	t.Logf("\n%s", table.String())
	inDocs(t, "metrics", table.String())
}

func name(i, j int) string { return fmt.Sprintf("case-%d-%d", i, j) }

// run is the row's metric, to be judged on the series of one version.
func (r row) run(t *testing.T, version, suite, prometheus string, all map[string]*unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	template := all[r.template]
	if template == nil {
		t.Fatalf("no template %s in k8s/rollouts/analysis", r.template)
	}
	metric := metricsOf(template)[r.metric]
	if metric == nil {
		t.Fatalf("template %s has no metric %s", r.template, r.metric)
	}
	return analysisRun(suite+"-"+version, suite, template, metric, r.arguments(version, prometheus))
}

// arguments are those of a canary's step, which measures five times.
func (r row) arguments(version, prometheus string) map[string]string {
	args := map[string]string{
		"prometheus-address": prometheus, "count": "5", "inconclusive-limit": "2",
		"namespace": namespace, "canary-hash": version, "stable-hash": stableOf(version),
	}
	if r.subject != "" {
		args[r.subject] = version
	}
	maps.Copy(args, r.args)
	return args
}

func (r row) threshold() string {
	return strings.TrimSpace(fmt.Sprintf("%s / %s %s", number(r.inside), number(r.outside), r.unit))
}

func head(table *strings.Builder) {
	table.WriteString("| metric | fault | just inside / outside |")
	for _, c := range cells() {
		fmt.Fprintf(table, " %s |", c.title)
	}
	table.WriteString("\n|---|---|---|" + strings.Repeat("---|", len(cells())) + "\n")
}

// inDocs holds a table against the docs, or writes it there.
func inDocs(t *testing.T, mark, table string) {
	t.Helper()
	page, err := os.ReadFile(docs)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- "+mark+": measured -->\n", "<!-- "+mark+": end -->"
	before, rest, found := strings.Cut(string(page), begin)
	old, after, closed := strings.Cut(rest, end)
	switch {
	case !found || !closed:
		t.Fatalf("%s has no place for the table: want %q and %q", docs, begin, end)
	case *rewrite:
		if err := os.WriteFile(docs, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case old != table:
		t.Errorf("the table in %s is not what was measured: run this test with -rewrite and read the difference", docs)
	}
}
