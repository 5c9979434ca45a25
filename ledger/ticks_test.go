package ledger_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// Of several processes that claim a tick at once, one wins, for a new tick and for one
// whose run has died.
func TestClaimAtTheSameMoment(t *testing.T) {
	t.Parallel()
	b := open(t, time.Hour)
	pools := []*pgxpool.Pool{b.pool, connect(t, b.DB)}
	// A claim waits before it opens its run, uncommitted, while the gate is shut.
	gate := dbtest.Connect(t, b.DSN())
	b.Exec(t, `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$;
		CREATE TRIGGER wait BEFORE INSERT ON reaper.run FOR EACH ROW EXECUTE FUNCTION wait()`)
	tick := time.Now().Truncate(time.Second)
	for _, what := range []string{"a new tick", "one whose run has died"} {
		if _, err := gate.Exec(t.Context(), `SELECT pg_advisory_lock(1)`); err != nil {
			t.Fatal(err)
		}
		type claim struct {
			won bool
			err error
		}
		claims := make(chan claim)
		for i, pool := range pools {
			go func() {
				won, err := b.Claim(t.Context(), pool, "mails", tick, uuid.NewString(), "schedule", "process")
				claims <- claim{won, err}
			}()
			waiting := func() bool {
				return b.Int(t, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == i+1
			}
			for deadline := time.Now().Add(30 * time.Second); !waiting(); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: %d claims do not wait", what, i+1)
				}
			}
		}
		if _, err := gate.Exec(t.Context(), `SELECT pg_advisory_unlock(1)`); err != nil {
			t.Fatal(err)
		}
		won := 0
		for range pools {
			c := <-claims
			b.do(c.err)
			if c.won {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%s: %d processes have claimed it, want 1", what, won)
		}
		b.lines("1", `SELECT count(*)::text FROM reaper.run r JOIN reaper.tick t USING (run_id, policy) WHERE r.status = 'running'`)
		b.Exec(t, `UPDATE reaper.run SET lease_until = clock_timestamp() - interval '1 s'`)
	}
}

// The claim of a process that gives no sign of life any more is free within seconds: its
// run's own lease is longer. One that never gave any is judged by its run alone.
func TestClaimOfAProcessThatIsGone(t *testing.T) {
	t.Parallel()
	b := open(t, time.Hour)
	tick := time.Now().Truncate(time.Second)
	claim := func(instance string, want bool) {
		t.Helper()
		won, err := b.Claim(t.Context(), b.pool, "mails", tick, uuid.NewString(), "schedule", instance)
		b.do(err)
		if won != want {
			t.Errorf("%s has it: %t, want %t", instance, won, want)
		}
	}
	passes := func(seconds int) {
		t.Helper()
		b.Exec(t, `UPDATE reaper.lease SET lease_until = lease_until - make_interval(secs => `+strconv.Itoa(seconds)+`)`)
	}
	claim("first", true)
	passes(7)
	b.do(b.Present(t.Context(), b.pool, "first"))
	passes(7)
	claim("second", false)
	passes(2)
	claim("second", true)
	claim("first", false)

	b.do(b.Leave(t.Context(), b.pool, "second")) // as a process of an earlier version
	claim("first", false)
	b.lines("first", `SELECT instance FROM reaper.lease`)

	passes(25 * 60 * 60)
	tick = tick.Add(time.Second)
	claim("third", true)
	b.lines("third", `SELECT instance FROM reaper.lease`)
}

// A run beside another's takes its place, once that one's process is gone, and not before.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	b := open(t, time.Hour)
	tick, first, beside := time.Now().Truncate(time.Second), uuid.NewString(), uuid.NewString()
	won, err := b.Claim(t.Context(), b.pool, "mails", tick, first, "schedule", "first")
	b.do(err)
	if !won {
		t.Fatal("a new tick is not claimed")
	}
	takes := func(want bool) {
		t.Helper()
		won, err := b.TakeOver(t.Context(), b.pool, "mails", tick, beside, "catch_up", "second")
		b.do(err)
		if won != want {
			t.Errorf("it takes its place: %t, want %t", won, want)
		}
	}
	b.Exec(t, `UPDATE reaper.lease SET lease_until = clock_timestamp() - interval '1 s'`)
	takes(false) // it has not begun yet
	b.Exec(t, `UPDATE reaper.lease SET lease_until = clock_timestamp() + interval '1 min'`)
	b.do(b.OpenRun(t.Context(), b.pool, beside, "mails", "assist", "2026-11-24 12:00:00+00"))
	takes(false)
	b.lines("assist", `SELECT trigger FROM reaper.run WHERE run_id = '`+beside+`'`)
	b.Exec(t, `UPDATE reaper.lease SET lease_until = clock_timestamp() - interval '1 s'`)
	takes(true)
	b.lines("catch_up second", `SELECT r.trigger || ' ' || t.instance FROM reaper.tick t JOIN reaper.run r USING (run_id, policy)`)
	takes(false)
}
