package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/reaperdb/reaper/metrics"
)

// at is 2026-03-02 04:00 UTC.
var at = time.Unix(1772424000, 0)

type bed struct {
	*metrics.Metrics
	reg *prometheus.Registry
}

func newBed(policies ...metrics.Policy) bed {
	reg := prometheus.NewPedanticRegistry()
	m := metrics.New(reg, metrics.Build{Version: "1.2.3", Revision: "abc", GoVersion: "go1.26"})
	m.SetPolicies(policies...)
	return bed{m, reg}
}

var emails = metrics.Policy{Name: "emails", Tables: []string{"public.emails", "public.replies"}, MaxLag: 12 * time.Hour, Interval: 6 * time.Hour, Archive: true}

// is compares all series of one metric, sorted.
func (b bed) is(t *testing.T, name string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, b.series(t, name)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// series gives the lines of one metric (of a histogram: none), without its name.
func (b bed) series(t *testing.T, name string) []string {
	t.Helper()
	var lines []string
	for line := range strings.Lines(b.scrape(t)) {
		if rest, ok := strings.CutPrefix(line, name); ok && strings.ContainsAny(rest[:1], "{ ") {
			lines = append(lines, strings.TrimSpace(rest))
		}
	}
	return lines
}

// scrape is what Prometheus gets.
func (b bed) scrape(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(b.reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	return w.Body.String()
}

// everything tells each event once, so that every metric has a series.
func (b bed) everything() {
	b.SetLeader(true)
	b.SetDatabaseUp(true)
	b.SetDatabaseSize(1 << 40)
	b.SetDatabaseName("mail")
	b.SetTables([]metrics.Table{{Name: "public.emails", Bytes: 1 << 30, DeadRows: 7}})
	b.ConfigLoaded(at)
	b.HeartbeatSent("success", at)
	b.LagScanned("emails", metrics.Scan{At: at, Oldest: at.Add(-48 * time.Hour), Lag: time.Hour, Rows: 5, OverdueTenants: 2})
	b.RunStarted("emails")
	b.BatchDone("emails", 150*time.Millisecond)
	b.BatchOverrun("emails")
	b.BatchRetried("emails", "deadlock")
	b.RowsDeleted("emails", "public.emails", 1000)
	b.RunEnded(metrics.Run{Policy: "emails", Trigger: "schedule", Status: "complete", EndedAt: at, Took: time.Minute, Success: true})
	b.SetNextRun("emails", at.Add(time.Hour))
	b.SetGuards([]metrics.Guard{{Name: "wal_rate", State: "pause", Value: new(42.0), Since: at}})
	b.SetPaused(true)
	b.SetHolds(3)
	b.SetErasures(map[string]int{"requested": 2}, time.Hour)
	b.SetLeftovers(map[string]int64{"public.jobs": 4})
	b.SetPolicyPaused("emails", at.Add(time.Hour))
	b.ArchiveSent("emails", metrics.ArchiveSegment, 1<<20, 2*time.Second)
	b.ArchiveSent("emails", metrics.ArchiveList, 0, time.Second)
	b.ArchiveFailed("emails", metrics.ArchiveList)
	b.SetMissingLists("emails", 2, at)
	b.SetVerification(metrics.Verification{Verified: at, Loaded: at, Interval: 168 * time.Hour, Damaged: 1, Segments: 40, Bytes: 1 << 30, Done: true})
	b.SetStorage(metrics.Storage{Limit: new(int64(1 << 41)), Used: new(int64(1 << 40)), Growth: new(1024.0), FullAt: new(at.Add(48 * time.Hour))})
	b.SetBalance("emails", metrics.Balance{Arrival: new(12.0), Deletion: new(10.0), Clear: new(3600.0)})
	b.reg.MustRegister(metrics.Pool(func() metrics.PoolStats {
		return metrics.PoolStats{Acquired: 1, Idle: 2, Total: 3, Max: 4, Acquires: 5, AcquireWait: 6 * time.Second, Canceled: 7}
	}))
}

// A rate over a series that begins with its first event misses that event, and
// an alert on "no success" has nothing to look at.
func TestCountsStartAtZero(t *testing.T) {
	t.Parallel()
	b := newBed(emails)
	for name, series := range map[string]int{
		"reaper_runs_total":             12,
		"reaper_batches_total":          3,
		"reaper_rows_deleted_total":     2,
		"reaper_run_in_progress":        1,
		"reaper_policy_failing":         1,
		"reaper_approval_needed":        2,
		"reaper_batch_retries_total":    10,
		"reaper_heartbeats_total":       16,
		"reaper_leader":                 1,
		"reaper_paused":                 1,
		"reaper_holds":                  1,
		"reaper_policy_paused":          1,
		"reaper_database_up":            1,
		"reaper_batch_duration_seconds": 1,
		"reaper_run_duration_seconds":   1,
		"reaper_archive_objects_total":  2,
		"reaper_archive_failures_total": 3,
	} {
		if n, err := testutil.GatherAndCount(b.reg, name); err != nil || n != series {
			t.Errorf("%s: %d series, %v; want %d", name, n, err, series)
		}
		for _, line := range b.series(t, name) {
			if !strings.HasSuffix(line, " 0") && line != "0" {
				t.Errorf("%s is not zero at the start: %s", name, line)
			}
		}
	}
}

// 0 s of lag, or a last success in 1970, would be an answer.
func TestWhatIsNotKnownIsAbsent(t *testing.T) {
	t.Parallel()
	b := newBed(emails)
	for _, name := range []string{
		"reaper_retention_lag_seconds", "reaper_expired_rows", "reaper_overdue_tenants", "reaper_oldest_expired_row_timestamp_seconds",
		"reaper_lag_scan_timestamp_seconds", "reaper_last_run_timestamp_seconds", "reaper_last_success_timestamp_seconds",
		"reaper_next_run_timestamp_seconds", "reaper_info", "reaper_database_size_bytes", "reaper_table_size_bytes", "reaper_table_dead_rows",
		"reaper_heartbeat_last_success_timestamp_seconds", "reaper_config_last_reload_success_timestamp_seconds",
		"reaper_guard_state", "reaper_guard_value", "reaper_guard_active_since_timestamp_seconds", "reaper_pause_end_timestamp_seconds",
		"reaper_storage_limit_bytes", "reaper_storage_used_bytes", "reaper_storage_growth_bytes_per_second", "reaper_storage_full_timestamp_seconds",
		"reaper_arrival_rows_per_second", "reaper_deletion_rows_per_second", "reaper_backlog_clear_seconds",
		"reaper_archive_missing_lists", "reaper_archive_oldest_missing_list_timestamp_seconds", "reaper_archive_last_verified_timestamp_seconds",
		"reaper_archive_last_loaded_timestamp_seconds", "reaper_archive_verify_interval_seconds", "reaper_archive_damaged_segments", "reaper_archive_segments",
		"reaper_archive_size_bytes",
	} {
		b.is(t, name)
	}
	b.SetLeader(true)
	b.LagScanned("emails", metrics.Scan{At: at, Rows: -1, OverdueTenants: -1})
	b.is(t, "reaper_retention_lag_seconds", `{policy="emails"} 0`)
	b.is(t, "reaper_lag_scan_timestamp_seconds", `{policy="emails"} 1.772424e+09`)
	b.is(t, "reaper_oldest_expired_row_timestamp_seconds")
	b.is(t, "reaper_expired_rows")
	b.is(t, "reaper_overdue_tenants")
}

func TestEvents(t *testing.T) {
	t.Parallel()
	b := newBed(emails)
	b.everything()
	b.is(t, "reaper_build_info", `{goversion="go1.26",revision="abc",version="1.2.3"} 1`)
	b.is(t, "reaper_info", `{database="mail"} 1`)
	b.is(t, "reaper_leader", "1")
	b.is(t, "reaper_database_up", "1")
	b.is(t, "reaper_database_size_bytes", "1.099511627776e+12")
	b.is(t, "reaper_table_size_bytes", `{table="public.emails"} 1.073741824e+09`)
	b.is(t, "reaper_table_dead_rows", `{table="public.emails"} 7`)
	b.is(t, "reaper_config_last_reload_successful", "1")
	b.is(t, "reaper_config_last_reload_success_timestamp_seconds", "1.772424e+09")
	b.is(t, "reaper_heartbeat_last_success_timestamp_seconds", "1.772424e+09")
	b.is(t, "reaper_retention_lag_seconds", `{policy="emails"} 3600`)
	b.is(t, "reaper_oldest_expired_row_timestamp_seconds", `{policy="emails"} 1.7722512e+09`)
	b.is(t, "reaper_expired_rows", `{policy="emails"} 5`)
	b.is(t, "reaper_overdue_tenants", `{policy="emails"} 2`)
	b.is(t, "reaper_run_in_progress", `{policy="emails"} 0`)
	b.is(t, "reaper_last_run_timestamp_seconds", `{policy="emails"} 1.772424e+09`)
	b.is(t, "reaper_last_success_timestamp_seconds", `{policy="emails"} 1.772424e+09`)
	b.is(t, "reaper_next_run_timestamp_seconds", `{policy="emails"} 1.7724276e+09`)
	b.is(t, "reaper_rows_deleted_total", `{policy="emails",table="public.emails"} 1000`, `{policy="emails",table="public.replies"} 0`)
	b.is(t, "reaper_batches_total", `{outcome="committed",policy="emails"} 1`, `{outcome="overrun",policy="emails"} 1`, `{outcome="retried",policy="emails"} 1`)
	b.is(t, "reaper_paused", "1")
	b.is(t, "reaper_holds", "3")
	b.is(t, "reaper_erasures", `{state="requested"} 2`)
	b.is(t, "reaper_erasure_overdue_seconds", "3600")
	b.is(t, "reaper_leftover_rows", `{table="public.jobs"} 4`)
	b.is(t, "reaper_policy_paused", `{policy="emails"} 1`)
	b.is(t, "reaper_pause_end_timestamp_seconds", `{policy="emails"} 1.7724276e+09`)
	b.is(t, "reaper_storage_limit_bytes", "2.199023255552e+12")
	b.is(t, "reaper_storage_used_bytes", "1.099511627776e+12")
	b.is(t, "reaper_storage_growth_bytes_per_second", "1024")
	b.is(t, "reaper_storage_full_timestamp_seconds", "1.7725968e+09")
	b.is(t, "reaper_arrival_rows_per_second", `{policy="emails"} 12`)
	b.is(t, "reaper_deletion_rows_per_second", `{policy="emails"} 10`)
	b.is(t, "reaper_backlog_clear_seconds", `{policy="emails"} 3600`)
	b.is(t, "reaper_archive_objects_total", `{object="list",policy="emails"} 1`, `{object="segment",policy="emails"} 1`)
	b.is(t, "reaper_archive_sent_bytes_total", `{policy="emails"} 1.048576e+06`)
	b.is(t, "reaper_archive_send_seconds_total", `{policy="emails"} 3`)
	b.is(t, "reaper_archive_failures_total", `{policy="emails",step="list"} 1`, `{policy="emails",step="segment"} 0`, `{policy="emails",step="spool"} 0`)
	b.is(t, "reaper_archive_missing_lists", `{policy="emails"} 2`)
	b.is(t, "reaper_archive_oldest_missing_list_timestamp_seconds", `{policy="emails"} 1.772424e+09`)
	b.is(t, "reaper_archive_damaged_segments", "1")
	b.SetMissingLists("emails", 0, time.Time{})
	b.is(t, "reaper_archive_oldest_missing_list_timestamp_seconds")
	b.SetVerification(metrics.Verification{Verified: at})
	b.is(t, "reaper_archive_last_verified_timestamp_seconds", "1.772424e+09")
	b.is(t, "reaper_archive_last_loaded_timestamp_seconds")
	b.is(t, "reaper_archive_damaged_segments")
	b.is(t, "reaper_pool_acquire_wait_seconds_total", "6")
	b.is(t, "reaper_pool_max_connections", "4")

	b.RunStarted("emails")
	b.is(t, "reaper_run_in_progress", `{policy="emails"} 1`)
	b.RunEnded(metrics.Run{Policy: "emails", Trigger: "schedule", Status: "failed", EndedAt: at.Add(time.Minute)})
	b.is(t, "reaper_last_run_timestamp_seconds", `{policy="emails"} 1.77242406e+09`)
	b.is(t, "reaper_last_success_timestamp_seconds", `{policy="emails"} 1.772424e+09`)
	b.SetFailing("emails", true)
	b.is(t, "reaper_policy_failing", `{policy="emails"} 1`)
	b.is(t, "reaper_max_lag_seconds", `{policy="emails"} 43200`)
	b.is(t, "reaper_schedule_interval_seconds", `{policy="emails"} 21600`)
	b.SetPolicies(metrics.Policy{Name: "emails"})
	b.is(t, "reaper_policy_failing", `{policy="emails"} 1`)
	b.is(t, "reaper_max_lag_seconds")
	b.ConfigFailed()
	b.is(t, "reaper_config_last_reload_successful", "0")
	b.is(t, "reaper_config_last_reload_success_timestamp_seconds", "1.772424e+09")
}

// A policy that a reload takes away takes its series along, and a run of it that
// ends later does not bring them back.
func TestPolicyGoes(t *testing.T) {
	t.Parallel()
	b := newBed(emails, metrics.Policy{Name: "logs"})
	b.everything()
	b.SetPolicies(metrics.Policy{Name: "logs"})
	b.RunEnded(metrics.Run{Policy: "emails", Trigger: "schedule", Status: "complete", EndedAt: at, Success: true})
	b.RowsDeleted("emails", "public.emails", 1)
	b.LagScanned("emails", metrics.Scan{At: at})
	families, err := b.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if strings.Contains(f.String(), `value:"emails"`) {
			t.Errorf("%s has still a series of the policy that is gone: %s", f.GetName(), f)
		}
	}
	if n, err := testutil.GatherAndCount(b.reg, "reaper_runs_total"); err != nil || n != 12 {
		t.Errorf("the policy that stays has %d series of runs, %v; want 12", n, err)
	}
}

// A reload must not set counters back.
func TestReloadKeepsCounts(t *testing.T) {
	t.Parallel()
	b := newBed(emails)
	b.everything()
	b.SetPolicies(emails, metrics.Policy{Name: "logs"})
	b.is(t, "reaper_rows_deleted_total", `{policy="emails",table="public.emails"} 1000`, `{policy="emails",table="public.replies"} 0`)
}

// Error codes are PostgreSQL's, hundreds of them; none of them makes a series.
func TestLabelsAreBounded(t *testing.T) {
	t.Parallel()
	b := newBed(emails)
	for _, word := range []string{"22P02", "23514", "<script>", ""} {
		b.BatchRetried("emails", word)
		b.RunEnded(metrics.Run{Policy: "emails", Trigger: word, Status: word, EndedAt: at})
		b.HeartbeatNotSent(word, word)
	}
	for name, series := range map[string]int{"reaper_batch_retries_total": 10, "reaper_runs_total": 13, "reaper_heartbeats_total": 17} {
		if n, err := testutil.GatherAndCount(b.reg, name); err != nil || n != series {
			t.Errorf("%s: %d series, %v; want %d", name, n, err, series)
		}
	}
}

// What another process measures from now on would stand beside values that
// never change again.
func TestLostLeaseTakesTheLag(t *testing.T) {
	t.Parallel()
	b := newBed(emails)
	b.everything()
	b.SetLeader(false)
	b.LagScanned("emails", metrics.Scan{At: at, Lag: time.Hour}) // one that was under way
	b.is(t, "reaper_leader", "0")
	b.is(t, "reaper_retention_lag_seconds")
	b.is(t, "reaper_lag_scan_timestamp_seconds")
	b.is(t, "reaper_last_success_timestamp_seconds", `{policy="emails"} 1.772424e+09`)
}

func TestTables(t *testing.T) {
	t.Parallel()
	b := newBed(emails)
	b.SetTables([]metrics.Table{{Name: "public.a", Bytes: 1, DeadRows: 1}, {Name: "public.b", Bytes: 2, DeadRows: -1}, {Name: "public.a", Bytes: 3}})
	b.is(t, "reaper_table_size_bytes", `{table="public.a"} 1`, `{table="public.b"} 2`)
	b.is(t, "reaper_table_dead_rows", `{table="public.a"} 1`)
	b.SetTables([]metrics.Table{{Name: "public.b", Bytes: 5}})
	b.is(t, "reaper_table_size_bytes", `{table="public.b"} 5`)
}

// What was told of a guard is gone with it, and what is not known is not told.
func TestGuards(t *testing.T) {
	t.Parallel()
	b := newBed(emails)
	b.SetGuards([]metrics.Guard{
		{Name: "storage", State: "go", Value: new(7.5), Unit: "bytes"},
		{Name: "wal_rate", State: "slow", Since: at},
		{Name: "latency", State: "pause", Value: new(0.0), Unit: "seconds", Since: at},
		{Name: "latency", State: "pause", Unknown: true, Since: at},
		{Name: "window", State: "stop", Unknown: true},
		{Name: "window", State: "stop"},
		{Name: "odd", State: "maybe", Value: new(1.0)},
		{Name: "dead_rows", State: "go", Value: new(1.0)},
		{Name: "dead_rows", State: "slow", Value: new(2.0), Since: at},
		{Name: "dead_rows", State: "go", Value: new(3.0)},
	})
	b.is(t, "reaper_guard_state", `{guard="dead_rows"} 1`, `{guard="latency"} 2`, `{guard="storage"} 0`, `{guard="wal_rate"} 1`, `{guard="window"} 3`)
	b.is(t, "reaper_guard_value", `{guard="dead_rows",unit="number"} 2`, `{guard="latency",unit="seconds"} 0`, `{guard="storage",unit="bytes"} 7.5`)
	b.is(t, "reaper_guard_active_since_timestamp_seconds", `{guard="dead_rows"} 1.772424e+09`, `{guard="latency"} 1.772424e+09`, `{guard="wal_rate"} 1.772424e+09`)
	b.is(t, "reaper_guard_unknown", `{guard="dead_rows"} 0`, `{guard="latency"} 0`, `{guard="storage"} 0`, `{guard="wal_rate"} 0`, `{guard="window"} 0`)
	b.SetGuards([]metrics.Guard{{Name: "latency", State: "pause", Unknown: true, Since: at}})
	b.is(t, "reaper_guard_unknown", `{guard="latency"} 1`)
	b.SetGuards([]metrics.Guard{{Name: "wal_rate", State: "go"}})
	b.is(t, "reaper_guard_state", `{guard="wal_rate"} 0`)
	b.is(t, "reaper_guard_value")
	b.is(t, "reaper_guard_active_since_timestamp_seconds")
}

// A pause that is over, a limit that is gone, and a backlog that never clears have no
// series.
func TestPausesAndGrowthEnd(t *testing.T) {
	t.Parallel()
	b := newBed(emails)
	b.everything()
	b.SetPaused(false)
	b.SetPolicyPaused("emails", time.Time{})
	b.SetPolicyPaused("gone", at)
	b.SetStorage(metrics.Storage{Used: new(int64(5)), Growth: new(-2.0)})
	b.SetBalance("emails", metrics.Balance{Arrival: new(3.0), Deletion: new(0.0)})
	b.SetBalance("gone", metrics.Balance{Arrival: new(3.0)})
	b.is(t, "reaper_paused", "0")
	b.is(t, "reaper_policy_paused", `{policy="emails"} 0`)
	b.is(t, "reaper_pause_end_timestamp_seconds")
	b.is(t, "reaper_storage_limit_bytes")
	b.is(t, "reaper_storage_used_bytes", "5")
	b.is(t, "reaper_storage_growth_bytes_per_second", "-2")
	b.is(t, "reaper_storage_full_timestamp_seconds")
	b.is(t, "reaper_arrival_rows_per_second", `{policy="emails"} 3`)
	b.is(t, "reaper_deletion_rows_per_second", `{policy="emails"} 0`)
	b.is(t, "reaper_backlog_clear_seconds")
}
