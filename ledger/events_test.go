package ledger_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/ledger"
)

const events = `SELECT concat_ws(' ', id, kind, policy, tenant, data) FROM reaper.events ORDER BY id`

func (b *fixture) number(want int64) {
	b.t.Helper()
	if n, err := b.NumberEvents(b.t.Context(), b.pool); n != want || err != nil {
		b.t.Errorf("%d events got an id (%v), want %d", n, err, want)
	}
}

// emit emits an event in a transaction.
func (b *fixture) emit(tx pgx.Tx, kind string) error {
	row := &pgx.Batch{}
	if err := b.Emit(row, ledger.Event{Kind: kind}); err != nil {
		return err
	}
	return tx.SendBatch(b.t.Context(), row).Close()
}

// A run has one event of its beginning and one of its end, however often the calls are repeated.
func TestEventsOfRuns(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	id := b.begin("mails")
	b.do(b.OpenRun(t.Context(), b.pool, id, "mails", "manual", "2026-01-01 00:00:00+00"))
	b.lines("", events)
	b.number(1)
	b.batch(id, "mails", 1, "1", map[string]int64{"public.mails": 10, "public.parts": 30}, nil)
	b.end(id, "mails", "complete", true)
	b.end(id, "mails", "complete", true)
	dead := b.begin("others")
	b.Exec(t, `UPDATE reaper.run SET lease_until = now() - interval '1 second' WHERE status = 'running'`)
	b.do(b.CloseDead(t.Context(), b.pool, "mails", "others"))
	tenant := "1"
	row := &pgx.Batch{}
	b.do(b.Emit(row, ledger.Event{Kind: ledger.ErasureBegun, Policy: "erasure", Tenant: &tenant, RunID: dead, Data: map[string]any{"erasure": 7}}))
	b.do(b.pool.SendBatch(t.Context(), row).Close())
	b.NumberEmitted(t.Context(), b.pool)
	b.lines(`
1 run_begun mails {"trigger": "manual"}
2 run_ended mails {"status": "complete", "batches": 1, "rows_total": 40}
3 run_begun others {"trigger": "manual"}
4 run_ended others {"status": "failed", "batches": 0, "rows_total": 0}
5 erasure_begun erasure 1 {"erasure": 7}`, events)
	b.lines("2\n2\n1", `SELECT count(*)::text FROM reaper.events GROUP BY run_id, kind LIKE 'run%' ORDER BY count(*) DESC, run_id`)
	b.number(0)
}

// An event that commits late gets its id late: whoever has read the others still finds it.
func TestAnEventIsNeverOvertaken(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	late, err := b.pool.Begin(t.Context())
	b.do(err)
	b.do(b.emit(late, "late"))
	b.do(pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return b.emit(tx, "early") }))
	b.number(1)
	b.lines("1 early {}", events)
	b.do(late.Commit(t.Context()))
	b.number(1)
	b.lines("1 early {}\n2 late {}", events)
}

// Whoever gives ids waits for another who does: otherwise both would number the same events.
func TestOneAtATimeGivesIDs(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	b.do(pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return b.emit(tx, "first") }))
	held, err := b.pool.Begin(t.Context())
	b.do(err)
	_, err = held.Exec(t.Context(), `SELECT FROM reaper.event FOR UPDATE`) // the first of them waits for this
	b.do(err)
	numbered := make(chan int64, 2)
	waiting := func(locks int) {
		t.Helper()
		go func() {
			n, err := b.NumberEvents(t.Context(), b.pool)
			if err != nil {
				t.Error(err)
			}
			numbered <- n
		}()
		for b.Int(t, `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()`) < locks {
			runtime.Gosched()
		}
	}
	waiting(1)
	b.do(pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return b.emit(tx, "second") }))
	waiting(2)
	b.lines("advisory", `SELECT locktype FROM pg_locks WHERE NOT granted AND locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	b.do(held.Rollback(t.Context()))
	if n := <-numbered + <-numbered; n != 2 {
		t.Errorf("%d events got an id, want 2", n)
	}
	b.lines("1 first {}\n2 second {}", events)
}

// Old events go, but for the newest, so that no id is given twice.
func TestOldEventsGo(t *testing.T) {
	t.Parallel()
	b := open(t, time.Hour)
	for _, kind := range []string{"a", "b", "c"} {
		b.do(pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return b.emit(tx, kind) }))
	}
	b.number(3)
	b.Exec(t, `UPDATE reaper.event SET at = at - interval '2 hours'`)
	b.do(pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return b.emit(tx, "old, and without an id") }))
	b.Exec(t, `UPDATE reaper.event SET at = at - interval '2 hours' WHERE id IS NULL`)
	id := b.begin("mails")
	b.end(id, "mails", "complete", true) // deletes old rows
	b.lines("3 c {}", events)
	b.number(3)
	b.lines("3 c\n4 old, and without an id\n5 run_begun\n6 run_ended", `SELECT concat_ws(' ', id, kind) FROM reaper.events ORDER BY id`)
}

// Many emit at once and commit in any order; some are killed, as are some of those that give the
// ids. A poller that remembers the last id sees every committed event, once.
func TestAPollerMissesNothing(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	const emitters, each = 6, 60
	pool := connect(t, b.DB, func(c *pgxpool.Config) { c.MaxConns = emitters + 6 })
	var mu sync.Mutex
	var committed []string
	var emitting, numbering sync.WaitGroup
	for e := range emitters {
		emitting.Go(func() {
			random := rand.New(rand.NewPCG(uint64(e), 19))
			for i := range each {
				kind := fmt.Sprintf("%d/%d", e, i)
				if b.emitOrDie(pool, kind, random) {
					mu.Lock()
					committed = append(committed, kind)
					mu.Unlock()
				}
			}
		})
	}
	done := make(chan struct{})
	for range 2 {
		numbering.Go(func() {
			for {
				_, _ = b.NumberEvents(t.Context(), pool) // it may have been killed
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	numbering.Go(func() { b.killNumberers(pool, done) })
	var seen []string
	var last int64
	reader, query := b.reader()
	poll := func() {
		rows, err := reader.Query(t.Context(), query, last)
		if err != nil {
			t.Error(err)
			return
		}
		var kind string
		if _, err := pgx.ForEachRow(rows, []any{&last, nil, &kind, nil, nil, nil, nil}, func() error {
			seen = append(seen, kind)
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	ended := make(chan struct{})
	go func() {
		emitting.Wait()
		close(ended)
	}()
	for running := true; running; {
		select {
		case <-ended:
			running = false
		default:
			poll()
		}
	}
	close(done)
	numbering.Wait()
	if _, err := b.NumberEvents(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	for before := -1; before < len(seen); {
		before = len(seen)
		poll()
	}
	slices.Sort(seen)
	slices.Sort(committed)
	if diff := cmp.Diff(committed, seen); diff != "" || len(seen) < emitters*each/2 {
		t.Errorf("events seen (-committed +seen):\n%s", diff)
	}
}

// reader is a role with the privileges that docs/EVENTS.md asks for, and the query that it shows.
func (b *fixture) reader() (pool *pgxpool.Pool, query string) {
	b.t.Helper()
	page, err := os.ReadFile("../docs/EVENTS.md")
	b.do(err)
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		b.t.Fatalf("%d blocks of SQL in the page, want 2", len(blocks))
	}
	role := b.Role(b.t, "reader")
	b.Exec(b.t, strings.ReplaceAll(blocks[1][1], "billing", role))
	return connect(b.t, b.DB, func(c *pgxpool.Config) { c.ConnConfig.User = role }), blocks[0][1]
}

// emitOrDie emits an event in a transaction that waits for nobody or a little, and may be rolled
// back or killed before it commits.
func (b *fixture) emitOrDie(pool *pgxpool.Pool, kind string, random *rand.Rand) (committed bool) {
	errBack := errors.New("rolled back")
	err := pgx.BeginFunc(b.t.Context(), pool, func(tx pgx.Tx) error {
		if err := b.emit(tx, kind); err != nil {
			return err
		}
		switch random.IntN(8) {
		case 0:
			return errBack
		case 1:
			_, err := tx.Exec(b.t.Context(), `SELECT pg_terminate_backend(pg_backend_pid())`)
			return errors.Join(err, errBack)
		case 2, 3, 4:
			_, err := tx.Exec(b.t.Context(), `SELECT pg_sleep($1)`, random.Float64()/200)
			return err
		}
		return nil
	})
	if err != nil && !errors.Is(err, errBack) {
		b.t.Error(err)
	}
	return err == nil
}

// killNumberers ends sessions that give ids, until done.
func (b *fixture) killNumberers(pool *pgxpool.Pool, done chan struct{}) {
	for {
		if _, err := pool.Exec(b.t.Context(), `SELECT pg_terminate_backend(pid), pg_sleep(0.002) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'active' AND query LIKE 'BEGIN ISOLATION%pg_advisory_xact_lock%'`); err != nil {
			b.t.Error(err)
			return
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
