package web_test

import (
	"strings"
	"time"

	"github.com/reaperdb/reaper/web"
)

// now is the moment of all pictures: a Monday, 04:12 in the morning.
var now = time.Date(2026, 3, 2, 4, 12, 30, 0, time.UTC)

func ago(d time.Duration) *time.Time { t := now.Add(-d); return &t }

const day = 24 * time.Hour

// hostile are keys of tenants that somebody chose.
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

// fine is a picture in which all is well.
func fine() web.Status {
	return web.Status{
		At: now.Add(-time.Second), Instance: "reaper-0", Version: "1.2.3", StartedAt: now.Add(-9 * day), Leader: "reaper-0",
		Policies:   []web.Policy{emails(), audit()},
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
		Runs: []web.Run{run("complete", "", time.Hour+5*time.Minute, 30*time.Second, map[string]int64{"public.audit_log": 50123})},
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
	}
}

// sizes are thirty days that end at a size: growth, with a purge now and then.
func sizes(last, step int64) []web.Size {
	var list []web.Size
	for i := range int64(120) {
		bytes := last - (119-i)*step/4 + (i%28)*step
		list = append(list, web.Size{At: now.Add(-time.Duration(119-i) * 6 * time.Hour), Bytes: bytes})
	}
	return list
}

// bad is a picture of a bad night, with a run under way and hostile tenants.
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
	}
	for i := range hostile {
		p.WorstTenants = append(p.WorstTenants, web.Tenant{Key: &hostile[i], LagSeconds: float64(30-i) * 3600, Rows: new(int64(40000 / (i + 1)))})
	}
	s.Policies = append(s.Policies, web.Policy{
		Name: "sessions", Table: `public."userSessions"`, Schedule: "@hourly", ScanStale: true, Problem: "measuring the lag: canceling statement due to statement timeout (SQLSTATE 57014)",
		Paused: true, LastSuccessAt: nil, NextRunAt: ago(2 * time.Minute),
	})
	s.Leader = "reaper-1"
	s.Config.Error, s.Config.FailedAt = "reaper.yaml:12:5: unknown key max_lags: write max_lag, or remove it", ago(35*time.Minute)
	s.Heartbeats[0].LastError, s.Heartbeats[0].LastErrorAt = "500 Internal Server Error", ago(4*time.Hour)
	return s
}

// down is a picture of a database that is gone.
func down() web.Status {
	s := fine()
	s.Database = web.Database{Name: "mail_production", DownSince: ago(54 * time.Minute), Error: "connecting to the database: dial tcp 10.0.0.7:5432: connect: connection refused"}
	return s
}
