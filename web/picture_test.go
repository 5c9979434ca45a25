package web_test

import (
	"strings"
	"time"

	"github.com/reaperdb/reaper/web"
)

// now is the time of all snapshots: a Monday, 04:12.
var now = time.Date(2026, 3, 2, 4, 12, 30, 0, time.UTC)

func ago(d time.Duration) *time.Time { t := now.Add(-d); return &t }

const day = 24 * time.Hour

// hostile are malicious tenant keys.
var hostile = []string{
	`<script>document.documentElement.dataset.owned = "yes"</script>`,
	`"><img src=x onerror="document.documentElement.dataset.owned = 'yes'">`,
	"acme\u202egnp.exe\u2066",
	strings.Repeat("long", 2560),
	"caf\xe9 \xff\xfe",
	"Z" + strings.Repeat("\u0301", 200),
	"line\nbreak\x00nul\ttab",
	"",
	"{{.}} ${7*7} javascript:alert(1)",
	"株式会社サンプル",
}

// fine is a snapshot in which all is well.
func fine() web.Status {
	return web.Status{
		At: now.Add(-time.Second), Instance: "reaper-0", Version: "1.2.3", StartedAt: now.Add(-9 * day), Leader: "reaper-0",
		Policies:   []web.Policy{emails(), audit()},
		Guards:     guards(),
		Database:   database(),
		Config:     web.Config{File: "/etc/reaper/reaper.yaml", LoadedAt: now.Add(-3 * day)},
		Heartbeats: []web.Heartbeat{{Name: "healthchecks (hc-ping.com/…3f2a)", LastSuccessAt: ago(4 * time.Hour)}},
	}
}

func emails() web.Policy {
	return web.Policy{
		Name: "emails", Table: "public.outgoing_emails", Schedule: "15 */6 * * *",
		LagSeconds: new(3 * 3600.0), BacklogRows: new(int64(18204)), OldestExpiredAt: ago(33 * day), OverdueTenants: new(int64(41)),
		MaxLagSeconds: new(12 * 3600.0), ScannedAt: ago(40 * time.Second),
		LastSuccessAt: ago(4 * time.Hour), NextRunAt: ago(-(2*time.Hour + 2*time.Minute)),
		Balance: &web.Balance{Arrival: new(61.2), Due: new(55.0), Deletion: new(55.01), ClearSeconds: new(331.0), Reason: "deleting keeps up: the next run deletes what is due"},
		Runs: []web.Run{
			run("complete", "", 4*time.Hour, 11*time.Minute, map[string]int64{"public.outgoing_emails": 1204331, "public.attachments": 88310, "public.replies": 20113}),
			run("complete", "", 10*time.Hour, 9*time.Minute, map[string]int64{"public.outgoing_emails": 998214, "public.attachments": 71002}),
		},
	}
}

func audit() web.Policy {
	return web.Policy{
		Name: "audit-log", Table: "public.audit_log", Schedule: "@daily",
		LagSeconds: new(0.0), BacklogRows: new(int64(0)), OverdueTenants: new(int64(0)), ScannedAt: ago(41 * time.Second),
		LastSuccessAt: ago(time.Hour + 4*time.Minute), NextRunAt: ago(-20 * time.Hour),
		Balance: &web.Balance{Arrival: new(0.5), Due: new(0.0), Deletion: new(0.25), ClearSeconds: new(0.0), Reason: "nothing is due"},
		Runs:    []web.Run{run("complete", "", time.Hour+5*time.Minute, 30*time.Second, map[string]int64{"public.audit_log": 50123})},
	}
}

func run(status, reason string, began, took time.Duration, rows map[string]int64) web.Run {
	r := web.Run{
		RunID: "0195", Trigger: "schedule", Status: status, Reason: reason, StartedAt: *ago(began), FinishedAt: ago(began - took),
		Rows: rows, Batches: 812, WALBytes: 1 << 30,
	}
	for _, n := range rows {
		r.RowsTotal += n
	}
	return r
}

func database() web.Database {
	return web.Database{
		Up: true, Name: "mail_production", Version: "16.4", SizeBytes: new(int64(412 << 30)), Sizes: sizes(412<<30, 1<<30),
		Tables: []web.Table{
			{Name: "public.outgoing_emails", SizeBytes: new(int64(288 << 30)), DeadRows: new(int64(1204331)), Sizes: sizes(288<<30, 1<<30)},
			{Name: "public.attachments", SizeBytes: new(int64(61 << 30)), DeadRows: new(int64(88310)), Sizes: sizes(61<<30, 1<<26)},
			{Name: "public.audit_log", SizeBytes: new(int64(7 << 30)), DeadRows: nil},
		},
		Forecast: &web.Forecast{
			LimitBytes: new(int64(500 << 30)), UsedBytes: 415 << 30, BytesPerSecond: new(float64(1<<30) / day.Seconds()), FullAt: ago(-85 * day),
			Reason: "it grows by 1.0 GiB a day, over 7 days, one jump left out",
		},
	}
}

// guards are some in state go, and one that the policy file turns off.
func guards() []web.Guard {
	return []web.Guard{
		{Name: "storage", State: "go", Value: new(float64(415 << 30)), Unit: "bytes", Slow: new(float64(450 << 30)), Stop: new(float64(490 << 30)), At: ago(2 * time.Second)},
		{Name: "wal_rate", State: "go", Value: new(float64(12 << 20)), Unit: "bytes_per_second", Slow: new(float64(50 << 20)), Pause: new(float64(100 << 20)), At: ago(2 * time.Second)},
		{Name: "connections", State: "go", Value: new(0.425), Unit: "ratio", Pause: new(0.9), At: ago(2 * time.Second)},
		{Name: "dead_rows", Policy: "emails", State: "go", Value: new(0.1), Unit: "ratio", Slow: new(0.2), At: ago(2 * time.Second)},
		{Name: "latency", State: "go", Off: true, Unit: "seconds"},
	}
}

// heldBack are guards that hold deleting back.
func heldBack() []web.Guard {
	return []web.Guard{
		{Name: "replica_lag", State: "pause", Value: new(412.0), Unit: "seconds", Slow: new(5.0), Pause: new(60.0), Since: ago(3 * time.Minute), At: ago(time.Second), Reason: "the replica <b>standby-2</b> is 6 min 52 s behind"},
		{Name: "wal_backlog", State: "pause", Unit: "bytes", Pause: new(float64(10 << 30)), Unknown: true, Since: ago(time.Minute), At: ago(time.Second), Reason: "unknown: permission denied for function pg_ls_waldir"},
		{Name: "lock_waits", State: "slow", Value: new(2.0), Unit: "sessions", Slow: new(1.0), Since: ago(time.Second), At: ago(time.Second), Reason: "2 sessions wait for reaper"},
		{Name: "queue " + strings.Repeat("long", 40), State: "stop", Value: new(1234567.891), Stop: new(1e6), Since: ago(time.Hour), At: ago(time.Second), Reason: hostile[0]},
	}
}

// paused is a snapshot in which everything is paused manually.
func paused() web.Status {
	s := fine()
	s.Pauses = []web.Pause{{Until: now.Add(108 * time.Minute), Reason: "moving the archive table, see OPS-1234", By: "ann@laptop", Since: now.Add(-12 * time.Minute)}}
	for i := range s.Policies {
		s.Policies[i].Paused, s.Policies[i].PausedUntil, s.Policies[i].PausedReason = true, &s.Pauses[0].Until, s.Pauses[0].Reason
	}
	return s
}

// sizes returns thirty days of sizes that end at last: growth with occasional purges.
func sizes(last, step int64) []web.Size {
	var list []web.Size
	for i := range int64(120) {
		bytes := last - (119-i)*step/4 + (i%28)*step
		list = append(list, web.Size{At: now.Add(-time.Duration(119-i) * 6 * time.Hour), Bytes: bytes})
	}
	return list
}

// bad is a snapshot of a bad night, with a run in progress and hostile tenants.
func bad() web.Status {
	s := fine()
	p := &s.Policies[0]
	p.LagSeconds, p.BacklogRows, p.OverdueTenants = new(30.5*3600), new(int64(2904331)), new(int64(1207))
	p.Late, p.LateSince = true, ago(18*time.Hour+30*time.Minute)
	p.Failing, p.FailingSince = true, ago(22*time.Hour)
	p.Reason = "3 runs in a row ended incomplete: tenant 4711: deleting batch from public.outgoing_emails: permission denied for table replies (SQLSTATE 42501)"
	p.LastSuccessAt = ago(22 * time.Hour)
	p.Runs[0] = run("failed", "connecting to the database: connection refused", 4*time.Hour, 3*time.Second, nil)
	p.Runs[1] = run("incomplete", "1 of 1,207 tenants failed: permission denied for table replies (SQLSTATE 42501)", 10*time.Hour, 9*time.Minute, map[string]int64{"public.outgoing_emails": 998214, "public.attachments": 71002})
	p.Running = &web.Progress{
		RunID: "0196", Trigger: "schedule", Instance: "reaper-2", StartedAt: *ago(7 * time.Minute), Roots: 602118, Due: new(int64(2904331)), Rows: 911402,
		Batches: 611, TenantsDone: 214, TenantsDue: new(int64(1207)), Tenant: &hostile[2],
		Held: &web.Held{Guard: "replica_lag", State: "pause", Reason: "the replica standby-2 is 6 min 52 s behind", Since: *ago(3 * time.Minute)},
	}
	p.Balance = &web.Balance{Arrival: new(61.2), Due: new(55.0), Deletion: new(0.004), Reason: "never at this rate: more becomes due than is deleted"}
	s.Guards = append(s.Guards, heldBack()...)
	s.Pauses = []web.Pause{{Policy: new("sessions"), Until: now.Add(30 * time.Hour), Reason: hostile[1], By: hostile[2], Since: now.Add(-18 * time.Hour)}}
	s.Holds = []web.Hold{
		{ID: 17, Policy: new("sessions"), Tenant: &hostile[0], Until: ago(-30 * time.Hour), Reason: hostile[1], By: hostile[2], At: *ago(time.Hour)},
		{ID: 18, Reason: "an inquiry", By: "ann@laptop", At: *ago(time.Minute)},
	}
	s.Database.Forecast.LimitBytes, s.Database.Forecast.FullAt = new(int64(420<<30)), ago(-5*day)
	for i := range hostile {
		p.WorstTenants = append(p.WorstTenants, web.Tenant{Key: &hostile[i], LagSeconds: float64(30-i) * 3600, Rows: new(int64(40000 / (i + 1)))})
	}
	s.Policies = append(s.Policies, web.Policy{
		Name: "sessions", Table: `public."userSessions"`, Schedule: "@hourly", ScanStale: true, Problem: "measuring the lag: canceling statement due to statement timeout (SQLSTATE 57014)",
		Paused: true, PausedUntil: &s.Pauses[0].Until, PausedReason: s.Pauses[0].Reason, LastSuccessAt: nil, NextRunAt: ago(2 * time.Minute),
	})
	s.Leader = "reaper-1"
	s.Config.Error, s.Config.FailedAt = "reaper.yaml:12:5: unknown key max_lags: write max_lag, or remove it", ago(35*time.Minute)
	s.Heartbeats[0].LastError, s.Heartbeats[0].LastErrorAt = "500 Internal Server Error", ago(4*time.Hour)
	return s
}

// down is a snapshot with the database down.
func down() web.Status {
	s := fine()
	s.Database = web.Database{Name: "mail_production", DownSince: ago(54 * time.Minute), Error: "connecting to the database: dial tcp 10.0.0.7:5432: connect: connection refused"}
	return s
}
