//go:build prometheus

package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// A real Prometheus scrapes a daemon, and gets the series of a failing run.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	s := serve(t, db.DSN(), lettersPolicy("@every 2s", ", where: no_such_column > 1"))
	s.await("a run has failed", 20*time.Second, s.health(503))

	_, text := s.get("/metrics")
	check := exec.CommandContext(t.Context(), "promtool", "check", "metrics")
	check.Stdin = strings.NewReader(text)
	if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool: %v\n%s", err, out)
	}

	query := scraper(t, strings.TrimPrefix(s.url, "http://"))
	for expression, want := range map[string]string{
		`up{job="reaper"}`:       "1",
		`reaper_database_up`:     "1",
		`sum(reaper_leader)`:     "1",
		`reaper_run_in_progress`: "0",
		`sum(reaper_runs_total{status="failed",trigger="schedule"}) > bool 0`: "1",
		`sum(reaper_runs_total{status="complete"})`:                           "0",
		`time() - reaper_last_run_timestamp_seconds < bool 60`:                "1",
		`absent(reaper_last_success_timestamp_seconds{policy="letters"})`:     "1",
		`reaper_next_run_timestamp_seconds - time() < bool 60`:                "1",
		`reaper_config_last_reload_successful`:                                "1",
		`sum(reaper_batches_total)`:                                           "0",
		`reaper_pool_max_connections`:                                         "4",
		`sum(increase(reaper_heartbeats_total[1m])) >= bool 0`:                "1",
	} {
		s.await(expression+" is "+want, 20*time.Second, func() bool { return query(expression) == want })
	}
}

// scraper starts a Prometheus that scrapes a target, and returns a function that queries it.
func scraper(t *testing.T, target string) func(expression string) string {
	t.Helper()
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Fatalf("no Prometheus: apt-get install prometheus (%v)", err)
	}
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: reaper, static_configs: [{targets: [%q]}]}]\n", target)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "prometheus", "--config.file="+file, "--storage.tsdb.path="+dir, "--web.listen-address="+addr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return func(expression string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/api/v1/query?query="+url.QueryEscape(expression), nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			return "" // it has just started
		}
		defer func() { _ = answer.Body.Close() }()
		var result struct {
			Data struct {
				Result []struct {
					Value [2]any `json:"value"`
				} `json:"result"`
			} `json:"data"`
		}
		if err := json.NewDecoder(answer.Body).Decode(&result); err != nil || len(result.Data.Result) == 0 {
			return ""
		}
		return fmt.Sprint(result.Data.Result[0].Value[1])
	}
}
