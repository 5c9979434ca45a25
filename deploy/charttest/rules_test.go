package charttest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const (
	alertsFile    = repository + "/deploy/alerts/reaper.yaml"
	dashboardFile = repository + "/deploy/dashboards/reaper.json"
	runbooks      = repository + "/docs/runbooks"
)

// alerts are the rules as deploy/alerts has them.
func alerts(t testing.TB) []monitoring.Rule {
	t.Helper()
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	var file monitoring.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Groups[0].Rules
}

func TestPromtool(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"check", "rules", "--lint=all", "--lint-fatal", "reaper.yaml"},
		{"test", "rules", "reaper_test.yaml", "week_test.yaml"},
	} {
		must(t, repository+"/deploy/alerts", "promtool", args...)
	}
}

// Each alert says what a person needs, and is tested firing and silent.
func TestAlerts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(repository + "/deploy/alerts/reaper_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tests struct {
		Tests []struct {
			Name           string
			AlertRuleTests []struct {
				Alertname string
				Exp       []any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal(text, &tests); err != nil {
		t.Fatal(err)
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, test := range tests.Tests {
		for _, a := range test.AlertRuleTests {
			if len(a.Exp) > 0 {
				fires[a.Alertname] = true
			} else {
				silent[a.Alertname] = true
			}
		}
	}
	for _, r := range alerts(t) {
		if !fires[r.Alert] || !silent[r.Alert] {
			t.Errorf("%s: tested firing: %t, silent: %t", r.Alert, fires[r.Alert], silent[r.Alert])
		}
		if !slices.Contains([]string{"info", "warning", "critical"}, r.Labels["severity"]) {
			t.Errorf("%s: severity %q", r.Alert, r.Labels["severity"])
		}
		for _, a := range []string{"summary", "description", "runbook_url"} {
			if r.Annotations[a] == "" {
				t.Errorf("%s has no %s", r.Alert, a)
			}
		}
		if url := r.Annotations["runbook_url"]; !strings.HasSuffix(url, "/docs/runbooks/"+r.Alert+".md") {
			t.Errorf("%s: %s", r.Alert, url)
		}
		checkRunbook(t, r.Alert)
	}
	files, err := filepath.Glob(runbooks + "/Reaper*.md")
	if err != nil || len(files) != len(alerts(t)) {
		t.Errorf("%d runbooks of %d alerts: %v", len(files), len(alerts(t)), err)
	}
}

// In the week in which nothing is wrong, it is seen of every alert that it does not fire, and early
// as well as late.
func TestWeek(t *testing.T) {
	t.Parallel()
	var file struct {
		Tests []struct {
			AlertRuleTests []struct {
				Alertname string
				Exp       []any `json:"exp_alerts"`
			} `json:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, repository+"/deploy/alerts/week_test.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	silent := map[string]int{}
	for _, a := range file.Tests[0].AlertRuleTests {
		if len(a.Exp) > 0 {
			t.Errorf("%s fires", a.Alertname)
		}
		silent[a.Alertname]++
	}
	for _, r := range alerts(t) {
		if silent[r.Alert] < 5 {
			t.Errorf("%s is looked at %d times", r.Alert, silent[r.Alert])
		}
	}
}

// checkRunbook holds that a runbook has its parts.
func checkRunbook(t *testing.T, alert string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(runbooks, alert+".md"))
	if err != nil {
		t.Error(err)
		return
	}
	for _, part := range []string{"# " + alert + "\n", "## What it means\n", "## How to look\n", "## What to do\n", "## When to wake someone\n"} {
		if !strings.Contains(string(text), part) {
			t.Errorf("the runbook of %s has no %q", alert, part)
		}
	}
}

// The chart's PrometheusRule is the file of deploy/alerts, for the series of this
// release alone.
func TestPrometheusRule(t *testing.T) {
	t.Parallel()
	for scrape, selector := range map[string]string{
		"serviceMonitor.enabled=true":                                     `job="release-reaper",namespace="ops"`,
		"podMonitor.enabled=true":                                         `job="ops/release-reaper",namespace="ops"`,
		"serviceMonitor.enabled=true,serviceMonitor.namespace=monitoring": `job="release-reaper",namespace="ops"`,
		"podMonitor.enabled=true,podMonitor.namespace=monitoring":         `job="monitoring/release-reaper",namespace="ops"`,
		"podMonitor.enabled=true,namespaceOverride=cleaning":              `job="cleaning/release-reaper",namespace="cleaning"`,
		`prometheusRule.selector=job="annotated"\,app="reaper"`:           `job="annotated",app="reaper"`,
	} {
		got := one[monitoring.PrometheusRule](t, render(t, values{"deployment", []string{scrape, "prometheusRule.enabled=true"}}), "").Spec.Groups
		want := alerts(t)
		for i := range want {
			want[i].Expr.StrVal = strings.ReplaceAll(want[i].Expr.StrVal, `job="reaper"`, selector)
		}
		if diff := cmp.Diff(want, got[0].Rules); diff != "" || len(got) != 1 {
			t.Errorf("%s (-want +got):\n%s", scrape, diff)
		}
		checkRules(t, monitoring.PrometheusRuleSpec{Groups: got})
	}
}

// Alerts can be left out and changed, and all of them be labelled.
func TestPrometheusRule_Changed(t *testing.T) {
	t.Parallel()
	rule := one[monitoring.PrometheusRule](t, render(t, values{file: "deployment-everything"}), "")
	checkRules(t, rule.Spec)
	byName := map[string]monitoring.Rule{}
	for _, r := range rule.Spec.Groups[0].Rules {
		byName[r.Alert] = r
		if r.Labels["team"] != "data" || !strings.HasPrefix(r.Annotations["runbook_url"], "https://wiki.example.com/runbooks/Reaper") {
			t.Errorf("%s: %v %v", r.Alert, r.Labels, r.Annotations)
		}
	}
	if _, there := byName["ReaperPaused"]; there || len(byName) != len(alerts(t))-1 {
		t.Errorf("%d alerts, ReaperPaused among them: %t", len(byName), there)
	}
	if r := byName["ReaperGuardPausing"]; *r.For != "2h" || r.Labels["severity"] != "critical" {
		t.Errorf("%+v", r)
	}
	const want = `min(reaper_storage_full_timestamp_seconds{job="release-reaper",namespace="cleaning"}) - time() < 30 * 86400`
	if r := byName["ReaperStorageForecast"]; r.Expr.StrVal != want || *r.For != "1h" {
		t.Errorf("%+v", r)
	}
}

// checkRules has promtool look at rules.
func checkRules(t *testing.T, spec monitoring.PrometheusRuleSpec) {
	t.Helper()
	text, err := yaml.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	must(t, "", "promtool", "check", "rules", "--lint=all", "--lint-fatal", file)
}

// dashboard is what the tests need to know of Grafana's format.
type dashboard struct {
	UID        string
	Title      string
	Templating struct {
		List []struct{ Name string }
	}
	Panels []struct {
		ID          int
		Type        string
		Title       string
		Description string
		GridPos     struct{ H, W, X, Y int }
		Targets     []struct{ RefID, Expr string }
	}
}

var grafana = regexp.MustCompile(`\$(\w+)`)

// The dashboard's expressions are PromQL, its variables are there, and no panel
// lies on another.
func TestDashboard(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	known := []string{"__rate_interval"}
	for _, v := range d.Templating.List {
		known = append(known, v.Name)
	}
	var rules []monitoring.Rule
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, is := taken[[2]int{x, y}]; is || x >= 24 {
					t.Fatalf("the panel %q lies on %q, or outside", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
			t.Errorf("the panel %q shows nothing, or does not say what", p.Title)
		}
		for _, q := range p.Targets {
			for _, v := range grafana.FindAllStringSubmatch(q.Expr, -1) {
				if !slices.Contains(known, v[1]) {
					t.Errorf("the panel %q asks for a variable $%s", p.Title, v[1])
				}
			}
			r := monitoring.Rule{Record: fmt.Sprintf("panel%d:%s", p.ID, q.RefID)}
			r.Expr.StrVal, r.Expr.Type = strings.ReplaceAll(q.Expr, "$__rate_interval", "5m"), 1
			rules = append(rules, r)
		}
	}
	if len(rules) < 30 {
		t.Fatalf("only %d expressions", len(rules))
	}
	checkRules(t, monitoring.PrometheusRuleSpec{Groups: []monitoring.RuleGroup{{Name: "dashboard", Rules: rules}}})
}

// The dashboard of the ConfigMap is that of deploy/dashboards, and small enough for
// one.
func TestDashboardConfigMap(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	c := one[core.ConfigMap](t, render(t, values{"deployment", []string{"dashboard.enabled=true"}}), "-dashboard")
	if got := c.Data["reaper.json"]; strings.TrimSpace(got) != strings.TrimSpace(string(text)) {
		t.Error("it is another dashboard")
	}
	if c.Labels["grafana_dashboard"] != "1" {
		t.Errorf("Grafana's sidecar does not find it: %v", c.Labels)
	}
	if len(text) > 1<<20-1<<10 {
		t.Errorf("%d bytes do not fit into a ConfigMap", len(text))
	}
}
