//go:build ops

package ops_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// monitoring is a Prometheus with the alerts of deploy/alerts, and an Alertmanager with their
// inhibit rules.
type monitoring struct {
	prometheus, alertmanager string // URLs
	targets                  string // the directory in which Prometheus looks for targets
}

// forLine is how long an alert has to last before it fires: minutes and hours, which nobody waits
// for here. Nothing else of the rules is changed.
var forLine = regexp.MustCompile(`(?m)^( +for: ).*$`)

const prometheusConfig = `
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: reaper, file_sd_configs: [{files: [targets/*.json], refresh_interval: 1s}]}]
`

const alertmanagerConfig = `
route: {receiver: nobody}
receivers: [{name: nobody}]
%s`

// newMonitoring starts both.
func newMonitoring(t *testing.T) *monitoring {
	t.Helper()
	dir := t.TempDir()
	m := &monitoring{targets: filepath.Join(dir, "targets")}
	if err := os.Mkdir(m.targets, 0o700); err != nil {
		t.Fatal(err)
	}
	rules := read(t, repository+"/deploy/alerts/reaper.yaml")
	write(t, dir, "rules.yaml", forLine.ReplaceAllString(rules, "${1}3s"))
	write(t, dir, "alertmanager.yml", fmt.Sprintf(alertmanagerConfig, read(t, repository+"/deploy/alerts/inhibit.yaml")))
	m.alertmanager = listens(t, exec.CommandContext(t.Context(), find(t, "prometheus-alertmanager", "alertmanager"),
		"--config.file="+dir+"/alertmanager.yml", "--storage.path="+dir+"/alertmanager", "--web.listen-address=127.0.0.1:0", "--cluster.listen-address="))
	write(t, dir, "prometheus.yml", fmt.Sprintf(prometheusConfig, strings.TrimPrefix(m.alertmanager, "http://")))
	m.prometheus = listens(t, exec.CommandContext(t.Context(), find(t, "prometheus"),
		"--config.file="+dir+"/prometheus.yml", "--storage.tsdb.path="+dir+"/prometheus", "--web.listen-address=127.0.0.1:0"))
	return m
}

// find gives the first of several names of a program that is there: Debian has one of its own.
func find(t *testing.T, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("no %s: run scripts/chart-tools.sh", names[len(names)-1])
	return ""
}

var listening = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// listens starts a server, and gives its URL, which is in its log.
func listens(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	found := make(chan string, 1)
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				found <- "http://" + m[1]
			}
		}
	}()
	select {
	case address := <-found:
		return address
	case <-done:
		t.Fatalf("%s ends", cmd.Path)
	case <-time.After(patience):
		t.Fatalf("%s does not listen", cmd.Path)
	}
	return ""
}

// scrape has Prometheus scrape a daemon, in a namespace.
func (m *monitoring) scrape(t *testing.T, address, namespace string) {
	t.Helper()
	text, err := json.Marshal([]map[string]any{{"targets": []string{address}, "labels": map[string]string{"namespace": namespace}}})
	if err != nil {
		t.Fatal(err)
	}
	name := strings.ReplaceAll(namespace, " ", "-")
	write(t, m.targets, name+".new", string(text))
	if err := os.Rename(filepath.Join(m.targets, name+".new"), filepath.Join(m.targets, name+".json")); err != nil { // whole, or not at all
		t.Fatal(err)
	}
}

// picture is what there is of a namespace's alerts, sorted: those that have begun and do not last
// long enough yet, those that fire, and of these the ones that a person gets.
type picture struct{ pending, firing, sent []string }

func (p picture) String() string {
	return fmt.Sprintf("pending: %s\nfiring: %s\nsent: %s", strings.Join(p.pending, ", "), strings.Join(p.firing, ", "), strings.Join(p.sent, ", "))
}

func (p picture) equal(q picture) bool {
	return slices.Equal(p.pending, q.pending) && slices.Equal(p.firing, q.firing) && slices.Equal(p.sent, q.sent)
}

// alerts gives the present picture.
func (m *monitoring) alerts(t *testing.T, namespace string) (p picture) {
	t.Helper()
	var all struct {
		Data struct {
			Alerts []struct {
				Labels labels
				State  string
			}
		}
	}
	get(t, m.prometheus+"/api/v1/alerts", &all)
	for _, a := range all.Data.Alerts {
		switch {
		case !a.Labels.of(namespace):
		case a.State == "firing":
			p.firing = append(p.firing, a.Labels.name())
		default:
			p.pending = append(p.pending, a.Labels.name())
		}
	}
	var sent []struct{ Labels labels }
	get(t, m.alertmanager+"/api/v2/alerts?inhibited=false&silenced=false", &sent)
	for _, a := range sent {
		if a.Labels.of(namespace) {
			p.sent = append(p.sent, a.Labels.name())
		}
	}
	slices.Sort(p.pending)
	slices.Sort(p.firing)
	slices.Sort(p.sent)
	return p
}

// evaluated is when the rules were last evaluated.
func (m *monitoring) evaluated(t *testing.T) time.Time {
	t.Helper()
	var rules struct {
		Data struct {
			Groups []struct{ LastEvaluation time.Time }
		}
	}
	get(t, m.prometheus+"/api/v1/rules", &rules)
	if len(rules.Data.Groups) != 1 {
		t.Fatalf("Prometheus has %d groups of rules", len(rules.Data.Groups))
	}
	return rules.Data.Groups[0].LastEvaluation
}

// sees reports whether an expression has a value other than 0.
func (m *monitoring) sees(t *testing.T, expression string) bool {
	t.Helper()
	var answer struct {
		Data struct{ Result []struct{ Value [2]any } }
	}
	get(t, m.prometheus+"/api/v1/query?query="+url.QueryEscape(expression), &answer)
	return slices.ContainsFunc(answer.Data.Result, func(r struct{ Value [2]any }) bool { return r.Value[1] != "0" })
}

// labels are an alert's.
type labels map[string]string

// of reports whether the alert belongs to a namespace. ReaperAbsent has none: nothing is there.
func (l labels) of(namespace string) bool { return l["namespace"] == namespace || l["namespace"] == "" }

// name is what the situations call an alert: ReaperLagHigh of the policy events is LagHigh/events.
func (l labels) name() string {
	name := strings.TrimPrefix(l["alertname"], "Reaper")
	if of := l["policy"] + l["guard"]; of != "" {
		name += "/" + of
	}
	return name
}

// get asks a server, and reads its JSON.
func get(t *testing.T, address string, into any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v\n%s", address, answer.StatusCode, err, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v\n%s", address, err, text)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
