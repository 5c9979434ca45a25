package purge_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// shop is a schema with a path of two steps and dependents two levels deep, all CASCADE: 2
// organizations with one project each, and 20 mails, of which the 10 of organization 1 and the
// 5 older ones of organization 2 are due.
const shop = `
CREATE TABLE orgs (id int PRIMARY KEY, days int, held bool);
CREATE TABLE projects (id int PRIMARY KEY, org_id int NOT NULL REFERENCES orgs);
CREATE TABLE mails (id int PRIMARY KEY, project_id int NOT NULL REFERENCES projects, at timestamptz NOT NULL, state text);
CREATE INDEX ON mails (project_id, at, id);
CREATE TABLE parts (id int PRIMARY KEY, mail_id int NOT NULL REFERENCES mails ON DELETE CASCADE);
CREATE INDEX ON parts (mail_id);
CREATE TABLE clicks (id serial PRIMARY KEY, part_id int NOT NULL REFERENCES parts ON DELETE CASCADE);
CREATE INDEX ON clicks (part_id);
INSERT INTO orgs VALUES (1, 30), (2, 60);
INSERT INTO projects VALUES (10, 1), (20, 2);
INSERT INTO mails SELECT n, 10, now() - interval '40 days', 'sent' FROM generate_series(1, 10) n;
INSERT INTO mails SELECT n, 20, now() - CASE WHEN n <= 15 THEN interval '70 days' ELSE interval '50 days' END, 'sent' FROM generate_series(11, 20) n;
INSERT INTO parts SELECT m * 10 + n, m FROM generate_series(1, 20) m, generate_series(1, 3) n;
INSERT INTO clicks (part_id) SELECT id FROM parts`

const shopPolicy = `
tenants: {table: orgs, key: id, retention: days, hold: held}
policies:
  - {name: mails, table: mails, age: at, tenant: [project_id, org_id]}`

// noAction is the shop with keys that reaper has to follow itself.
var noAction = strings.ReplaceAll(shop, "ON DELETE CASCADE", "")

const noActionPolicy = shopPolicy + "\n    undecided: delete"

// ways are the two kinds of batches: one DELETE with the rest left to CASCADE, and rows locked
// and collected before they are deleted.
var ways = []struct{ name, schema, policy string }{
	{"cascade", shop, shopPolicy},
	{"no action", noAction, strings.Replace(noActionPolicy, "}\n    undecided: delete", ", undecided: delete}", 1)},
}

// eachWay runs a test for both kinds of batches.
func eachWay(t *testing.T, test func(t *testing.T, schema, policy string)) {
	t.Helper()
	t.Parallel()
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			test(t, w.schema, w.policy)
		})
	}
}

func TestPurgeDeletesWhatIsDueAndNothingElse(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b := prepare(t, schema, policy)
		b.purge().complete().rows(map[string]int64{"public.mails": 15, "public.parts": 45, "public.clicks": 45})
		b.left(`SELECT id FROM mails ORDER BY id`, "16", "17", "18", "19", "20")
		b.count(`SELECT count(*) FROM clicks`, 15)
	})
}

// Anything may change between search and delete.
func TestPromise1_ChangedBetweenSearchAndDelete(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		ground := ground(t)
		for _, change := range []struct {
			name, sql string
			left      []string // of mails 1 to 10
		}{
			{"age moved", `UPDATE mails SET at = now() WHERE id IN (3, 4)`, []string{"3", "4"}},
			{"age emptied", `ALTER TABLE mails ALTER at DROP NOT NULL; UPDATE mails SET at = NULL WHERE id = 3`, []string{"3"}},
			{"where no longer true", `UPDATE mails SET state = 'queued' WHERE id = 5`, []string{"5"}},
			{"where unknown", `UPDATE mails SET state = NULL WHERE id = 5`, []string{"5"}},
			{"hold set", `UPDATE orgs SET held = true WHERE id = 1`, all10},
			{"retention longer", `UPDATE orgs SET days = 50 WHERE id = 1`, all10},
			{"retention broken", `UPDATE orgs SET days = 0 WHERE id = 1`, all10},
			{"path moved to a longer retention", `UPDATE projects SET org_id = 2 WHERE id = 10`, all10},
			{"root moved to a longer retention", `UPDATE mails SET project_id = 20 WHERE id = 7`, []string{"7"}},
			{"key changed", `UPDATE mails SET id = 100 WHERE id = 7; UPDATE mails SET at = now() WHERE id = 100`, nil},
		} {
			t.Run(change.name, func(t *testing.T) {
				schema := schema
				if change.name == "key changed" {
					schema = strings.ReplaceAll(schema, "REFERENCES mails", "REFERENCES mails ON UPDATE CASCADE")
				}
				var b *bed
				b = ground.on(t, schema, withWhere(policy), before(atBatch, func() { b.Exec(t, change.sql) }))
				b.opts.Tenants = []string{"1"}
				b.purge().complete()
				b.left(`SELECT id FROM mails WHERE id <= 10 ORDER BY id`, change.left...)
				b.count(`SELECT count(*) FROM mails WHERE id > 10`, 10+b2i(change.name == "key changed"))
				b.count(`SELECT count(*) FROM clicks`, 3*b.Int(t, `SELECT count(*) FROM mails`))
			})
		}
	})
}

var all10 = []string{"1", "2", "3", "4", "5", "6", "7", "8", "9", "10"}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

func withWhere(policy string) string {
	return strings.Replace(policy, "age: at,", `age: at, where: "state <> 'queued'",`, 1)
}

// A change that would expire more rows takes effect with the next run: the cutoffs of a run are
// fixed at its start. This holds for the query form, a sweep and a path.
func TestPromise1_ShorterRetentionWaitsForTheNextRun(t *testing.T) {
	t.Parallel()
	const query = `
tenants: {query: "SELECT id, days, held FROM orgs"}
policies:
  - {name: mails, table: mails, age: at, tenant: [project_id, org_id]}`
	forms := append(slices.Clone(ways), []struct{ name, schema, policy string }{
		{"query", shop, query},
		{"sweep", strings.Replace(shop, "CREATE INDEX ON mails (project_id, at, id);", "", 1), shopPolicy},
		{"sweep, query", strings.Replace(shop, "CREATE INDEX ON mails (project_id, at, id);", "", 1), query},
	}...)
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			ground := ground(t)
			for _, change := range []struct {
				name, start, sql string
				first, second    []string // of mails 11 to 20, after this run and the next one
			}{
				{"shorter", ``, `UPDATE orgs SET days = 1 WHERE id = 2`, young, nil},
				{"shorter still than another change", ``, `UPDATE orgs SET days = 55 WHERE id = 2; UPDATE orgs SET days = 1 WHERE id = 2`, young, nil},
				{
					"shorter of a tenant with nothing due", `UPDATE mails SET at = now() - interval '50 days' WHERE project_id = 20`,
					`UPDATE orgs SET days = 1 WHERE id = 2`, old, nil,
				},
				{"hold lifted", `UPDATE orgs SET held = true WHERE id = 2`, `UPDATE orgs SET held = false WHERE id = 2`, old, young},
				{"retention given", `UPDATE orgs SET days = NULL WHERE id = 2`, `UPDATE orgs SET days = 60 WHERE id = 2`, old, young},
				{"a new tenant", `UPDATE projects SET org_id = 3 WHERE id = 20`, `INSERT INTO orgs VALUES (3, 60)`, old, young},
			} {
				t.Run(change.name, func(t *testing.T) {
					var b *bed
					b = ground.on(t, strings.Replace(form.schema, "org_id int NOT NULL REFERENCES orgs", "org_id int NOT NULL", 1), form.policy,
						before(atBatch, func() { b.Exec(t, change.sql) }))
					if change.start != "" {
						b.Exec(t, change.start)
					}
					b.mark()
					delete(b.before, "public.orgs") // the change may add one
					first := b.purge()
					b.left(`SELECT id FROM mails WHERE id > 10 ORDER BY id`, change.first...)
					b.ledgerIsTrue()
					if change.name != "retention given" {
						first.complete()
					}
					b.purge().complete()
					b.left(`SELECT id FROM mails ORDER BY id`, change.second...)
					b.count(`SELECT count(*) FROM reaper.cutoff`, 0)
				})
			}
		})
	}
}

// The mails of organization 2: all of them, and the younger ones, not due under its 60 days.
var (
	old   = []string{"11", "12", "13", "14", "15", "16", "17", "18", "19", "20"}
	young = []string{"16", "17", "18", "19", "20"}
)

// If more tenants are due than are buffered in memory, they are listed over a second
// connection.
func TestPromise3_MoreDueTenantsThanAreHeld(t *testing.T) {
	t.Parallel()
	const tenants = 20_100
	for conns, want := range map[int32]string{1: "allow two", 2: "--max-rows"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			listed := 0
			var b *bed
			b = prepare(t, owners, ownersPolicy(", default: 30d", ""), func(c *pgxpool.Config) {
				before(atBatch, func() { listed = b.Int(t, `SELECT count(*) FROM reaper.cutoff WHERE rank BETWEEN 1 AND 20100`) })(c)
				c.MaxConns = conns
			})
			b.Exec(t, fmt.Sprintf(`INSERT INTO owners SELECT generate_series(1, %d);
				INSERT INTO things (owner, at) SELECT id, now() - id * interval '1 s' - interval '40 days' FROM owners; ANALYZE`, tenants))
			b.opts.MaxRows = 2
			status := purge.Incomplete
			if conns == 1 {
				status = purge.Failed
			}
			o := b.purge().is(status, want)
			if conns == 1 {
				return
			}
			if listed != tenants {
				t.Errorf("%d tenants listed, want %d", listed, tenants)
			}
			b.left(`SELECT max(id) FROM owners WHERE EXISTS (SELECT FROM things WHERE owner = owners.id)`, "20098") // the most overdue first
			b.count(`SELECT count(*) FROM reaper.cutoff`, 0)
			if o.one().RowsTotal != 2 {
				t.Errorf("%d rows deleted, want 2", o.one().RowsTotal)
			}
		})
	}
}

// If a key appears twice during a run, it is ambiguous which retention counts: nothing more of
// that tenant is deleted.
func TestPromise5_KeyTwiceInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, second := range []string{"(2, 1, false)", "(2, 90, false)", "(2, 60, true)"} {
		t.Run(second, func(t *testing.T) {
			t.Parallel()
			var b *bed
			b = prepare(t, strings.NewReplacer("id int PRIMARY KEY, days", "id int, days", " REFERENCES orgs", "").Replace(shop), shopPolicy,
				before(atBatch, func() { b.Exec(t, `INSERT INTO orgs VALUES `+second) }))
			b.opts.Tenants = []string{"2"}
			b.mark()
			delete(b.before, "public.orgs")
			b.purge().is(purge.Failed, "twice")
			b.left(`SELECT id FROM mails WHERE id > 10 ORDER BY id`, old...)
			b.ledgerIsTrue()
		})
	}
}

// In a batch that locks first, a change between lock and delete counts too: the batch is
// redone.
func TestPromise1_HoldSetBetweenLockAndDelete(t *testing.T) {
	t.Parallel()
	var b *bed
	b = prepare(t, ways[1].schema, ways[1].policy, before(atDelete, func() { b.Exec(t, `UPDATE orgs SET held = true WHERE id = 1`) }))
	b.purge().complete()
	b.count(`SELECT count(*) FROM mails WHERE id <= 10`, 10)
	b.count(`SELECT count(*) FROM mails WHERE id > 10`, 5)
}

// A change of the root row wins even if the DELETE is already waiting for it.
func TestPromise1_AgeMovedWhileTheDeleteWaits(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		var b *bed
		writer := make(chan *session, 1)
		b = prepare(t, schema, policy, before(atDelete, func() {
			s := b.session()
			s.do(`BEGIN; UPDATE mails SET at = now() WHERE id = 3`)
			go func() {
				b.awaitBlocked()
				s.do(`COMMIT`)
				writer <- s
			}()
		}))
		b.opts.Tenants = []string{"1"}
		if schema == noAction {
			// Roots are locked before the DELETE: the writer has to be first.
			b.connect(b.DSN(), before(atLock, func() {
				s := b.session()
				s.do(`BEGIN; UPDATE mails SET at = now() WHERE id = 3`)
				go func() {
					b.await(`SELECT count(*) = 9 FROM mails WHERE id <= 10 AND id <> 3 OR id = -1`)
					s.do(`COMMIT`)
					writer <- s
				}()
			}))
		}
		b.purge().complete()
		<-writer
		b.left(`SELECT id FROM mails WHERE id <= 10`, "3")
		b.count(`SELECT count(*) FROM parts WHERE mail_id = 3`, 3)
	})
}

// A hold committed while a DELETE waits for a lock misses only that batch.
func TestPromise1_HoldCommittedWhileTheDeleteWaits(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(shopPolicy, "age: at,", "age: at, limits: {rows: 2},", 1)
	var b *bed
	done := make(chan struct{})
	b = prepare(t, shop, policy, before(atDelete, func() {
		s := b.session()
		s.do(`BEGIN; UPDATE mails SET state = 'read' WHERE id IN (1, 2)`)
		go func() {
			defer close(done)
			b.awaitBlocked()
			b.Exec(t, `UPDATE orgs SET held = true WHERE id = 1`)
			s.do(`COMMIT`)
		}()
	}))
	b.opts.Tenants = []string{"1"}
	b.purge().complete()
	<-done
	b.count(`SELECT count(*) / 2 * 2 FROM mails WHERE id <= 10`, 8)
}

// The query form is reread while its tenants are processed: a hold set during a long run ends
// that tenant's work within 5 s.
func TestPromise1_QueryIsReadAgain(t *testing.T) {
	t.Parallel()
	const query = `
tenants: {query: "SELECT id, days, held FROM orgs"}
policies:
  - {name: mails, table: mails, age: at, tenant: [project_id, org_id], limits: {rows: 1}}`
	b := prepare(t, shop, query)
	b.opts.Tenants = []string{"1"}
	var held time.Time
	var after int
	b.runner.Observer = watcher{batch: func(purge.BatchEvent) {
		if held.IsZero() {
			b.Exec(t, `UPDATE orgs SET held = true`)
			held = time.Now()
			time.Sleep(2500 * time.Millisecond) // one slice: the next one reads the query again
			return
		}
		after++
	}}
	b.purge().complete()
	if after != 0 {
		t.Errorf("%d batches after the hold was set and the slice was over", after)
	}
	b.count(`SELECT count(*) FROM mails WHERE id <= 10`, 9)
}

// Writers that keep inserting dependents while their roots are deleted see no error but the
// database's own, and leave no orphan.
func TestPromise2_ChildrenInsertedDuringThePurge(t *testing.T) {
	for _, way := range []struct {
		name, schema, policy string
	}{
		ways[0], ways[1],
		{"keep", shop, strings.Replace(shopPolicy, "age: at,", "age: at, dependents: [{table: parts, action: keep}],", 1)},
		{"small", shop, strings.Replace(shopPolicy, "age: at,", "age: at, limits: {rows: 3, total_rows: 5},", 1)},
		{
			"match", strings.ReplaceAll(shop, "REFERENCES parts ON DELETE CASCADE", ""),
			strings.Replace(shopPolicy, "age: at,", "age: at, dependents: [{table: clicks, parent: parts, match: {part_id: id}, action: delete}],", 1),
		},
	} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, way.schema, way.policy)
			b.Exec(t, `
				INSERT INTO mails SELECT n, 10, now() - interval '40 days', 'sent' FROM generate_series(101, 3100) n;
				CREATE SEQUENCE part START 100000; ANALYZE`)
			rounds := 400
			if way.name == "small" {
				b.Exec(t, `DELETE FROM mails WHERE id > 200`)
				rounds = 50
			}
			ctx, stop := context.WithCancel(t.Context())
			var writers sync.WaitGroup
			for range 3 {
				s := b.session()
				writers.Go(func() {
					for n := 0; ctx.Err() == nil && n < rounds; n++ {
						_, err := s.Exec(context.WithoutCancel(ctx), `WITH p AS (INSERT INTO parts SELECT nextval('part'), id FROM mails WHERE project_id = 10 ORDER BY random() LIMIT 2 RETURNING id)
							INSERT INTO clicks (part_id) SELECT id FROM p`)
						var pg *pgconn.PgError
						if err != nil && (!errors.As(err, &pg) || !slices.Contains([]string{"23503", "40P01"}, pg.Code)) {
							t.Errorf("a writer got %v", err)
						}
					}
				})
			}
			o := b.purge()
			stop()
			writers.Wait()
			o.is(purge.Complete)
			b.count(`SELECT count(*) FROM mails m WHERE project_id = 10 AND NOT EXISTS (SELECT FROM parts WHERE mail_id = m.id)`, 0)
			if way.name != "keep" {
				b.count(`SELECT count(*) FROM mails WHERE project_id = 10`, 0)
			}
			b.count(`SELECT count(*) FROM parts p WHERE NOT EXISTS (SELECT FROM mails WHERE id = p.mail_id)`, 0)
			if way.name != "match" { // nothing locks a declared reference
				b.count(`SELECT count(*) FROM clicks c WHERE NOT EXISTS (SELECT FROM parts WHERE id = c.part_id)`, 0)
			}
		})
	}
}

// A keeping row is inserted but not committed when the purge starts: CASCADE would delete it.
func TestPromise2_KeepingRowNotYetCommitted(t *testing.T) {
	for _, at := range []struct{ name, insert, policy, kept string }{
		{"of the root", `INSERT INTO parts VALUES (1, 1)`, "{table: parts, action: keep}", "1"},
		{"of a dependent", `INSERT INTO clicks (part_id) VALUES (101)`, "{table: clicks, action: keep}", "10"},
	} {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			ground := ground(t)
			for _, moment := range []struct{ name, words string }{{"before the batch", atBatch}, {"before the lock", atLock}, {"before the delete", atDelete}} {
				t.Run(moment.name, func(t *testing.T) {
					policy := strings.Replace(shopPolicy, "age: at,", "age: at, dependents: ["+at.policy+"],", 1)
					var b *bed
					done := make(chan struct{})
					b = ground.on(t, shop, policy, before(moment.words, func() {
						s := b.session()
						s.do(`BEGIN; SET lock_timeout = '10s'`)
						insert := func() {
							// Once the roots are locked, the writer waits and fails: its root
							// is gone.
							_, _ = s.Exec(context.WithoutCancel(t.Context()), at.insert)
						}
						if moment.words != atDelete {
							insert()
						}
						go func() {
							defer close(done)
							if moment.words == atDelete {
								insert()
							}
							b.await(`SELECT NOT EXISTS (SELECT FROM mails WHERE id = 2) OR EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`)
							s.do(`COMMIT`)
						}()
					}))
					b.Exec(t, `DELETE FROM clicks; DELETE FROM parts WHERE `+map[bool]string{true: "mail_id <= 10", false: "mail_id > 10"}[at.name == "of the root"]+`; INSERT INTO parts VALUES (999, 12)`)
					if at.name != "of the root" {
						b.Exec(t, `DELETE FROM parts WHERE id = 999`)
					}
					b.mark()
					b.purge().is(purge.Complete)
					<-done
					b.count(`SELECT count(*) FROM parts p WHERE NOT EXISTS (SELECT FROM mails WHERE id = p.mail_id)`, 0)
					b.count(`SELECT count(*) FROM clicks c WHERE NOT EXISTS (SELECT FROM parts WHERE id = c.part_id)`, 0)
					if moment.words != atDelete {
						b.left(`SELECT id FROM mails WHERE id <= 10`, at.kept)
						b.count(`SELECT (SELECT count(*) FROM parts WHERE id = 1) + (SELECT count(*) FROM clicks WHERE part_id = 101)`, 1)
					}
				})
			}
		})
	}
}

// A keeping row that stays uncommitted leaves its root: incomplete, with the reason.
func TestPromise2_KeepingRowNeverCommitted(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(shopPolicy, "age: at,", "age: at, dependents: [{table: clicks, action: keep}],", 1)
	b := prepare(t, shop, policy)
	b.Exec(t, `DELETE FROM clicks`)
	s := b.session()
	s.do(`BEGIN; INSERT INTO clicks (part_id) VALUES (31)`)
	b.mark()
	b.purge().is(purge.Incomplete, "1 expired row was locked by others")
	b.ledgerIsTrue()
	b.left(`SELECT id FROM mails WHERE id <= 15`, "3")
	s.do(`COMMIT`)
	if o := b.purge().is(purge.Complete); o.one().KeptRows != 1 {
		t.Errorf("%d kept rows, want 1", o.one().KeptRows)
	}
}

// No transaction of the purge, searches included, outlives its limit.
func TestPromise3_NoTransactionOlderThanABatch(t *testing.T) {
	t.Parallel()
	b := prepare(t, shop, strings.Replace(shopPolicy, "age: at,", "age: at, limits: {rows: 200, time: 50ms},", 1))
	b.Exec(t, `INSERT INTO mails SELECT n, 10, now() - interval '40 days', 'sent' FROM generate_series(101, 20000) n;
		INSERT INTO parts SELECT n * 10, n FROM generate_series(101, 20000) n; ANALYZE`)
	b.mark()
	ctx, stop := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	samples, idle := 0, 0
	var oldest time.Duration
	watch.Go(func() {
		for ctx.Err() == nil {
			samples++
			age := b.Int(t, `SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start) * 1e6), 0)::int FROM pg_stat_activity
				WHERE datname = current_database() AND application_name = 'reaper'`)
			oldest = max(oldest, time.Duration(age)*time.Microsecond)
			// Read locks first: a transaction idle since before then already held them.
			seen := b.Text(t, `SELECT clock_timestamp()::text`)
			holders := b.Ints(t, `SELECT pid FROM pg_locks WHERE locktype IN ('advisory', 'relation')`)
			idle += b.Int(t, `SELECT count(*) FROM pg_stat_activity WHERE pid = ANY($1) AND application_name = 'reaper' AND state = 'idle' AND state_change < $2::text::timestamptz`, holders, seen)
		}
	})
	o := b.purge()
	stop()
	watch.Wait()
	o.complete()
	if samples < 20 || o.one().Batches < 20 {
		t.Errorf("%d samples of %d batches say little", samples, o.one().Batches)
	}
	if oldest > 5*time.Second {
		t.Errorf("a transaction was %s old, with batches of 50 ms", oldest)
	}
	if idle > 0 {
		t.Errorf("%d locks held between batches", idle)
	}
}

// The limits of a batch apply to rows over all tables and to bytes.
func TestPromise3_BatchesAreBounded(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, limit := range []struct {
		name, limits   string
		roots, rows    int64
		schema, policy string
	}{
		{"roots", "{rows: 4}", 4, 28, shop, shopPolicy},
		{"rows over all tables", "{total_rows: 20}", 2, 20, shop, shopPolicy},
		{"rows over all tables, by hand", "{total_rows: 20}", 2, 20, ways[1].schema, ways[1].policy},
		{"one root at a time", "{total_rows: 7}", 1, 7, shop, shopPolicy},
		{"a root over several batches", "{total_rows: 3}", 1, 3, shop, shopPolicy},
		{"a root over several batches, by hand", "{total_rows: 3}", 1, 3, ways[1].schema, ways[1].policy},
		{"bytes", "{bytes: 100KB}", 2, 14, shop + `; ALTER TABLE mails ALTER state SET STORAGE EXTERNAL; UPDATE mails SET state = repeat('x', 45000)`, shopPolicy},
	} {
		t.Run(limit.name, func(t *testing.T) {
			b := ground.on(t, limit.schema, strings.Replace(limit.policy, "age: at,", "age: at, limits: "+limit.limits+",", 1))
			b.Exec(t, `VACUUM ANALYZE`)
			b.runner.Observer = watcher{batch: func(e purge.BatchEvent) {
				if e.Roots > limit.roots || e.Rows > limit.rows {
					t.Errorf("a batch of %d roots, %d rows", e.Roots, e.Rows)
				}
			}}
			b.purge().complete().rows(map[string]int64{"public.mails": 15, "public.parts": 45, "public.clicks": 45})
		})
	}
}

// So do those of a batch that is copied first.
func TestPromise3_CopiedBatchesAreBounded(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood+`;
ALTER TABLE parts ADD content text;
ALTER TABLE parts ALTER content SET STORAGE EXTERNAL;
UPDATE parts SET content = repeat('x', 4000)`, strings.Replace(shopPolicy, "age: at,", "age: at, limits: {bytes: 50KB},", 1))
	a.Exec(t, `VACUUM ANALYZE`)
	a.see()
	a.runner.Observer = watcher{batch: func(e purge.BatchEvent) {
		if e.Deleted["public.parts"] > 12 {
			t.Errorf("a batch of %d parts of 4 kB each", e.Deleted["public.parts"])
		}
	}}
	a.purge().complete().rows(map[string]int64{"public.mails": 15, "public.parts": 45, "public.clicks": 45})
	a.comesBack()
}

// Two concurrent runs on one database delete the same rows, count each once, and never work on
// one tenant at the same time.
func TestPromise6And10_TwoRunsAtOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		policy = strings.Replace(policy, "age: at,", "age: at, limits: {rows: 50, total_rows: 400},", 1)
		b := prepare(t, schema, policy)
		b.Exec(t, `
			INSERT INTO orgs SELECT n, 30 FROM generate_series(3, 12) n;
			INSERT INTO projects SELECT n * 10, n FROM generate_series(3, 12) n;
			INSERT INTO mails SELECT n, (n % 10 + 3) * 10, now() - interval '40 days', 'sent' FROM generate_series(101, 5100) n;
			INSERT INTO parts SELECT n * 10, n FROM generate_series(101, 5100) n;
			INSERT INTO clicks (part_id) SELECT n * 10 FROM generate_series(101, 5100) n; ANALYZE`)
		// The ledger's row is written under the tenant's lock: a trigger that takes its own
		// lock for the rest of the transaction finds it free.
		b.Exec(t, `
			CREATE TABLE meetings (tenant text);
			CREATE FUNCTION alone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF NOT pg_try_advisory_xact_lock(77, NEW.tenant::int) THEN INSERT INTO meetings VALUES (NEW.tenant); END IF;
				RETURN NEW; END $$;
			CREATE TRIGGER alone BEFORE INSERT ON reaper.batch FOR EACH ROW EXECUTE FUNCTION alone()`)
		b.mark()
		var runs sync.WaitGroup
		plans := [][]*plan.Plan{b.plans(), b.plans(), b.plans()}
		outcomes := make([]*outcome, len(plans))
		for i := range plans {
			mine := *b
			mine.connect(b.DSN())
			runs.Go(func() { outcomes[i] = mine.purgeWith(plans[i]) })
		}
		runs.Wait()
		for _, o := range outcomes {
			o.is(purge.Complete)
		}
		b.count(`SELECT count(*) FROM mails`, 5)
		b.count(`SELECT count(*) FROM meetings`, 0)
		b.ledgerIsTrue()
	})
}

// A tenant whose lock another process holds is skipped and reported, and the others are done.
func TestPromise6_TenantLockedElsewhere(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b := prepare(t, schema, policy)
		s := b.session()
		var once sync.Once
		// Take the lock of tenant 1 away from the first batch that requests it.
		b.connect(b.DSN(), func(c *pgxpool.Config) {
			c.ConnConfig.Tracer = argsHook(func(sql string, args []any) {
				if strings.Contains(sql, atBatch) {
					once.Do(func() {
						s.do(`BEGIN`)
						s.do(`SELECT pg_advisory_xact_lock($1::text::bigint)`, strconv.FormatInt(args[0].([]int64)[0], 10))
					})
				}
			})
		})
		b.purge().is(purge.Incomplete, "1", "locked")
		b.ledgerIsTrue()
		b.count(`SELECT count(*) FROM mails`, 15)
		s.do(`ROLLBACK`)
		b.purge().complete()
		b.count(`SELECT count(*) FROM mails`, 5)
	})
}

// One row that cannot be deleted costs its tenant only that row, and the others nothing.
func TestPromise6_PoisonRow(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b := prepare(t, schema, policy)
		b.Exec(t, `
			CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF OLD.id = 41 THEN RAISE EXCEPTION 'not this one' USING DETAIL = 'secret of the row'; END IF; RETURN OLD; END $$;
			CREATE TRIGGER poison AFTER DELETE ON parts FOR EACH ROW EXECUTE FUNCTION refuse()`)
		o := b.purge().is(purge.Incomplete, "1 tenant failed: not this one", "(1)")
		b.ledgerIsTrue()
		b.left(`SELECT count(*) FROM mails WHERE id > 10`, "5")
		b.count(`SELECT count(*) FROM mails WHERE id = 4`, 1)
		if c := o.one().Tenants; c.Due != 2 || c.Done != 1 || c.Failed != 1 {
			t.Errorf("tenants %+v, want 2 due, 1 done, 1 failed", c)
		}
		if strings.Contains(o.one().Reason, "secret") {
			t.Errorf("the reason holds row data: %s", o.one().Reason)
		}
	})
}

// A failed tenant is not counted as done, even if none of its rows could be deleted.
func TestPromise8_CountsOfTenants(t *testing.T) {
	for _, indexed := range []bool{true, false} {
		t.Run(fmt.Sprintf("index %t", indexed), func(t *testing.T) {
			t.Parallel()
			b := prepare(t, shop, shopPolicy)
			b.Exec(t, `
				INSERT INTO orgs VALUES (3, 30, false), (4, 30, true), (5, NULL, NULL), (6, 30, NULL);
				INSERT INTO projects SELECT n * 10, n FROM generate_series(3, 6) n;
				INSERT INTO mails SELECT 100 + n, n * 10, now() - interval '40 days', 'sent' FROM generate_series(3, 6) n;
				CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					IF OLD.project_id = 30 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN OLD; END $$;
				CREATE TRIGGER poison AFTER DELETE ON mails FOR EACH ROW EXECUTE FUNCTION refuse()`)
			if !indexed {
				b.Exec(t, `DROP INDEX mails_project_id_at_id_idx`)
			}
			o := b.purge().is(purge.Incomplete, "1 tenant skipped", "5 (no retention)", "1 tenant failed: not this one", "(3)")
			want := purge.TenantCounts{Due: 4, Done: 3, Held: 1, Skipped: 1, Failed: 1}
			if got := o.one().Tenants; got != want {
				t.Errorf("tenants %+v, want %+v", got, want)
			}
		})
	}
}

// An interrupted run counts no tenant as done that still has due rows.
func TestPromise8_CountsOfTenantsOfACutOffRun(t *testing.T) {
	for _, indexed := range []bool{true, false} {
		t.Run(fmt.Sprintf("index %t", indexed), func(t *testing.T) {
			t.Parallel()
			b := prepare(t, shop, shopPolicy)
			if !indexed {
				b.Exec(t, `DROP INDEX mails_project_id_at_id_idx`)
			}
			b.opts.MaxRows = 3
			o := b.purge().is(purge.Incomplete, "--max-rows")
			if got, want := o.one().Tenants, (purge.TenantCounts{Due: 2}); got != want {
				t.Errorf("tenants %+v, want %+v", got, want)
			}
			b.opts.MaxRows = 12
			o = b.purge().is(purge.Complete)
			if got, want := o.one().Tenants, (purge.TenantCounts{Due: 2, Done: 2}); got != want {
				t.Errorf("tenants %+v, want %+v", got, want)
			}
		})
	}
}

// Rows that reference a row after it was collected are deleted by ON DELETE and counted like
// all others.
func TestPromise4_RowsThatComeBehindCollectedOnesAreCounted(t *testing.T) {
	t.Parallel()
	var b *bed
	b = prepare(t, `
		CREATE TABLE roots (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON roots (at, id);
		CREATE TABLE a (id int PRIMARY KEY, root int REFERENCES roots ON DELETE CASCADE); CREATE INDEX ON a (root);
		CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE); CREATE INDEX ON b (a);
		CREATE TABLE c (id int PRIMARY KEY, b int REFERENCES b ON DELETE CASCADE); CREATE INDEX ON c (b);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
		CREATE TRIGGER note AFTER DELETE ON roots FOR EACH ROW EXECUTE FUNCTION note(); -- so that nothing is left to CASCADE
		INSERT INTO roots VALUES (1, '2020-01-01'), (2, now()); INSERT INTO a VALUES (1, 1), (2, 2); INSERT INTO b VALUES (1, 1), (2, 2); INSERT INTO c VALUES (1, 1), (2, 2)`,
		`policies: [{name: roots, table: roots, age: at, tenant: none, retention: 30d}]`,
		before("DELETE FROM ONLY", func() { b.Exec(t, `INSERT INTO b VALUES (3, 1)`) }))
	b.purge().is(purge.Complete)
	b.left(`SELECT 'a' || id FROM a UNION ALL SELECT 'b' || id FROM b UNION ALL SELECT 'c' || id FROM c ORDER BY 1`, "a2", "b2", "c2")
	b.count(`SELECT sum(rows)::int FROM reaper.deletions WHERE table_name = 'public.b'`, 2)
}
