package metrics_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// target are the labels that Prometheus adds to whatever it scrapes.
var target = []string{"job", "namespace", "instance"}

var (
	selector   = regexp.MustCompile(`\b(reaper_\w+)\{([^}]*)\}`)
	bare       = regexp.MustCompile(`\breaper_\w+`)
	matcher    = regexp.MustCompile(`(\w+)(?:=~|!~|!=|=)"`)
	aggregated = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// Alerts, their tests and the dashboard use metrics and labels that the program
// exports, and no others: a renamed metric would silence an alert.
func TestDeploy(t *testing.T) {
	t.Parallel()
	labels := exported(t)
	everyLabel := slices.Concat(append(slices.Collect(maps.Values(labels)), target)...)
	for _, expression := range expressions(t) {
		for _, m := range selector.FindAllStringSubmatch(expression, -1) {
			own, ok := labels[m[1]]
			if !ok {
				t.Errorf("%s is not exported: %s", m[1], expression)
				continue
			}
			for _, l := range matcher.FindAllStringSubmatch(m[2], -1) {
				if !slices.Contains(own, l[1]) && !slices.Contains(target, l[1]) {
					t.Errorf("%s has no label %s: %s", m[1], l[1], expression)
				}
			}
			if !strings.Contains(m[2], "job=") {
				t.Errorf("%s is asked for without a job, and so of every installation: %s", m[1], expression)
			}
		}
		if all, selected := bare.FindAllString(expression, -1), selector.FindAllString(expression, -1); len(all) != len(selected) {
			t.Errorf("a metric without a selector: %s", expression)
		}
		for _, m := range aggregated.FindAllStringSubmatch(expression, -1) {
			for label := range strings.SplitSeq(m[1], ", ") {
				if !slices.Contains(everyLabel, label) {
					t.Errorf("no metric has the label %s: %s", label, expression)
				}
			}
		}
	}
}

// exported is what the program exports: the labels of each metric, a histogram's
// under the names of its series.
func exported(t *testing.T) map[string][]string {
	t.Helper()
	b := newBed(emails)
	b.everything()
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, f := range families {
		labels := []string{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		all[f.GetName()] = labels
		if f.GetType().String() == "HISTOGRAM" {
			all[f.GetName()+"_bucket"] = append(labels, "le")
		}
	}
	return all
}

// expressions are those of the alerts' rules and tests, and of the dashboard.
func expressions(t *testing.T) []string {
	t.Helper()
	var all []string
	for file, begin := range map[string]string{"reaper.yaml": "groups:", "reaper_test.yaml": "tests:", "week_test.yaml": "tests:"} {
		_, text, found := strings.Cut(read(t, "../deploy/alerts/"+file), begin)
		if !found {
			t.Fatalf("%s has no %s", file, begin)
		}
		all = append(all, strings.Split(text, "\n")...)
	}
	var dashboard struct {
		Panels []struct {
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "../deploy/dashboards/reaper.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, p := range dashboard.Panels {
		for _, q := range p.Targets {
			all = append(all, q.Expr)
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d expressions were found", len(all))
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
