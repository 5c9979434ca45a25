//go:build ops

package ops_test

import (
	"net/http/httptest"
	"strings"
)

// runsOften is a daemon with a success every two seconds.
func runsOften(b *bed) {
	b.file(policyFile(often, "", ""))
	b.starts()
	b.works()
}

// patient is a policy whose rows may be due for longer than those of overdue.
const patient = ", max_lag: 200d"

// slowly has each row take a while to go, so that the process is told to end in the middle of a run.
const slowly = `
	CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN OLD; END';
	CREATE TRIGGER slow BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION wait()`

var situations = []situation{
	{
		name: "all is well with what is held and kept forever",
		well: func(b *bed) {
			b.db.Exec(b.t, overdue)
			b.db.Exec(b.t, `UPDATE accounts SET legal_hold = true WHERE id = 1`)
			b.file(policyFile(often, ", max_lag: 1h, overrides: {'2': forever}", ""))
			b.types("hold", "--tenant", "3", "--for", "1d", "--reason", "an inquiry")
			b.starts()
			b.works()
		},
		provoke: func(b *bed) { b.sees(`reaper_holds{NS} == 1`) },
	},
	{
		name: "no window of allow is open",
		well: func(b *bed) {
			// A day of the week that neither begins nor ends soon, by the clock that counts.
			day := b.db.Text(b.t, `SELECT to_char(now() + interval '3 days', 'Dy')`)
			b.db.Exec(b.t, overdue)
			b.file(policyFile(often, patient, `, allow: ["`+day+` 00:00-24:00"]`))
			b.starts()
			b.sees(`reaper_lag_scan_timestamp_seconds{NS}`)
		},
		provoke: func(b *bed) {
			await(b.t, "a run is put off", func() bool { return strings.Contains(b.text(), "run postponed: no window of allow is open") }, b.text)
		},
	},
	{
		name: "a deploy ends a run",
		well: func(b *bed) {
			b.db.Exec(b.t, slowly)
			b.file(policyFile(often, patient+", triggers: allow, limits: {rows: 5}", ""))
			b.starts()
			b.works()
		},
		provoke: func(b *bed) {
			b.db.Exec(b.t, `INSERT INTO events (account, created_at) SELECT id, now() - interval '100 days' FROM accounts, generate_series(1, 200)`)
			await(b.t, "a run deletes", func() bool { return b.db.Bool(b.t, `SELECT EXISTS (SELECT FROM reaper.deletions)`) }, b.text)
			b.ends()
			if !b.db.Bool(b.t, `SELECT EXISTS (SELECT FROM reaper.runs WHERE status = 'incomplete')`) {
				b.t.Error("no run was ended by it")
			}
			b.starts()
			b.works()
		},
	},
	{
		name: "the database is down",
		well: func(b *bed) {
			b.ownServer()
			runsOften(b)
		},
		provoke: func(b *bed) { b.kills() },
		firing:  []string{"DatabaseDown"},
		mend:    func(b *bed) { b.restarts() },
	},
	{
		name: "the database was never there",
		provoke: func(b *bed) {
			b.ownServer()
			b.file(policyFile(often, "", ""))
			b.kills()
			b.starts()
		},
		firing: []string{"DatabaseDown"},
		mend:   func(b *bed) { b.restarts() },
	},
	{
		name: "the database goes down while runs fail",
		provoke: func(b *bed) {
			b.ownServer()
			b.file(policyFile(often, ", where: no_such_column > 1", ""))
			b.starts()
			b.sees(`reaper_policy_failing{NS} == 1`)
			b.kills()
		},
		firing: []string{"DatabaseDown", "NeverSucceeded/events"},
		sent:   []string{"DatabaseDown"},
	},
	{
		name: "a CronJob never begins",
		provoke: func(b *bed) {
			b.file(policyFile(never, "", ""))
			b.succeeded("13 hours")
			b.starts("REAPER_OBSERVE=true", "REAPER_SCHEDULE=0 */6 * * *")
		},
		firing: []string{"RunsFailing/events"},
		mend: func(b *bed) {
			b.env = nil // of the observer
			b.types("run", "--once")
		},
	},
	{
		name: "a CronJob has not begun for days",
		provoke: func(b *bed) {
			b.file(policyFile(never, "", ""))
			b.succeeded("3 days")
			b.starts("REAPER_OBSERVE=true", "REAPER_SCHEDULE=0 */6 * * *")
		},
		firing: []string{"NoRecentSuccess/events", "RunsFailing/events"},
		sent:   []string{"NoRecentSuccess/events"},
	},
	{
		name: "a policy is late",
		provoke: func(b *bed) {
			b.db.Exec(b.t, overdue)
			b.file(policyFile(never, ", max_lag: 60d", ""))
			b.starts()
		},
		firing: []string{"LagHigh/events"},
		mend:   func(b *bed) { b.types("purge", "--yes") },
	},
	{
		name: "a policy is far behind",
		provoke: func(b *bed) {
			b.db.Exec(b.t, overdue)
			b.file(policyFile(never, ", max_lag: 1h", ""))
			b.starts()
		},
		firing: []string{"LagCritical/events", "LagHigh/events"},
		sent:   []string{"LagCritical/events"},
	},
	{
		name: "a guard pauses",
		well: func(b *bed) {
			b.file(policyFile(often, patient, `, custom: [{name: jobs, query: SELECT waiting FROM jobs, pause: 10}]`))
			b.starts()
			b.works()
		},
		provoke: func(b *bed) { b.db.Exec(b.t, `UPDATE jobs SET waiting = 11`); b.db.Exec(b.t, overdue) },
		firing:  []string{"GuardPausing/jobs"},
		mend:    func(b *bed) { b.db.Exec(b.t, `UPDATE jobs SET waiting = 0`) },
	},
	{
		name: "a guard lacks a grant",
		well: func(b *bed) {
			b.role()
			b.file(policyFile(often, patient, `, custom: [{name: jobs, query: SELECT waiting FROM jobs, pause: 10}]`))
			b.starts()
			b.works()
		},
		provoke: func(b *bed) { b.db.Exec(b.t, `REVOKE SELECT ON jobs FROM `+b.worker); b.db.Exec(b.t, overdue) },
		firing:  []string{"GuardUnknown/jobs"},
		mend:    func(b *bed) { b.db.Exec(b.t, `GRANT SELECT ON jobs TO `+b.worker) },
	},
	{
		name:    "the policy file is broken",
		well:    runsOften,
		provoke: func(b *bed) { b.file("version: 1\npolicies: [") },
		firing:  []string{"ConfigInvalid"},
		mend:    func(b *bed) { b.file(policyFile(often, "", "")) },
	},
	{
		name: "runs fail",
		well: func(b *bed) {
			b.role()
			b.file(policyFile(often, patient, ""))
			b.starts()
			b.works()
		},
		provoke: func(b *bed) {
			b.db.Exec(b.t, `REVOKE DELETE ON events FROM `+b.worker)
			b.db.Exec(b.t, overdue)
			b.sees(`reaper_retention_lag_seconds{NS} > 69 * 86400`) // it is measured all the same
		},
		firing: []string{"RunsFailing/events"},
		mend:   func(b *bed) { b.db.Exec(b.t, `GRANT DELETE ON events TO `+b.worker) },
	},
	{
		name: "a policy never works",
		provoke: func(b *bed) {
			b.file(policyFile(often, ", where: no_such_column > 1", ""))
			b.starts()
		},
		firing: []string{"LagStale/events", "NeverSucceeded/events", "RunsFailing/events"},
		sent:   []string{"NeverSucceeded/events"},
		mend:   func(b *bed) { b.file(policyFile(often, "", "")) },
	},
	{
		name:    "a run waits for approval",
		well:    runsOften,
		provoke: func(b *bed) { b.file(policyFile(often, ", where: account < 3", "")) },
		firing:  []string{"ApprovalNeeded/events", "RunsFailing/events"},
		sent:    []string{"ApprovalNeeded/events"},
		mend: func(b *bed) {
			b.types("approve", "--policy", "events", "--yes", "--reason", "account 3 keeps its events")
		},
	},
	{
		name: "a policy is paused by hand",
		well: func(b *bed) {
			b.file(policyFile(often, ", max_lag: 60d", ""))
			b.starts()
			b.works()
		},
		provoke: func(b *bed) {
			b.types("pause", "--policy", "events", "--for", "2h", "--reason", "a migration")
			b.db.Exec(b.t, overdue)
		},
		firing: []string{"LagHigh/events", "Paused/events"},
		sent:   []string{"Paused/events"},
		mend:   func(b *bed) { b.types("resume", "--policy", "events") },
	},
	{
		name: "the archive takes nothing",
		provoke: func(b *bed) {
			b.db.Exec(b.t, overdue)
			b.file(archivedFile(often, "file:///dev/null/archive", ""))
			b.starts()
		},
		firing: []string{"ArchiveFailing/events"}, // it ends ten minutes after the last failure
	},
	{
		name: "lists are missing in the archive",
		provoke: func(b *bed) {
			b.file(archivedFile(never, "file://"+b.t.TempDir(), ""))
			b.types("migrate")
			b.db.Exec(b.t, `INSERT INTO reaper.segment SELECT 'x', gen_random_uuid(), 'events', 1, now() - interval '2 hours', '{}'`)
			b.starts()
		},
		firing: []string{"ArchiveListsMissing/events"},
		mend:   func(b *bed) { b.db.Exec(b.t, `UPDATE reaper.segment SET list = NULL`) },
	},
	{
		name: "copies are damaged",
		provoke: func(b *bed) {
			b.file(archivedFile(never, "file://"+b.t.TempDir(), ""))
			b.types("migrate")
			b.db.Exec(b.t, `INSERT INTO reaper.verification (at, found, error) VALUES (now(), '{"segments": 1, "failures": [{"segment": "x", "reason": "it has 1 row"}]}', '')`)
			b.starts()
		},
		firing: []string{"ArchiveDamaged"},
		mend: func(b *bed) {
			b.db.Exec(b.t, `UPDATE reaper.verification SET found = '{"segments": 1, "failures": []}'`)
		},
	},
	{
		name: "nobody has verified the archive for a month",
		provoke: func(b *bed) {
			b.file(archivedFile(never, "file://"+b.t.TempDir(), ", verify: weekly"))
			b.types("migrate")
			b.db.Exec(b.t, `INSERT INTO reaper.verification (at, verified_at, found, error) VALUES (now(), now() - interval '30 days', '{}', 'the store does not answer')`)
			b.starts()
		},
		firing: []string{"ArchiveUnverified"},
		mend:   func(b *bed) { b.db.Exec(b.t, `UPDATE reaper.verification SET verified_at = now()`) },
	},
	{
		name: "an erasure should have begun two hours ago",
		provoke: func(b *bed) {
			b.file(policyFile(never, patient, ""))
			b.types("migrate")
			b.db.Exec(b.t, `INSERT INTO reaper.erasure (id, tenant, tenant_hash, origin, gone, who, reason, due_at) VALUES (gen_random_uuid(), '1', 'x', 'command', false, 'me', 'why', now() - interval '2 hours')`)
			b.starts()
		},
		firing: []string{"ErasureOverdue"},
		mend:   func(b *bed) { b.db.Exec(b.t, `UPDATE reaper.erasure SET state = 'cancelled', finished_at = now()`) },
	},
	{
		name: "somebody writes for a tenant that was erased",
		provoke: func(b *bed) {
			b.file(policyFile(never, patient, ""))
			b.types("migrate")
			b.db.Exec(b.t, `WITH e AS (INSERT INTO reaper.erasure (id, tenant, tenant_hash, origin, gone, who, reason, due_at, state, finished_at, sweeps) VALUES (gen_random_uuid(), '1', 'x', 'command', false, 'me', 'why', now(), 'done', now(), 1) RETURNING id)
				INSERT INTO reaper.erasure_leftover (erasure, sweep, table_name, found, deleted, note) SELECT id, 1, 'public.jobs', 4, 0, '' FROM e`)
			b.starts()
		},
		firing: []string{"Leftovers"},
		mend:   func(b *bed) { b.db.Exec(b.t, `UPDATE reaper.erasure_leftover SET deleted = found`) },
	},
	{
		name: "a cron monitor does not exist",
		provoke: func(b *bed) {
			monitor := httptest.NewServer(answering(404))
			b.t.Cleanup(monitor.Close)
			b.file(policyFile(often, "", ""))
			b.starts("REAPER_HEARTBEAT="+monitor.URL+"/ping/0b7b2f0a-92b0-4d3c-9d0b-4a0f3a1f2b3c", "REAPER_HEARTBEAT_KIND=healthchecks")
		},
		firing: []string{"HeartbeatFailing"},
	},
	{
		name: "the storage is full",
		well: func(b *bed) {
			b.file(policyFile(often, patient, ", storage: {limit: 10TB}"))
			b.starts()
			b.works()
		},
		provoke: func(b *bed) {
			b.file(policyFile(often, patient, ", storage: {limit: 1MB}"))
			b.sees(`reaper_guard_state{NS,guard="storage"} == 3`)
			b.db.Exec(b.t, overdue)
		},
		firing: []string{"GuardPausing/storage", "RunsFailing/events", "StorageCritical", "StorageForecast"},
		sent:   []string{"StorageCritical"},
		mend:   func(b *bed) { b.file(policyFile(often, patient, ", storage: {limit: 10TB}")) },
	},
	{
		name: "the storage fills in a week",
		provoke: func(b *bed) {
			b.file(policyFile(never, "", ", storage: {limit: 10TB}"))
			b.types("migrate")
			// A terabyte a day.
			b.db.Exec(b.t, `INSERT INTO reaper.size SELECT now() - g * interval '5 minutes', 3e12 - g * 1e12 / 288, 0, '{}', '{}' FROM generate_series(0, 288) g`)
			b.starts()
		},
		firing: []string{"StorageForecast"},
	},
	{
		name: "a backlog grows",
		provoke: func(b *bed) {
			b.db.Exec(b.t, overdue)
			b.file(policyFile(never, patient, ""))
			b.types("migrate")
			// A thousand rows more are due every five minutes, and none goes.
			b.db.Exec(b.t, `INSERT INTO reaper.size SELECT now() - g * interval '5 minutes', 1e9, 0, '{}',
				jsonb_build_object('events', jsonb_build_object('backlog', 1000 * (288 - g), 'inserted', 1000 * (288 - g), 'deleted', 0)) FROM generate_series(0, 288) g`)
			b.starts()
		},
		firing: []string{"BacklogGrowing/events"},
	},
}
