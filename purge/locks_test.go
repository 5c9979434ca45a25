package purge_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/purge"
)

// A table that is locked during a run, as by ALTER TABLE, is retried too.
func TestLockedTableIsComeBackFor(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b, _ := guarded(t, schema, policy)
		s := b.session()
		s.do(`BEGIN`)
		var lock, free sync.Once
		reasons := make(chan string, 100)
		b.runner.Observer = watcher{
			batch: func(purge.BatchEvent) { lock.Do(func() { s.do(`LOCK mails IN ACCESS EXCLUSIVE MODE`) }) },
			retry: func(reason string) {
				reasons <- reason
				free.Do(func() { s.do(`COMMIT`) })
			},
		}
		b.purge().complete()
		if reason := <-reasons; reason != "lock_timeout" {
			t.Errorf("tried again for %s", reason)
		}
		b.count(`SELECT count(*) FROM mails`, 5)
	})
}

// Rows locked by another session are skipped and retried: those released in time are deleted in
// the same run.
func TestPromise10_LockedRowsAreComeBackFor(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		ground := ground(t)
		for _, lock := range []struct{ name, sql string }{
			{"a root", `SELECT FROM mails WHERE id IN (3, 4) FOR UPDATE`},
			{"a root, by an insert below it", `INSERT INTO parts VALUES (1, 3)`},
			{"a dependent", `SELECT FROM parts WHERE mail_id = 3 FOR UPDATE`},
			{"a dependent of a dependent", `SELECT FROM clicks c JOIN parts p ON p.id = part_id WHERE mail_id = 3 FOR UPDATE OF c`},
			{"the tenant", `SELECT FROM orgs FOR UPDATE`},
			{"the table", `LOCK mails IN SHARE MODE`},
		} {
			t.Run(lock.name, func(t *testing.T) {
				b := ground.on(t, schema, policy)
				plans := b.plans()
				s := b.session()
				s.do(`BEGIN`)
				s.do(lock.sql)
				freed := make(chan struct{})
				var once sync.Once
				free := func() {
					once.Do(func() {
						s.do(`COMMIT`)
						close(freed)
					})
				}
				// Released after the others were deleted, or after the purge had to retry.
				b.runner.Observer = watcher{
					batch: func(purge.BatchEvent) { free() },
					retry: func(string) { time.AfterFunc(300*time.Millisecond, free) },
				}
				o := b.purgeWith(plans)
				free()
				<-freed
				o.is(purge.Complete)
				b.count(`SELECT count(*) FROM mails`, 5)
				b.count(`SELECT count(*) FROM clicks`, 15)
			})
		}
	})
}

// Rows that stay locked make the run incomplete; all others are deleted.
func TestPromise8_LockedThroughout(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b := prepare(t, schema, policy)
		s := b.session()
		s.do(`BEGIN; SELECT FROM mails WHERE id IN (3, 12) FOR UPDATE`)
		within(t, 30*time.Second, func() {
			o := b.purge().is(purge.Incomplete, "2 expired rows were locked by others")
			if c := o.one().Tenants; c.Due != 2 || c.Done != 0 {
				t.Errorf("tenants %+v, want 2 due, none done", c)
			}
			if n := o.one().BacklogRows; n == nil || *n != 2 {
				t.Errorf("a backlog of %v, want 2", n)
			}
		})
		b.ledgerIsTrue()
		b.left(`SELECT id FROM mails WHERE id <= 15 ORDER BY id`, "3", "12")
		s.do(`ROLLBACK`)
		b.purge().complete()
	})
}

// Writers that lock in the opposite order, root after dependent, get at worst the database's
// own error, and the purge continues.
func TestPromise2_WritersInOppositeOrder(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b := prepare(t, schema, strings.Replace(policy, "age: at,", "age: at, limits: {rows: 20},", 1))
		b.Exec(t, manyMails)
		b.mark()
		plans := b.plans()
		ctx, stop := context.WithCancel(t.Context())
		var writers sync.WaitGroup
		for n := range 2 {
			s := b.session()
			writers.Go(func() {
				for i := n; ctx.Err() == nil; i++ {
					_, err := s.Exec(context.WithoutCancel(ctx), fmt.Sprintf(`BEGIN; UPDATE clicks SET part_id = part_id WHERE part_id = %[1]d;
						UPDATE parts SET mail_id = mail_id WHERE id = %[1]d; UPDATE mails SET state = 'x' WHERE id = %[2]d; COMMIT`, (i%900+101)*10, i%900+101))
					var pg *pgconn.PgError
					if errors.As(err, &pg) && pg.Code == "40P01" {
						_, err = s.Exec(context.WithoutCancel(ctx), `ROLLBACK`)
					}
					if err != nil {
						t.Errorf("a writer got %v", err)
						return
					}
				}
			})
		}
		o := b.purgeWith(plans)
		stop()
		writers.Wait()
		o.is(purge.Complete)
		b.allGone()
	})
}

// A child inserted between read and delete, without a lock to prevent it, raises 23503, and the
// batch is retried with the child.
func TestPromise2_ForeignKeyViolationIsRetried(t *testing.T) {
	t.Parallel()
	var b *bed
	retries := map[string]int{}
	b = prepare(t, noAction, ways[1].policy, before(atDelete, func() {
		// A writer in the replica role does not lock the root.
		b.Exec(t, `BEGIN; SET LOCAL session_replication_role = replica; INSERT INTO parts VALUES (1, 3); COMMIT`)
	}))
	b.runner.Observer = watcher{retry: func(reason string) { retries[reason]++ }}
	b.purge().is(purge.Complete)
	b.count(`SELECT count(*) FROM mails`, 5)
	b.count(`SELECT count(*) FROM parts`, 15)
	if retries["foreign_key_violation"] == 0 && retries["lock_timeout"] == 0 {
		t.Errorf("nothing was retried for the violation: %v", retries)
	}
}

// A role or database may set another default isolation, and a session other settings: batches
// set their own.
func TestPromise10_SettingsOfTheSessionDoNotMatter(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		ground := ground(t)
		for _, setting := range [][2]string{
			{"default_transaction_isolation", "repeatable read"},
			{"default_transaction_isolation", "serializable"},
			{"default_transaction_read_only", "on"},
			{"DateStyle", "German, DMY"},
			{"IntervalStyle", "sql_standard"},
			{"TimeZone", "Pacific/Kiritimati"},
			{"extra_float_digits", "-3"},
			{"bytea_output", "escape"},
			{"standard_conforming_strings", "off"},
			{"search_path", ""},
			{"lock_timeout", "1ms"},
			{"statement_timeout", "150ms"},
			{"row_security", "on"},
		} {
			t.Run(strings.Join(setting[:], " "), func(t *testing.T) {
				policy := strings.ReplaceAll(strings.ReplaceAll(policy, "table: ", "table: public."), "age: at,", "age: at, limits: {rows: 4},")
				b := ground.on(t, schema, policy, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams[setting[0]] = setting[1] })
				b.purge().complete()
				b.count(`SELECT count(*) FROM mails`, 5)
			})
		}
	})
}

// A run stops after the current batch, says so, and has a correct ledger.
func TestRule_StoppedRuns(t *testing.T) {
	stopping, stop := context.WithCancel(t.Context())
	for _, c := range []struct {
		name, reason string
		arrange      func(b *bed)
	}{
		{"by a signal", "interrupted", func(b *bed) {
			b.runner.Stopping = stopping
			b.runner.Observer = watcher{batch: func(purge.BatchEvent) { stop() }}
		}},
		{"before it began", "interrupted", func(b *bed) {
			ctx, cancel := context.WithCancel(b.t.Context())
			cancel()
			b.runner.Stopping = ctx
		}},
		{"by its duration", "--max-duration", func(b *bed) {
			b.opts.MaxDuration = 200 * time.Millisecond
			b.runner.Observer = watcher{batch: func(purge.BatchEvent) { time.Sleep(250 * time.Millisecond) }}
		}},
		{"in a drain", "interrupted", func(b *bed) {
			ctx, cancel := context.WithCancel(b.t.Context())
			b.t.Cleanup(cancel)
			b.policy = strings.Replace(b.policy, "rows: 2", "total_rows: 2", 1)
			b.runner.Stopping = ctx
			b.runner.Observer = watcher{batch: func(purge.BatchEvent) { cancel() }}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, shop, strings.Replace(shopPolicy, "age: at,", "age: at, limits: {rows: 2},", 1))
			c.arrange(b)
			o := b.purge().is(purge.Incomplete, c.reason)
			b.ledgerIsTrue()
			if n := o.one().Batches; n > 1 {
				t.Errorf("%d batches, want only the current one", n)
			}
			b.runner = purge.Runner{Pool: b.runner.Pool, Ledger: b.runner.Ledger}
			b.opts = purge.Options{}
			b.again()
			b.purge().complete()
			b.count(`SELECT count(*) FROM mails`, 5)
		})
	}
}

// Policies of a run take turns, and a failed one does not end the others.
func TestPromise6_PoliciesTakeTurns(t *testing.T) {
	t.Parallel()
	b := prepare(t, owners+`INSERT INTO owners VALUES (1, 7), (2, 7);`+hundredDays, `
tenants: {table: owners, key: id, retention: days}
policies:
  - {name: a, table: things, age: at, tenant: owner, where: id % 2 = 0, retention: 100 / (days - 7)}
  - {name: b, table: things, age: at, tenant: owner, where: id % 2 = 1}`)
	b.purge().is(purge.Failed, "division by zero")
	b.ledgerIsTrue()
	b.count(`SELECT count(*) FROM things WHERE id % 2 = 1 AND at < now() - interval '7 days'`, 0)
	b.count(`SELECT count(*) FROM things WHERE id % 2 = 0`, 100)
	b.left(`SELECT policy || ' ' || status FROM reaper.runs ORDER BY 1`, "a failed", "b complete")
}

// eachTransactionElsewhere runs every transaction in a different session, as a pooler in
// transaction mode may.
func eachTransactionElsewhere(c *pgxpool.Config) {
	c.AfterRelease = func(*pgx.Conn) bool { return false }
}

func TestPromise7_EveryTransactionOnAnotherConnection(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b := prepare(t, schema, small(policy), eachTransactionElsewhere)
		b.Exec(t, manyMails)
		b.mark()
		b.purge().is(purge.Complete)
		b.allGone()
	})
}

// With one connection a run never deadlocks with itself.
func TestPromise3_OneConnectionIsEnough(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b := prepare(t, schema, small(policy), func(c *pgxpool.Config) { c.MaxConns = 1 })
		b.Exec(t, manyMails)
		b.mark()
		b.purge().is(purge.Complete)
		b.allGone()
	})
}

// Tenants with nothing due cost no statement.
func TestPromise9_IdleTenantsCostNothing(t *testing.T) {
	t.Parallel()
	b := prepare(t, owners, ownersPolicy(", default: 30d", ""))
	b.Exec(t, `INSERT INTO owners SELECT generate_series(1, 20000); INSERT INTO things (owner, at) SELECT id, now() FROM owners; ANALYZE`)
	statements := 0
	b.connect(b.DSN(), beforeEvery("", func() { statements++ }))
	plans := b.plans()
	statements = 0
	b.purgeWith(plans).complete()
	if statements > 30 {
		t.Errorf("%d statements for 20000 idle tenants", statements)
	}
}
