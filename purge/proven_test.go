package purge_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// Strings of the proven method's statements.
const (
	atTables  = "LOCK TABLE"
	atVerify  = "SET CONSTRAINTS ALL IMMEDIATE"
	atReplica = "SET LOCAL session_replication_role = origin" // sent together with the deletes before it
)

func proven(policy string) string {
	return "safety: {foreign_key_checks: proven}\n" + policy
}

// watchProven counts the batches deleted by the proven method.
func watchProven(n *atomic.Int64) func(*pgxpool.Config) {
	return beforeEvery(atReplica, func() { n.Add(1) })
}

// The proven method deletes the same rows as the ordinary one, and the plan names it.
func TestProven_DeletesTheSame(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		var used atomic.Int64
		b := prepare(t, schema, proven(policy), watchProven(&used))
		if got := b.plans()[0].ForeignKeyChecks(); got != "proven" {
			t.Errorf("the plan goes the %s way: %q", got, b.problems(plan.LevelWarning))
		}
		b.purge().complete().rows(map[string]int64{"public.mails": 15, "public.parts": 45, "public.clicks": 45})
		b.left(`SELECT id FROM mails ORDER BY id`, "16", "17", "18", "19", "20")
		if used.Load() == 0 {
			t.Error("no batch went the proven way")
		}
	})
}

// Without the checks, nothing but the proven method itself would notice an orphan.
func (b *bed) noOrphans() {
	b.t.Helper()
	b.count(`SELECT count(*) FROM parts p WHERE mail_id IS NOT NULL AND NOT EXISTS (SELECT FROM mails WHERE id = p.mail_id)`, 0)
	b.count(`SELECT count(*) FROM clicks c WHERE part_id IS NOT NULL AND NOT EXISTS (SELECT FROM parts WHERE id = c.part_id)`, 0)
}

// Every obstacle to the proven method is named, and the policy uses the ordinary method.
func TestProven_RefusesItself(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct{ name, change, policy, reason string }{
		{"a trigger", `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER note AFTER DELETE ON parts FOR EACH ROW EXECUTE FUNCTION note()`, "", "trigger note of public.parts"},
		{"a statement trigger", `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER note AFTER DELETE ON mails EXECUTE FUNCTION note()`, "", "trigger note of public.mails"},
		{"a trigger of the replica role", `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER note AFTER DELETE ON mails FOR EACH ROW EXECUTE FUNCTION note(); ALTER TABLE mails ENABLE REPLICA TRIGGER note`, "", "trigger note of public.mails"},
		{"a rule", `CREATE TABLE gone (id int); CREATE RULE note AS ON DELETE TO parts DO ALSO INSERT INTO gone VALUES (OLD.id)`, "triggers: allow", "rule note of public.parts"},
		{"an action always on", `DO $$ DECLARE n text; BEGIN SELECT tgname INTO n FROM pg_trigger WHERE tgrelid = 'mails'::regclass AND tgfoid IN (1646, 1654); EXECUTE format('ALTER TABLE mails ENABLE ALWAYS TRIGGER %I', n); END $$`, "", "is disabled, or always on, on public.mails"},
		{"another type", `ALTER TABLE mails ALTER id TYPE bigint`, "", "compares its columns in two ways"},
		{"inheritance", `CREATE TABLE heirs () INHERITS (clicks)`, "", "public.heirs inherits from public.clicks"},
		{"a circle", `ALTER TABLE mails ADD last int REFERENCES parts ON DELETE CASCADE; CREATE INDEX ON mails (last)`, "", "reference each other in a circle"},
		{"one partition", `CREATE TABLE days (id int, mail int REFERENCES mails ON DELETE CASCADE, PRIMARY KEY (id)) PARTITION BY RANGE (id); CREATE TABLE days_0 PARTITION OF days FOR VALUES FROM (0) TO (10); CREATE INDEX ON days (mail);
			CREATE TABLE notes (day int REFERENCES days_0 ON DELETE CASCADE); CREATE INDEX ON notes (day)`, "", "references a single partition of public.days"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, w := range ways {
				var used atomic.Int64
				policy := w.policy
				if c.policy != "" {
					policy = strings.Replace(policy, "age: at,", "age: at, "+c.policy+",", 1)
				}
				if !strings.Contains(policy, "undecided") {
					policy = strings.Replace(policy, "age: at,", "age: at, undecided: delete,", 1)
				}
				b := ground.on(t, w.schema+";"+c.change, proven(policy), watchProven(&used))
				b.tells(plan.LevelWarning, "foreign_key_checks: proven is not possible", c.reason)
				if got := b.plans()[0].ForeignKeyChecks(); got != "ordinary" {
					t.Errorf("the plan goes the %s way", got)
				}
				b.purge().is(purge.Complete)
				b.count(`SELECT count(*) FROM mails`, 5)
				b.noOrphans()
				if used.Load() > 0 {
					t.Errorf("%d batches went the proven way", used.Load())
				}
			}
		})
	}
}

// A catalog change during a run ends the run before the next batch.
func TestProven_CatalogChangesInTheMiddle(t *testing.T) {
	t.Parallel()
	for _, change := range []struct{ name, sql, orphans string }{
		{"a new foreign key", `CREATE TABLE notes (id int, mail int REFERENCES mails ON DELETE CASCADE); CREATE INDEX ON notes (mail); INSERT INTO notes SELECT id, id FROM mails`, `SELECT count(*) FROM notes n WHERE NOT EXISTS (SELECT FROM mails WHERE id = n.mail)`},
		{"a new trigger", `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER note AFTER DELETE ON clicks FOR EACH ROW EXECUTE FUNCTION note()`, `SELECT 0`},
		{"the checks disabled", `ALTER TABLE clicks DISABLE TRIGGER ALL`, `SELECT 0`},
		{"row-level security", `ALTER TABLE clicks ENABLE ROW LEVEL SECURITY; ALTER TABLE clicks FORCE ROW LEVEL SECURITY`, `SELECT 0`},
		{"an heir", `CREATE TABLE heirs () INHERITS (parts)`, `SELECT 0`},
	} {
		t.Run(change.name, func(t *testing.T) {
			t.Parallel()
			var b *bed
			var used atomic.Int64
			b = prepare(t, shop, proven(small(shopPolicy)), func(c *pgxpool.Config) {
				first := &hook{words: atTables, call: func() { b.Exec(t, change.sql) }}
				c.ConnConfig.Tracer = argsHook(func(sql string, args []any) {
					first.before(sql, args)
					if strings.Contains(sql, atReplica) {
						used.Add(1)
					}
				})
			})
			b.mark()
			b.purge().is(purge.Incomplete, "have changed since they were planned")
			b.count(change.orphans, 0)
			b.noOrphans()
			if used.Load() > 0 {
				t.Errorf("%d batches deleted something after the change", used.Load())
			}
		})
	}
}

// Whatever a writer does at any moment of a batch, nothing is orphaned, and the writer sees no
// error but the database's own.
func TestProven_Interleavings(t *testing.T) {
	writes := []struct{ name, sql string }{
		{"a leaf inserted", `INSERT INTO clicks (part_id) VALUES (11)`},
		{"a leaf of another moved here", `UPDATE clicks SET part_id = 11 WHERE part_id = 201`},
		{"a leaf moved away", `UPDATE clicks SET part_id = 201 WHERE part_id = 11`},
		{"a middle row inserted", `INSERT INTO parts VALUES (9999, 1); INSERT INTO clicks (part_id) VALUES (9999)`},
		{"a middle row moved here", `UPDATE parts SET mail_id = 1 WHERE id = 201`},
		{"a middle row moved away", `UPDATE parts SET mail_id = 20 WHERE id = 11`},
		{"a middle row changed", `UPDATE parts SET id = id WHERE id = 11`},
		{"a leaf deleted", `DELETE FROM clicks WHERE part_id = 11`},
		{"a middle row deleted", `DELETE FROM clicks WHERE part_id = 11; DELETE FROM parts WHERE id = 11`},
		{"the root changed", `UPDATE mails SET state = 'read' WHERE id = 1`},
		{"the root saved", `UPDATE mails SET at = now() WHERE id = 1`},
	}
	eachWay(t, func(t *testing.T, schema, policy string) {
		ground := ground(t)
		for _, moment := range []string{atBatch, atLock, atVerify, atReplica, atRecord} {
			for _, w := range writes {
				for _, committed := range []bool{true, false} {
					if locked := moment != atBatch && moment != atLock; locked && committed {
						continue // later writers have to wait, or may commit at any time
					}
					t.Run(fmt.Sprintf("%s, %s, committed %t", moment, w.name, committed), func(t *testing.T) {
						interleave(t, ground, schema, policy, moment, w.sql, committed)
					})
				}
			}
		}
	})
}

func interleave(t *testing.T, ground *bed, schema, policy, moment, sql string, committed bool) {
	var b *bed
	done := make(chan struct{})
	write := func(s *session) {
		_, err := s.Exec(context.WithoutCancel(t.Context()), sql)
		var pg *pgconn.PgError
		if err != nil && (!errors.As(err, &pg) || !slices.Contains([]string{"23503", "40P01", "25P02"}, pg.Code)) {
			t.Errorf("the writer got %v", err)
		}
	}
	b = ground.on(t, schema, proven(policy), before(moment, func() {
		s := b.session()
		if committed {
			write(s)
			close(done)
			return
		}
		began := make(chan struct{})
		go func() {
			defer close(done)
			s.do(`BEGIN`)
			close(began)
			write(s) // may wait for the batch
			// Or the batch may wait for this writer.
			b.await(`SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock') OR NOT EXISTS (SELECT FROM mails WHERE id = 2)`)
			_, _ = s.Exec(context.WithoutCancel(t.Context()), `COMMIT`)
		}()
		<-began
		b.await(`SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'reaper' AND (wait_event_type = 'Lock' OR state LIKE 'idle in transaction%'))`)
	}))
	b.opts.Tenants = []string{"1"}
	b.purge().is(purge.Complete)
	<-done
	b.noOrphans()
	b.purge().is(purge.Complete)
	b.noOrphans()
	saved := b.Int(t, `SELECT count(*) FROM mails WHERE id = 1 AND at > now() - interval '1 day'`)
	b.count(`SELECT count(*) FROM mails WHERE id <= 10`, saved)
}

// Writers that insert, move and delete children, middle rows and roots throughout a purge leave
// no orphan, whatever the kind of key.
func TestProven_Stress(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a while, and -short was given")
	}
	for _, key := range []string{"", "ON DELETE CASCADE", "ON DELETE RESTRICT", "DEFERRABLE INITIALLY DEFERRED", "ON DELETE SET NULL", "ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			schema := strings.ReplaceAll(strings.ReplaceAll(shop, "ON DELETE CASCADE", key), "mail_id int NOT NULL", "mail_id int")
			schema = strings.ReplaceAll(schema, "part_id int NOT NULL", "part_id int")
			var used atomic.Int64
			b := prepare(t, schema, proven(strings.Replace(shopPolicy, "age: at,", "age: at, undecided: delete, limits: {rows: 20},", 1)), watchProven(&used))
			b.Exec(t, `INSERT INTO mails SELECT n, 10, now() - interval '40 days', 'sent' FROM generate_series(101, 3100) n;
				INSERT INTO parts SELECT m * 10 + n, m FROM generate_series(101, 3100) m, generate_series(1, 2) n;
				INSERT INTO clicks (part_id) SELECT id FROM parts;
				CREATE SEQUENCE part START 100000; ANALYZE`)
			ctx, stop := context.WithCancel(t.Context())
			var writers sync.WaitGroup
			for n := range 4 {
				s := b.session()
				writers.Go(func() { scribble(ctx, t, s, n) })
			}
			b.runner.Connections = 2
			for range 2 {
				b.purge().is(purge.Complete)
			}
			stop()
			writers.Wait()
			b.noOrphans()
			if used.Load() == 0 {
				t.Error("no batch went the proven way")
			}
		})
	}
}

// scribble writes until stopped, half of the time at another isolation level.
func scribble(ctx context.Context, t *testing.T, s *session, n int) {
	if n%2 == 1 {
		s.do(`SET default_transaction_isolation = 'repeatable read'`)
	}
	writes := []string{
		`INSERT INTO parts SELECT nextval('part'), id FROM mails WHERE project_id = 10 ORDER BY random() LIMIT 1`,
		`INSERT INTO clicks (part_id) SELECT id FROM parts ORDER BY random() LIMIT 1`,
		`UPDATE clicks SET part_id = (SELECT id FROM parts ORDER BY random() LIMIT 1) WHERE id = (SELECT id FROM clicks ORDER BY random() LIMIT 1)`,
		`UPDATE parts SET mail_id = (SELECT id FROM mails ORDER BY random() LIMIT 1) WHERE id = (SELECT id FROM parts ORDER BY random() LIMIT 1)`,
		`DELETE FROM clicks WHERE id = (SELECT id FROM clicks ORDER BY random() LIMIT 1)`,
		`INSERT INTO mails SELECT nextval('part'), 10, now(), 'sent'`,
		`UPDATE mails SET state = 'read' WHERE id = (SELECT id FROM mails ORDER BY random() LIMIT 1)`,
	}
	for ctx.Err() == nil {
		one, two := writes[rand.IntN(len(writes))], writes[rand.IntN(len(writes))]
		_, err := s.Exec(context.WithoutCancel(ctx), `BEGIN; `+one+`; SAVEPOINT a; `+two+`; COMMIT`)
		if err != nil {
			_, _ = s.Exec(context.WithoutCancel(ctx), `ROLLBACK`)
		}
		var pg *pgconn.PgError
		if err != nil && (!errors.As(err, &pg) || !slices.Contains([]string{"23503", "40P01", "40001"}, pg.Code)) {
			t.Errorf("a writer got %v", err)
		}
	}
}

// auto takes the proven way where that is possible and faster, and complains nowhere.
func TestProven_Auto(t *testing.T) {
	t.Parallel()
	const schema = `
		CREATE TABLE root (id int PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON root (at, id);
		CREATE TABLE leaf (id int PRIMARY KEY, root int NOT NULL REFERENCES root ON DELETE CASCADE); CREATE INDEX ON leaf (root);
		INSERT INTO root SELECT n, now() - interval '40 days' FROM generate_series(1, 20) n; INSERT INTO leaf SELECT n, n FROM generate_series(1, 20) n;`
	const noAction = `ALTER TABLE leaf DROP CONSTRAINT leaf_root_fkey, ADD FOREIGN KEY (root) REFERENCES root;`
	for name, c := range map[string]struct{ sql, checks string }{
		"NO ACTION":   {noAction, "proven"},
		"CASCADE":     {"", "ordinary"},
		"not allowed": {noAction + `CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER seen AFTER DELETE ON leaf FOR EACH ROW EXECUTE FUNCTION seen();`, "ordinary"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, schema+c.sql, `
safety: {foreign_key_checks: auto}
policies: [{name: root, table: root, age: at, tenant: none, retention: 30d, undecided: delete}]`)
			p := b.plans()[0]
			if p.ForeignKeyChecks() != c.checks {
				t.Errorf("the checks are %s, want %s", p.ForeignKeyChecks(), c.checks)
			}
			for _, x := range p.Problems {
				if strings.Contains(x.Text, "foreign_key_checks") {
					t.Errorf("a problem: %s", x.Text)
				}
			}
			b.purge().complete()
			b.count(`SELECT (SELECT count(*) FROM root) + (SELECT count(*) FROM leaf)`, 0)
		})
	}
}
