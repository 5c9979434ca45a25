package purge_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// diesAt kills the process before the n-th statement after the search for droppable partitions.
func diesAt(n int) argsHook {
	searching := false
	return func(sql string, _ []any) {
		searching = searching || strings.Contains(sql, "bool_or(i.inhdetachpending) OVER")
		if searching {
			if n--; n < 0 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		}
	}
}

// dies runs a purge in its own process, which dies at the n-th statement of its drops, and
// reports whether it did.
func (b *bed) dies(n int) bool {
	b.t.Helper()
	b.pool.Close()
	cmd := exec.CommandContext(b.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+b.DSN(), childEnv+"_POLICY="+b.policy, childEnv+"_DIES="+strconv.Itoa(n))
	err := cmd.Run()
	b.await(`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reaper')`)
	return err != nil
}

// rowsAnywhere counts the rows of events, including those of a detached partition.
func (b *bed) rowsAnywhere() (n int) {
	b.t.Helper()
	for _, table := range b.Texts(b.t, `SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname ~ '^p[0-9]' AND relkind = 'r'`) {
		n += b.Int(b.t, `SELECT count(*) FROM `+table)
	}
	return n
}

// A process killed before any statement of a drop, including COMMIT, loses no row that the
// ledger does not record. The next run reattaches what was detached and finishes.
func TestPartitionDrop_KilledBeforeEachStatement(t *testing.T) {
	t.Parallel()
	b := ground(t)
	states := map[string]bool{}
	for n := 1; n <= 30; n++ { // the first of two drops and the start of the second
		b.fresh(yard, yardPolicy)
		if !b.dies(n) {
			t.Fatalf("it came to an end after %d statements", n)
		}
		recorded := b.Int(t, `SELECT coalesce(sum(rows), 0)::int FROM reaper.deletions`)
		if left := b.rowsAnywhere(); left+recorded != 150 {
			t.Errorf("killed at statement %d: %d rows are left, and the ledger has %d of 150", n, left, recorded)
		}
		states[b.Text(t, `SELECT concat_ws(' ', count(*) FILTER (WHERE i.inhrelid IS NULL), count(*)) FROM reaper.detach d LEFT JOIN pg_inherits i ON i.inhrelid = d.partition`)] = true
		b.Exec(t, `UPDATE reaper.run SET lease_until = now() - interval '1 second'`)
		b.connect(b.DSN())
		b.mark()
		b.purge().is(purge.Complete)
		b.count(`SELECT count(*) FROM events`, 50)
		b.count(`SELECT sum(rows)::int FROM reaper.deletions`, 100)
		b.count(`SELECT count(*) FROM reaper.detach`, 0)
		b.partitions("p0", "p1", "p2")
	}
	// Nothing noted, noted and attached, noted and detached.
	if !states["0 0"] || !states["0 1"] || !states["1 1"] {
		t.Errorf("not every state was met: %v", states)
	}
}

// A hold set after the crash counts: the partition is reattached unchanged, with its rows.
func TestPartitionDrop_HeldAfterACrash(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	shape := b.shape()
	for n := 1; b.Int(t, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass`) == 5; n++ {
		if !b.dies(n) {
			t.Fatal("no process died with a partition detached")
		}
	}
	b.Exec(t, `UPDATE orgs SET held = true`)
	b.connect(b.DSN())
	b.purge().is(purge.Complete).dropped()
	b.count(`SELECT count(*) FROM events`, 150)
	b.sameShape(shape)
}

// The next run resolves every state that a crash, or a person after it, can leave.
func TestPartitionDrop_RecoversFromEveryState(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	halfway := func(b *bed) {
		s, reader := b.session(), b.session()
		reader.do(`BEGIN; SELECT count(*) FROM events`)
		s.do(`SET statement_timeout = '100ms'`)
		if _, err := s.Exec(b.t.Context(), `ALTER TABLE events DETACH PARTITION p4 CONCURRENTLY`); err == nil {
			b.t.Error("the detach was not held up")
		}
		reader.do(`COMMIT`)
	}
	for _, c := range []struct {
		name       string
		do         func(*bed)
		kept       int  // rows of p4 that remain anywhere while everything is held
		same       bool // the tables are unchanged
		detachedP4 bool // by a person
	}{
		{"nothing happened", func(*bed) {}, 30, true, false},
		{"halfway", halfway, 30, true, false},
		{"detached", func(b *bed) { b.session().do(`ALTER TABLE events DETACH PARTITION p4 CONCURRENTLY`) }, 30, true, false},
		{"detached and renamed", func(b *bed) {
			b.Exec(b.t, `ALTER TABLE events DETACH PARTITION p4; ALTER TABLE p4 RENAME TO p41; ALTER TABLE events RENAME TO occurrences; ALTER TABLE occurrences RENAME TO events`)
		}, 30, false, false},
		{"dropped by a person", func(b *bed) { b.Exec(b.t, `DROP TABLE p4`) }, 0, false, true},
		{"attached elsewhere", func(b *bed) {
			b.Exec(b.t, `ALTER TABLE events DETACH PARTITION p4; CREATE TABLE old (LIKE events) PARTITION BY RANGE (at); ALTER TABLE old ATTACH PARTITION p4 FOR VALUES FROM (MINVALUE) TO (MAXVALUE)`)
		}, 30, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, yard, yardPolicy)
			b.Exec(t, `DELETE FROM reaper.detach; UPDATE orgs SET held = true`)
			shape := b.shape()
			b.note()
			c.do(b)
			b.mark()
			b.purge().is(purge.Complete).dropped()
			b.count(`SELECT count(*) FROM reaper.detach`, 0)
			if c.same {
				b.sameShape(shape)
			}
			if left := b.rowsAnywhere() - 120; left != c.kept {
				t.Errorf("%d rows are left of p4, want %d", left, c.kept)
			}
			if c.detachedP4 {
				b.partitions("p0", "p1", "p2", "p3")
			} else {
				b.count(`SELECT count(*) FROM events`, 150)
			}
		})
	}
	t.Run("the table is gone", func(t *testing.T) {
		b := ground.on(t, yard, yardPolicy)
		b.note()
		b.Exec(t, `ALTER TABLE events DETACH PARTITION p4; ALTER TABLE events RENAME TO old; CREATE TABLE events (LIKE old INCLUDING ALL); DROP TABLE old`)
		b.purge().is(purge.Complete)
		b.count(`SELECT count(*) FROM reaper.detach`, 0)
		b.count(`SELECT count(*) FROM p4`, 30)
	})
	t.Run("another policy's, which is not in the file any more", func(t *testing.T) {
		b := ground.on(t, yard+"CREATE TABLE logs (id int PRIMARY KEY, at timestamptz)", "policies: [{name: logs, table: logs, age: at, tenant: none, retention: 1d}]")
		b.note()
		b.Exec(t, `ALTER TABLE events DETACH PARTITION p4`)
		b.purge().is(purge.Complete)
		b.count(`SELECT count(*) FROM events`, 150)
	})
	t.Run("somebody else's", func(t *testing.T) {
		b := ground.on(t, yard, yardPolicy)
		halfway(b)
		b.tells(plan.LevelWarning, "the detach of partition public.p4 from public.events was interrupted", "FINALIZE")
		b.purge().is(purge.Complete).dropped()
		b.count(`SELECT count(*) FROM pg_inherits WHERE inhdetachpending`, 1)
		b.count(`SELECT count(*) FROM p4`, 30)
		b.count(`SELECT count(*) FROM events`, 50)
	})
}

// note writes a note as if a run were about to detach partition p4 of events.
func (b *bed) note() {
	b.t.Helper()
	b.Exec(b.t, `SET TIME ZONE 'UTC'; INSERT INTO reaper.detach (partition, parent, name, bound, checks, run_id, policy)
		SELECT oid, 'events'::regclass, 'public.p4', pg_get_expr(relpartbound, oid), '{}', gen_random_uuid(), 'events' FROM pg_class WHERE oid = 'p4'::regclass; RESET TIME ZONE`)
}

// If a reader already uses the table, or one that it references, everything is deleted row by
// row, and no detach gets stuck.
func TestPartitionDrop_LongReaderBefore(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"events", "orgs"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, yard, yardPolicy)
			plans := b.plans()
			b.mark()
			reader := b.session()
			reader.do(`BEGIN; SELECT count(*) FROM ` + table)
			var detaches int
			b.connect(b.DSN(), beforeEvery("CONCURRENTLY", func() { detaches++ }))
			b.purgeWith(plans).complete().dropped()
			b.partitions("p0", "p1", "p2", "p3", "p4")
			if detaches > 0 {
				t.Error("it began to detach")
			}
			reader.do(`COMMIT`)
		})
	}
}

// A reader that starts just before the detach blocks it halfway. The run reports that and does
// the rest; the next one finishes.
func TestPartitionDrop_ReaderHoldsUpTheDetach(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	plans := b.plans()
	reader := b.session()
	b.connect(b.DSN(), before("CONCURRENTLY", func() { reader.do(`BEGIN; SELECT count(*) FROM events`) }))
	o := b.purgeWith(plans).is(purge.Incomplete, "partition public.p4 is detached; its rows are not visible until a later run").dropped()
	o.rows(map[string]int64{"public.events": 70})
	b.count(`SELECT count(*) FROM events`, 50)
	b.count(`SELECT count(*) FROM pg_inherits WHERE inhdetachpending`, 1)
	b.count(`SELECT count(*) FROM p4`, 30)
	b.count(`SELECT sum(rows)::int FROM reaper.deletions`, 70)
	reader.do(`COMMIT`)
	b.connect(b.DSN())
	b.purge().is(purge.Complete).dropped("public.p4")
	b.count(`SELECT count(*) FROM events`, 50)
	b.count(`SELECT sum(rows)::int FROM reaper.deletions`, 100)
}

// If the reader leaves in time, the partition is reattached in the same run and its rows are
// deleted one by one.
func TestPartitionDrop_ReaderLeavesInTime(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	plans := b.plans()
	shape := b.shape()
	reader := b.session()
	var leaver sync.WaitGroup
	var once sync.Once
	b.connect(b.DSN(), func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = argsHook(func(sql string, _ []any) {
			switch {
			case strings.Contains(sql, "CONCURRENTLY"):
				reader.do(`BEGIN; SELECT count(*) FROM events`)
			case strings.Contains(sql, "FINALIZE"):
				once.Do(func() { leaver.Go(func() { reader.do(`COMMIT`) }) })
			}
		})
	})
	b.purgeWith(plans).complete().dropped()
	leaver.Wait()
	b.sameShape(shape)
}

// A run that is told to stop during a detach ends with everything attached.
func TestPartitionDrop_SignalWhileDetaching(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	plans := b.plans()
	shape := b.shape()
	b.mark()
	reader := b.session()
	stopping, stop := context.WithCancel(t.Context())
	b.runner.Stopping = stopping
	var waiter sync.WaitGroup
	var once sync.Once
	b.connect(b.DSN(), func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = argsHook(func(sql string, _ []any) {
			switch {
			case strings.Contains(sql, "CONCURRENTLY"):
				reader.do(`BEGIN; SELECT count(*) FROM events`)
				waiter.Go(func() { b.awaitBlocked(); stop() })
			case strings.Contains(sql, "FINALIZE"):
				once.Do(func() { waiter.Go(func() { reader.do(`COMMIT`) }) })
			}
		})
	})
	o := b.purgeWith(plans).is(purge.Incomplete, "interrupted").dropped()
	waiter.Wait()
	if o.one().RowsTotal != 0 {
		t.Errorf("%d rows deleted", o.one().RowsTotal)
	}
	b.sameShape(shape)
	b.count(`SELECT count(*) FROM reaper.detach`, 0)
}

// If a process is killed while its detach waits, the server keeps executing it. The next run
// undoes the half-done detach, and the late one has no effect.
func TestPartitionDrop_KilledWhileTheDetachWaits(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	b.Exec(t, `UPDATE orgs SET held = true`)
	shape := b.shape()
	reader, dead := b.session(), b.session()
	reader.do(`BEGIN; LOCK TABLE ONLY events IN ACCESS SHARE MODE`) // no snapshot, so that only the detach waits
	b.note()
	done := make(chan error, 1)
	go func() {
		_, err := dead.Exec(context.WithoutCancel(t.Context()), `ALTER TABLE events DETACH PARTITION p4 CONCURRENTLY`)
		done <- err
	}()
	b.await(`SELECT EXISTS (SELECT FROM pg_inherits WHERE inhdetachpending)`)
	b.mark()
	b.purge().is(purge.Complete).dropped()
	b.sameShape(shape)
	reader.do(`COMMIT`)
	if err := <-done; err == nil {
		t.Error("the late detach was carried through")
	}
	b.sameShape(shape)
}

// The same when its detach had not begun: the next run waits behind it.
func TestPartitionDrop_KilledBeforeTheDetachBegan(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	b.Exec(t, `UPDATE orgs SET held = true`)
	shape := b.shape()
	blocker, dead := b.session(), b.session()
	blocker.do(`BEGIN; LOCK TABLE ONLY events IN SHARE UPDATE EXCLUSIVE MODE`)
	b.note()
	done := make(chan error, 1)
	go func() {
		_, err := dead.Exec(context.WithoutCancel(t.Context()), `ALTER TABLE events DETACH PARTITION p4 CONCURRENTLY`)
		done <- err
	}()
	b.await(`SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass)`)
	locking, freed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.connect(b.DSN(), beforeEvery("LOCK TABLE ONLY", func() { once.Do(func() { close(locking) }) }))
	b.mark()
	go func() {
		defer close(freed)
		<-locking
		b.awaitBlocked()
		blocker.do(`COMMIT`)
	}()
	b.purge().is(purge.Complete).dropped()
	<-freed
	if err := <-done; err != nil {
		t.Logf("the detach of the dead process: %v", err) // it ran second, or first
	}
	b.sameShape(shape)
	b.count(`SELECT count(*) FROM events`, 150)
}

// A connection is lost in the COMMIT of a drop: ledger and catalog show what happened, and the
// report agrees.
func TestPartitionDrop_ConnectionLostInCommit(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for name, what := range map[string]when{"before": beforeCommit, "at once after": inCommit, "after, without an answer": afterCommit} {
		t.Run(name, func(t *testing.T) {
			b := ground.on(t, yard, yardPolicy)
			b.mark()
			plans := b.plans()
			var cut atomic.Bool
			_, dsn := startProxy(t, b.DSN(), func(int64) when {
				if !cut.Load() && b.Bool(t, `SELECT EXISTS (SELECT FROM pg_locks WHERE relation = to_regclass('p4') AND mode = 'AccessExclusiveLock')`) && cut.CompareAndSwap(false, true) {
					return what
				}
				return pass
			})
			b.connect(dsn)
			o := b.purgeWith(plans).complete()
			if !cut.Load() {
				t.Error("no commit was cut")
			}
			b.count(`SELECT count(*) FROM events`, 50)
			if o.one().RowsTotal != 100 || o.one().Roots != 100 {
				t.Errorf("the report has %d rows, %d roots, want 100", o.one().RowsTotal, o.one().Roots)
			}
			if what == afterCommit {
				o.dropped("public.p4", "public.p3")
			}
		})
	}
}

// An administrator terminates connections at any point: nothing is lost or left detached.
func TestPartitionDrop_ConnectionsTerminated(t *testing.T) {
	t.Parallel()
	b := ground(t)
	for n := range 24 {
		b.fresh(yard, yardPolicy)
		b.connect(b.DSN())
		plans := b.plans()
		b.mark()
		left := n
		searching := false
		b.connect(b.DSN(), func(c *pgxpool.Config) {
			c.ConnConfig.Tracer = argsHook(func(sql string, _ []any) {
				if searching = searching || strings.Contains(sql, "bool_or(i.inhdetachpending) OVER"); searching {
					if left--; left == 0 {
						b.Int(t, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reaper'`)
					}
				}
			})
		})
		o := b.purgeWith(plans).is(purge.Complete)
		b.ledgerIsTrue()
		b.count(`SELECT count(*) FROM events`, 50)
		b.count(`SELECT count(*) FROM reaper.detach`, 0)
		if total := b.Int(t, `SELECT sum(rows)::int FROM reaper.deletions`); o.one().RowsTotal != int64(total) {
			t.Errorf("terminated at statement %d: the report has %d rows, the ledger %d", n, o.one().RowsTotal, total)
		}
	}
}

// Locks on tables referenced by a partition's foreign keys block its drop. It is retried; then
// the partition is reattached and its rows are deleted one by one.
func TestPartitionDrop_ReferencedTableLocked(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, tries := range []int{1, 10} {
		t.Run(fmt.Sprint(tries), func(t *testing.T) {
			b := ground.on(t, yard, yardPolicy)
			plans := b.plans()
			b.mark()
			locker := b.session()
			b.connect(b.DSN(), func(c *pgxpool.Config) {
				c.ConnConfig.Tracer = argsHook(func(sql string, _ []any) {
					switch {
					case strings.HasPrefix(sql, "DROP TABLE") && tries > 0:
						tries--
						locker.do(`BEGIN; SELECT count(*) FROM orgs`)
					case sql == "rollback":
						locker.do(`ROLLBACK`)
					}
				})
			})
			o := b.purgeWith(plans).complete()
			if tries == 0 {
				o.dropped("public.p4", "public.p3")
			} else {
				o.dropped()
			}
			b.count(`SELECT count(*) FROM events`, 50)
		})
	}
}

// Two concurrent processes drop each partition once.
func TestPartitionDrop_TwoAtOnce(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	b.mark()
	other := *b
	other.connect(b.DSN())
	other.runner = purge.Runner{Pool: other.pool, Ledger: ledger.New(ledger.DefaultSchema, 0)}
	plans := [2][]*plan.Plan{b.plans(), other.plans()}
	outcomes := [2]*outcome{}
	var second sync.WaitGroup
	second.Go(func() { outcomes[1] = other.purgeWith(plans[1]) })
	outcomes[0] = b.purgeWith(plans[0])
	second.Wait()
	var rows int64
	for _, o := range outcomes {
		o.is(purge.Complete)
		rows += o.one().RowsTotal
	}
	b.ledgerIsTrue()
	b.count(`SELECT count(*) FROM events`, 50)
	b.count(`SELECT count(*) FROM reaper.detach`, 0)
	if rows != 100 {
		t.Errorf("the reports have %d rows together, want 100", rows)
	}
}
