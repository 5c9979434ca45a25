package charttest_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

const inhibitFile = repository + "/deploy/alerts/inhibit.yaml"

// The rules name alerts that there are, and no rule mutes across two releases.
func TestInhibitRules_Names(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(inhibitFile)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Rules []struct {
			Source []string `json:"source_matchers"`
			Target []string `json:"target_matchers"`
			Equal  []string
		} `json:"inhibit_rules"`
	}
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, r := range alerts(t) {
		known[r.Alert] = true
	}
	for _, r := range file.Rules {
		if len(r.Equal) < 3 || !slices.Equal(r.Equal[:3], []string{"cluster", "namespace", "job"}) {
			t.Errorf("%v is not kept within one release: %v", r.Source, r.Equal)
		}
		for _, name := range regexp.MustCompile(`Reaper\w+`).FindAllString(strings.Join(append(r.Source, r.Target...), " "), -1) {
			if !known[name] {
				t.Errorf("there is no alert %s", name)
			}
		}
	}
}

// situations are alerts that fire together, and those of them that a person gets. Each
// may name a policy or a guard after a slash.
var situations = map[string]struct{ fire, sent []string }{
	"the database is down": {
		[]string{"DatabaseDown", "LagHigh/a", "LagCritical/a", "NoRecentSuccess/a", "NeverSucceeded/b", "RunsFailing/a", "RunsFailing/b", "BacklogGrowing/a", "LagStale/a", "GuardPausing/latency", "GuardUnknown/storage"},
		[]string{"DatabaseDown"},
	},
	"what has nothing to do with the database": {
		[]string{"DatabaseDown", "StorageCritical", "ConfigInvalid", "HeartbeatFailing"},
		[]string{"DatabaseDown", "StorageCritical", "ConfigInvalid", "HeartbeatFailing"},
	},
	"a guard pauses":         {[]string{"GuardPausing/latency", "RunsFailing/a", "LagHigh/b"}, []string{"GuardPausing/latency", "LagHigh/b"}},
	"a guard cannot be read": {[]string{"GuardUnknown/latency", "RunsFailing/a"}, []string{"GuardUnknown/latency"}},
	"the storage is full": {
		[]string{"StorageCritical", "StorageForecast", "GuardPausing/storage", "GuardPausing/latency"}, []string{"StorageCritical", "GuardPausing/latency"},
	},
	"a policy is far behind":     {[]string{"LagCritical/a", "LagHigh/a", "BacklogGrowing/a", "LagHigh/b"}, []string{"LagCritical/a", "LagHigh/b"}},
	"a policy cannot be planned": {[]string{"RunsFailing/a", "LagStale/a", "LagStale/b"}, []string{"RunsFailing/a", "LagStale/b"}},
	"that for a day":             {[]string{"NoRecentSuccess/a", "RunsFailing/a", "LagStale/a", "LagHigh/a"}, []string{"NoRecentSuccess/a"}},
	"a policy has never worked":  {[]string{"NeverSucceeded/a", "RunsFailing/a"}, []string{"NeverSucceeded/a"}},
	"a policy is paused by hand": {[]string{"Paused/a", "LagHigh/a", "NoRecentSuccess/a", "RunsFailing/b"}, []string{"Paused/a", "RunsFailing/b"}},
	"paused for too long":        {[]string{"Paused/a", "LagCritical/a", "LagHigh/a"}, []string{"Paused/a", "LagCritical/a"}},
	"the archive takes nothing":  {[]string{"ArchiveFailing/a", "RunsFailing/a", "RunsFailing/b", "ArchiveListsMissing/a"}, []string{"ArchiveFailing/a", "RunsFailing/b", "ArchiveListsMissing/a"}},
	"the archive is damaged":     {[]string{"ArchiveDamaged", "ArchiveUnverified"}, []string{"ArchiveDamaged"}},
	"no reaper is there":         {[]string{"Absent"}, []string{"Absent"}},
}

// A real Alertmanager sends, of the alerts that one cause brings, the one that names it.
// Every situation is another namespace's: none mutes another's alerts.
func TestInhibitRules(t *testing.T) {
	t.Parallel()
	url := alertmanager(t)
	severities := map[string]string{}
	for _, r := range alerts(t) {
		severities[r.Alert] = r.Labels["severity"]
	}
	var all []map[string]any
	var want []string
	for namespace, s := range situations {
		for _, alert := range s.fire {
			all = append(all, map[string]any{"labels": labelsOf(namespace, alert, severities)})
		}
		for _, alert := range s.sent {
			want = append(want, namespace+": "+alert)
		}
	}
	body, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, http.MethodPost, url+"/api/v2/alerts", body)
	slices.Sort(want)
	var got []string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if got = active(t, url); slices.Equal(got, want) {
			return
		}
	}
	t.Errorf("sent:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
}

// labelsOf are the labels that an alert has.
func labelsOf(namespace, alert string, severities map[string]string) map[string]string {
	name, of, _ := strings.Cut(alert, "/")
	labels := map[string]string{"alertname": "Reaper" + name, "namespace": namespace, "job": "reaper", "severity": severities["Reaper"+name]}
	switch {
	case strings.HasPrefix(name, "Guard"):
		labels["guard"] = of
	case of != "":
		labels["policy"] = of
	}
	return labels
}

// active are the alerts that Alertmanager sends, sorted.
func active(t *testing.T, url string) (names []string) {
	t.Helper()
	var list []struct{ Labels map[string]string }
	if err := json.Unmarshal(ask(t, http.MethodGet, url+"/api/v2/alerts?inhibited=false&silenced=false", nil), &list); err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		name := a.Labels["namespace"] + ": " + strings.TrimPrefix(a.Labels["alertname"], "Reaper")
		if of := a.Labels["policy"] + a.Labels["guard"]; of != "" {
			name += "/" + of
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func ask(t *testing.T, method, url string, body []byte) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v\n%s", url, answer.StatusCode, err, text)
	}
	return text
}

var listening = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// alertmanager starts one with the rules, and gives its URL.
func alertmanager(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("prometheus-alertmanager") // Debian's name for it
	if err != nil {
		if program, err = exec.LookPath("alertmanager"); err != nil {
			t.Fatal("no alertmanager: run scripts/chart-tools.sh")
		}
	}
	rules, err := os.ReadFile(inhibitFile)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "alertmanager.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n%s", rules), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "--config.file="+config, "--storage.path="+dir, "--web.listen-address=127.0.0.1:0", "--cluster.listen-address=")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	var log strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		log.WriteString(lines.Text() + "\n")
		if m := listening.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, out) }() // it must not wait for a reader
			return "http://" + m[1]
		}
	}
	t.Fatalf("it does not listen:\n%s", &log)
	return ""
}
