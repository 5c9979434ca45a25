package erasing_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/plantest"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// mostWrites is how many transactions a writer makes at most.
const mostWrites = 3000

// Six sessions insert for the tenant all the while, each in transactions that overlap. The erasure
// ends, and they get no error but that of the foreign key, once the row is gone.
func TestWriters(t *testing.T) {
	t.Parallel()
	b := open(t, "")
	ctx := t.Context()
	var writers sync.WaitGroup
	var wrote atomic.Int64
	began := make(chan struct{}, 6)
	ends := make(chan error, 6)
	for range 6 {
		conn, err := pgx.Connect(ctx, b.DSN())
		if err != nil {
			t.Fatal(err)
		}
		writers.Go(func() {
			defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
			for n := range mostWrites {
				_, err := conn.Exec(ctx, `BEGIN; INSERT INTO users (org_id) VALUES ('`+acme+`'); SELECT pg_sleep(0.03); COMMIT`)
				if err != nil {
					ends <- err
					return
				}
				wrote.Add(1)
				if n == 0 {
					began <- struct{}{}
				}
			}
			ends <- errors.New("the erasure does not end")
		})
	}
	for range 6 {
		<-began
	}
	b.erase(b.request(false), "complete")
	writers.Wait()
	for range 6 {
		if err := <-ends; !violation(err) {
			t.Errorf("a writer got %v", err)
		}
	}
	if found := b.mentions(acme); found != nil {
		t.Errorf("it is still in %v, of %d rows written", found, wrote.Load())
	}
	if n := b.Int(t, `SELECT count(*)::int FROM users`); n != 20 {
		t.Errorf("%d users are left", n)
	}
}

// violation reports whether an error is that of a foreign key.
func violation(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && refused.Code == "23503"
}

// Whatever statement an erasure is interrupted at, the ledger has counted exactly the rows that are
// gone, and the next run ends it.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	want := open(t, "")
	want.erase(want.request(false), "complete")
	for _, kind := range []string{"cancel", "terminate"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := open(t, "", "wait: 0s", "wait: 0s\n  limits: {rows: 7}")
			before := b.total()
			e := b.request(false)
			for n := 3; ; n += 11 {
				status := b.interrupted(kind, n, e.ID)
				gone := before - b.total()
				if counted := b.Int(t, `SELECT coalesce(sum(rows), 0)::int FROM reaper.erasure_count WHERE action = 'delete'`); counted != gone {
					t.Fatalf("after statement %d, %d rows are gone and %d are counted", n, gone, counted)
				}
				if listed := b.Int(t, `SELECT coalesce(sum(rows), 0)::int FROM reaper.deletions WHERE policy = 'erasure'`); listed != gone {
					t.Fatalf("after statement %d, %d rows are gone and %d are listed", n, gone, listed)
				}
				if status == "done" {
					break
				}
			}
			if found := b.mentions(acme); found != nil {
				t.Errorf("it is still in %v", found)
			}
			if got, want := b.total(), want.total(); got != want {
				t.Errorf("%d rows are left, want %d", got, want)
			}
		})
	}
}

// total counts the rows of all tables.
func (b *fixture) total() (n int) {
	for _, table := range []string{"orgs", "users", "messages", "jobs", "visits"} {
		n += b.Int(b.t, `SELECT count(*)::int FROM `+table)
	}
	return n
}

// interrupted erases until the n-th statement, and returns the state of the erasure.
func (b *fixture) interrupted(kind string, n int, id string) (state string) {
	b.t.Helper()
	ctx, cancel := context.WithCancel(b.t.Context())
	defer cancel()
	runner := b.Runner
	tracer := &breaker{n: int64(n), kind: kind, cancel: cancel, admin: b.DB}
	tracer.t = b.t
	runner.Patience = 5 * time.Second
	runner.Pool = b.traced(tracer)
	e, err := b.ledger.Erasure(b.t.Context(), b.pool, id)
	if err != nil {
		b.t.Fatal(err)
	}
	b.Exec(b.t, `UPDATE reaper.run SET lease_until = now() - interval '1 second' WHERE status = 'running'`) // of a process that died
	if e.State != "done" {
		_, _ = runner.Erase(ctx, e) // how it ends is looked at in the ledger
	}
	runner.Pool.Close()
	return b.Text(b.t, `SELECT state FROM reaper.erasure WHERE id = $1`, id)
}

// Two erasures of a tenant and a purge at once: one of the two erases, the purge goes on with the other
// tenant, and each row is counted once.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	b := open(t, "", "wait: 0s", "wait: 0s\n  limits: {rows: 5}")
	e := b.request(false)
	before := b.total()
	var both sync.WaitGroup
	statuses := make(chan string, 2)
	for range 2 {
		both.Go(func() {
			r, err := b.Erase(t.Context(), e)
			if err != nil {
				statuses <- fmt.Sprint(err)
				return
			}
			statuses <- string(r.Status)
		})
	}
	plans := []*plan.Plan{plantest.CompileAs(t, b.DSN(), b.text)}
	both.Go(func() {
		runner := purge.Runner{Pool: b.pool, Ledger: b.ledger}
		if _, err := runner.Run(t.Context(), plans, purge.Options{Trigger: "manual"}); err != nil {
			t.Error(err)
		}
	})
	both.Wait()
	one, two := <-statuses, <-statuses
	if one == "incomplete" {
		one, two = two, one
	}
	if one != "complete" || two != "incomplete" {
		t.Errorf("they ended %s and %s", one, two)
	}
	if found := b.mentions(acme); found != nil {
		t.Errorf("it is still in %v", found)
	}
	if counted := b.Int(t, `SELECT sum(rows)::int FROM reaper.deletions`); counted != before-b.total() {
		t.Errorf("%d rows are gone and %d are listed", before-b.total(), counted)
	}
}
