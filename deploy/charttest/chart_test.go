package charttest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLint(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(chart + "/ci/*-values.yaml")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d files of values: %v", len(files), err)
	}
	for _, file := range files {
		must(t, "", tool(t, "helm"), "lint", "--strict", "--kube-version", kubeVersion, "--values", file, chart)
	}
}

// The suites of deploy/helm/reaper/tests.
func TestUnit(t *testing.T) {
	t.Parallel()
	out := must(t, "", tool(t, "helm-unittest"), "--strict", "--color=false", chart)
	if !regexp.MustCompile(`Tests: +[1-9][0-9]+ passed, [0-9]+ total`).MatchString(out) {
		t.Errorf("no tests were run:\n%s", out)
	}
}

// The chart's copies of alerts and dashboard, and its README, are those that
// `make chart` makes.
func TestMade(t *testing.T) {
	t.Parallel()
	for copied, from := range map[string]string{"files/alerts.yaml": alertsFile, "files/dashboard.json": dashboardFile} {
		same(t, copied, read(t, from), read(t, filepath.Join(chart, copied)))
	}
	made := must(t, "", tool(t, "helm-docs"), "--chart-search-root", chart, "--sort-values-order", "file", "--log-level", "warning", "--dry-run")
	readme := read(t, filepath.Join(chart, "README.md"))
	same(t, "README.md", strings.TrimSpace(made), strings.TrimSpace(readme))
	for line := range strings.Lines(readme) {
		if strings.HasPrefix(line, "| ") && strings.Contains(line, "|  |") {
			t.Errorf("a value without a description: %s", line)
		}
	}
}

func same(t *testing.T, name, want, got string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("deploy/helm/reaper/%s is old: run make chart (-want +got):\n%s", name, diff)
	}
}

func read(t testing.TB, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
