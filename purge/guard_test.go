package purge_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/purge"
)

// hand is a guard controlled by a test.
type hand struct {
	mu      sync.Mutex
	advice  map[string]guard.Advice // by policy; "": all others
	behind  *guard.Advice           // without that guard; nil: go
	changed chan struct{}
	wrote   int64
	room    guard.Room

	checkpoints int
	asked       func() // called when a checkpoint is requested; nil: nothing
}

func newHand() *hand {
	return &hand{advice: map[string]guard.Advice{}, changed: make(chan struct{})}
}

func (h *hand) set(policy string, a guard.Advice) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.advice[policy] = a
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *hand) Advice(policy string, but ...string) guard.Advice {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range []string{policy, ""} {
		if a, ok := h.advice[name]; ok && !slices.Contains(but, a.Guard) {
			return a
		}
	}
	if h.behind != nil && len(but) > 0 {
		return *h.behind
	}
	return guard.Advice{State: guard.Go, Share: 1}
}

func (h *hand) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

func (h *hand) Wrote(bytes int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrote += bytes
}

func (h *hand) give(room guard.Room) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.room = room
}

// advised records the advice that a run reports.
type advised struct {
	watcher
	told func(policy string, a guard.Advice)
}

func (o advised) Advised(policy string, a guard.Advice) { o.told(policy, a) }

// Room is what the test has set, less what has been written and is held.
func (h *hand) Room(context.Context) (guard.Room, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	room := h.room
	if room.Free != nil && len(room.Holders) > 0 {
		left := max(*room.Free-h.wrote, 0)
		room.Free = &left
	}
	return room, nil
}

func (h *hand) Checkpoint(context.Context) (bool, error) {
	h.mu.Lock()
	h.checkpoints++
	h.mu.Unlock()
	if h.asked != nil {
		h.asked()
	}
	return true, nil
}

var (
	goOn   = guard.Advice{State: guard.Go, Share: 1}
	pause  = guard.Advice{State: guard.Pause, Share: 0.1, Guard: "wal_backlog", Reason: "the replication slot reports keeps 2 GB"}
	stop   = guard.Advice{State: guard.Stop, Share: 0.1, Guard: "storage", Reason: "97 % of the limit are used"}
	slower = guard.Advice{State: guard.Slow, Share: 0.1, Guard: "latency", Reason: "a probe took 0.6 s"}
)

// guarded is a bed whose run uses a guard, in batches of one root.
func guarded(t *testing.T, schema, policy string) (*bed, *hand) {
	b := prepare(t, schema, strings.Replace(policy, "tenant: [project_id, org_id]", "tenant: [project_id, org_id], limits: {rows: 1}", 1))
	h := newHand()
	b.runner.Guard = h
	return b, h
}

// During a pause the current batch finishes, no lock or transaction is held, and the run
// resumes by itself.
func TestGuardPausesAndGoesOn(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b, h := guarded(t, schema, policy)
		var states []guard.State
		paused := make(chan struct{})
		b.runner.Observer = advised{
			watcher: watcher{batch: func(purge.BatchEvent) {
				select {
				case <-paused:
				default:
					h.set("", pause)
				}
			}},
			told: func(_ string, a guard.Advice) {
				if states = append(states, a.State); a.State == guard.Pause {
					close(paused)
				}
			},
		}
		done := make(chan *outcome)
		go func() { done <- b.purge() }()
		<-paused
		b.await(`SELECT EXISTS (SELECT FROM reaper.runs WHERE status = 'running' AND reason LIKE 'pause by the guard wal_backlog: %')`)
		b.count(`SELECT count(*) FROM mails`, 19)
		b.count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reaper' AND state <> 'idle'`, 0)
		b.count(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, 0)
		h.set("", goOn)
		o := (<-done).complete()
		if len(states) != 2 || states[1] != guard.Go {
			t.Errorf("told of %v, want pause and go", states)
		}
		if o.one().PausedSeconds <= 0 {
			t.Errorf("paused_seconds is %v", o.one().PausedSeconds)
		}
		b.left(`SELECT state || ' ' || guard || ' ' || (ended_at IS NOT NULL) FROM reaper.throttle`, "pause wal_backlog true")
		if h.wrote <= 0 {
			t.Error("the guard was not told of WAL")
		}
	})
}

func TestGuardPauseHasALongestLength(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b, h := guarded(t, schema, policy)
		h.set("", pause)
		b.runner.MaxPause = 50 * time.Millisecond
		o := b.purge().is(purge.Incomplete, "paused for 50ms (max_pause)", "wal_backlog", "reports keeps 2 GB")
		b.count(`SELECT count(*) FROM mails`, 20)
		if o.one().PausedSeconds < 0.05 || *o.one().BacklogRows != 15 {
			t.Errorf("paused for %v s, backlog %v", o.one().PausedSeconds, *o.one().BacklogRows)
		}
		h.set("", goOn)
		b.purge().complete()
	})
}

// A checkpoint recycles nothing that a slot holds. Once the slot is gone, another one is
// requested in the same pause.
func TestGuardAsksForACheckpointAgain(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b, h := guarded(t, schema, policy)
		full := guard.Advice{State: guard.Pause, Share: 0.1, Guard: "storage", Reason: "9 GB are free", Checkpoint: true}
		h.set("", full)
		h.asked = func() {
			if h.checkpoints == 1 {
				h.set("", pause) // the slot is seen
			} else {
				h.set("", goOn)
			}
		}
		b.runner.MaxPause = 10 * time.Second
		b.runner.Observer = advised{told: func(_ string, a guard.Advice) {
			if a.Guard == pause.Guard {
				h.set("", full) // the slot is gone
			}
		}}
		b.purge().complete()
		if h.checkpoints != 2 {
			t.Errorf("asked for %d checkpoints, want 2", h.checkpoints)
		}
	})
}

// slowly is a guard that pauses everything while Room is being read.
type slowly struct {
	*hand
	once sync.Once
}

func (g *slowly) Room(ctx context.Context) (guard.Room, error) {
	g.once.Do(func() { g.set("", pause) })
	return g.hand.Room(ctx)
}

// Advice that changes while the run is sized counts before the first batch.
func TestGuardPausesMeanwhile(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b, h := guarded(t, schema, policy)
		b.runner.Guard = &slowly{hand: h}
		b.runner.MaxPause = 50 * time.Millisecond
		b.purge().is(purge.Incomplete, "paused for 50ms", "wal_backlog")
		b.count(`SELECT count(*) FROM mails`, 20)
	})
}

func TestGuardStops(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b, h := guarded(t, schema, policy)
		b.runner.Observer = watcher{batch: func(purge.BatchEvent) { h.set("", stop) }}
		b.purge().is(purge.Incomplete, "stopped by the guard storage: 97 %")
		b.count(`SELECT count(*) FROM mails`, 19)
		b.ledgerIsTrue()
	})
}

// If nothing is due, nothing is paused.
func TestGuardThatStopsNothing(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, shop, shopPolicy)
	b.Exec(t, `DELETE FROM mails WHERE id <= 15`)
	for _, a := range []guard.Advice{pause, stop} {
		h.set("", a)
		if o := b.purge().is(purge.Complete); o.one().PausedSeconds > 0 {
			t.Errorf("%s: paused for %v s with nothing due", a.State, o.one().PausedSeconds)
		}
	}
}

// A paused policy leaves its worker free for other policies, even the only worker.
func TestGuardLendsTheWorker(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, shop+`;
CREATE TABLE logs (id int PRIMARY KEY, at timestamptz NOT NULL);
INSERT INTO logs SELECT n, now() - interval '40 days' FROM generate_series(1, 10) n`, shopPolicy+`
  - {name: logs, table: logs, age: at, tenant: none, retention: 30d, limits: {rows: 1}}`)
	h.set("mails", pause)
	for _, connections := range []int{1, 2} {
		b.runner.Connections = connections
		b.Exec(t, `INSERT INTO logs SELECT n, now() - interval '40 days' FROM generate_series(1, 10) n ON CONFLICT DO NOTHING`)
		done := make(chan *outcome)
		ctx, cancel := context.WithCancel(t.Context())
		b.runner.Stopping = ctx
		go func() { done <- b.purge() }()
		b.await(`SELECT NOT EXISTS (SELECT FROM logs)`)
		b.count(`SELECT count(*) FROM mails`, 20)
		cancel()
		<-done
	}
	h.set("mails", goOn)
	b.runner.Stopping = nil
	b.purge().is(purge.Complete)
	b.count(`SELECT count(*) FROM mails`, 5)
}

// Advice for one policy does not affect the others.
func TestGuardOfOnePolicy(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, shop+`;
CREATE TABLE logs (id int PRIMARY KEY, at timestamptz NOT NULL);
INSERT INTO logs SELECT n, now() - interval '40 days' FROM generate_series(1, 10) n`, shopPolicy+`
  - {name: logs, table: logs, age: at, tenant: none, retention: 30d}`)
	h.set("mails", pause)
	b.runner.MaxPause = 50 * time.Millisecond
	o := b.purge().is(purge.Incomplete, "max_pause")
	if o.Policies[1].Status != purge.Complete {
		t.Errorf("the other policy is %s (%s)", o.Policies[1].Status, o.Policies[1].Reason)
	}
	b.count(`SELECT count(*) FROM logs`, 0)
	b.count(`SELECT count(*) FROM mails`, 20)
}

func TestGuardSlowsDown(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, shop, shopPolicy)
	b.policy = strings.Replace(b.policy, "rows: 1}", "rows: 20}", 1)
	h.set("", slower)
	var began, worked time.Duration
	start := time.Now()
	b.runner.Observer = watcher{batch: func(e purge.BatchEvent) {
		worked += e.Duration
		began = time.Since(start)
	}}
	o := b.purge().complete()
	if o.one().Batches < 4 {
		t.Errorf("%d batches of the whole size", o.one().Batches)
	}
	// Each pause but the last was nine times as long as its batch.
	if began < 3*worked {
		t.Errorf("%v of %v were spent in batches", worked, began)
	}
}

// A batch finds a manual pause itself, without a guard.
func TestPausedByHand(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		for _, policies := range [][]string{nil, {"mails"}} {
			b := prepare(t, schema, policy)
			l := ledger.New(ledger.DefaultSchema, 0)
			if err := l.Pause(t.Context(), b.pool, policies, time.Hour, "migration", "somebody"); err != nil {
				t.Fatal(err)
			}
			told := make(chan guard.Advice, 10)
			b.runner.Observer = advised{told: func(_ string, a guard.Advice) { told <- a }}
			done := make(chan *outcome)
			go func() { done <- b.purge() }()
			if a := <-told; a.State != guard.Pause || a.Guard != "by_hand" {
				t.Errorf("told of %+v", a)
			}
			b.count(`SELECT count(*) FROM mails`, 20)
			if _, err := l.Resume(t.Context(), b.pool, policies); err != nil {
				t.Fatal(err)
			}
			if o := (<-done).complete(); o.one().PausedSeconds <= 0 {
				t.Errorf("paused_seconds is %v", o.one().PausedSeconds)
			}
		}
	})
}

// Another policy's pause has no effect here.
func TestPausedByHandIsAnother(t *testing.T) {
	t.Parallel()
	b := prepare(t, shop, shopPolicy)
	if err := ledger.New(ledger.DefaultSchema, 0).Pause(t.Context(), b.pool, []string{"logs"}, time.Hour, "migration", ""); err != nil {
		t.Fatal(err)
	}
	b.purge().complete()
}

// A manual pause also stops partition drops, before the guards notice it.
func TestPausedByHandKeepsPartitions(t *testing.T) {
	t.Parallel()
	for _, g := range []purge.Guard{nil, newHand()} {
		b := prepare(t, yard, yardPolicy)
		b.runner.Guard = g
		l := ledger.New(ledger.DefaultSchema, 0)
		if err := l.Pause(t.Context(), b.pool, nil, time.Hour, "migration", ""); err != nil {
			t.Fatal(err)
		}
		b.runner.MaxPause = 100 * time.Millisecond
		b.purge().is(purge.Incomplete, "by_hand").dropped()
		b.partitions("p0", "p1", "p2", "p3", "p4")
		b.count(`SELECT count(*) FROM events`, 150)
		if _, err := l.Resume(t.Context(), b.pool, nil); err != nil {
			t.Fatal(err)
		}
		b.purge().complete().dropped("public.p4", "public.p3")
	}
}
