package metrics_test

import (
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// promtool is what the people use who will scrape this; where it is missing its
// rules, which the client library has too, must do.
func TestLint(t *testing.T) {
	t.Parallel()
	b := newBed(emails)
	b.everything()
	problems, err := testutil.GatherAndLint(b.reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	tool, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not installed (Debian: apt-get install prometheus); checked by the client library's rules alone")
		return
	}
	cmd := exec.CommandContext(t.Context(), tool, "check", "metrics")
	cmd.Stdin = strings.NewReader(b.scrape(t))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// docs/METRICS.md lists the metrics that there are, with their labels and types,
// and no others.
func TestDocs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/METRICS.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(page)) {
		if cells := strings.Split(line, "|"); len(cells) > 4 && strings.HasPrefix(line, "| `reaper_") {
			clean := func(i int) string { return strings.Trim(cells[i], " `") }
			documented[clean(1)] = strings.ReplaceAll(clean(2), "`", "") + "; " + clean(3)
		}
	}
	b := newBed(emails)
	b.everything()
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exported := map[string]string{}
	for _, f := range families {
		labels := map[string]bool{}
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels[l.GetName()] = true
		}
		exported[f.GetName()] = strings.Join(slices.Sorted(maps.Keys(labels)), ", ") + "; " + strings.ToLower(f.GetType().String())
	}
	if diff := cmp.Diff(exported, documented); diff != "" {
		t.Errorf("docs/METRICS.md (-exported +documented):\n%s", diff)
	}
}
