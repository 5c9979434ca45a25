package guard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
)

// quick makes guards read often, so that tests need not wait.
func quick(c guard.Config) guard.Config {
	c.Every = 20 * time.Millisecond
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second // tests compete for CPU
	}
	return c
}

// control configures a pool as the program does: one connection, and a protocol that
// needs no session state.
func control(c *pgxpool.Config) {
	c.MaxConns = 1
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.ConnConfig.RuntimeParams["application_name"] = "reaper"
}

// watch runs a Watch until the test ends.
func watch(t *testing.T, db *dbtest.DB, c guard.Config) *guard.Watch {
	t.Helper()
	return run(t, guard.New(quick(c), db.Pool(t, control), nil))
}

// as returns a pool for another role.
func as(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	control(config)
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func run(t *testing.T, w *guard.Watch) *guard.Watch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return w
}

// patience bounds the wait for a guard.
const patience = 30 * time.Second

// await waits until the advice has a state and returns it.
func await(t *testing.T, w *guard.Watch, want guard.State) guard.Advice {
	t.Helper()
	return until(t, w, "advice "+want.String(), func() bool {
		a := w.Advice("")
		return a.State == want && a.Guard != "guards"
	})
}

func until(t *testing.T, w *guard.Watch, what string, ok func() bool) guard.Advice {
	t.Helper()
	deadline := time.After(patience)
	for {
		changed := w.Changed()
		if ok() {
			return w.Advice("")
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no %s within %v: %+v", what, patience, w.Advice(""))
		}
	}
}

// rounds waits for n rounds.
func rounds(t *testing.T, w *guard.Watch, n int) {
	t.Helper()
	for range n {
		select {
		case <-w.Changed():
		case <-time.After(patience):
			t.Fatal("the guards hang")
		}
	}
}

// says checks an advice's guard and the parts of its reason, separated by |.
func says(t *testing.T, a guard.Advice, name, words string) {
	t.Helper()
	if a.Guard != name {
		t.Errorf("guard %q speaks, want %q: %s", a.Guard, name, a.Reason)
	}
	for word := range strings.SplitSeq(words, "|") {
		if !strings.Contains(a.Reason, word) {
			t.Errorf("reason %q, want it to hold %q", a.Reason, word)
		}
	}
}

// reading returns a guard's reading.
func reading(t *testing.T, w *guard.Watch, name string) guard.Reading {
	t.Helper()
	for _, r := range w.Readings() {
		if r.Guard == name {
			return r
		}
	}
	t.Fatalf("no reading of %s", name)
	return guard.Reading{}
}

// levels makes thresholds; a negative value means none.
func levels(slow, pause, stop float64) guard.Signal {
	var l guard.Levels
	for _, x := range []struct {
		at    **float64
		value float64
	}{{&l.Slow, slow}, {&l.Pause, pause}, {&l.Stop, stop}} {
		if x.value >= 0 {
			*x.at = guard.At(x.value)
		}
	}
	return guard.Signal{Levels: l}
}

const none = -1

// Before the first reading, the advice is not go.
func TestNothingReadYet(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	w := guard.New(quick(guard.Config{}), db.Pool(t, control), nil)
	a := w.Advice("")
	if a.State != guard.Pause || a.Share <= 0 {
		t.Errorf("before the first reading: %+v, want a pause", a)
	}
	says(t, a, "guards", "not been read yet")
	run(t, w)
	if a := await(t, w, guard.Go); a.Reason != "" || a.Share != 1 {
		t.Errorf("with nothing to watch: %+v, want go and no reason", a)
	}
	for _, r := range w.Readings() {
		if r.Off == "" {
			t.Errorf("%s is watched, without a threshold", r.Guard)
		}
	}
}

// A guard that has not been read yet is shown as unknown, and its unknown state does not
// stop a run before the first reading.
func TestNothingReadYetOfOne(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	connections := levels(none, 1000, none)
	connections.Unknown = guard.Stop
	w := guard.New(quick(guard.Config{Connections: connections}), db.Pool(t, control), nil)
	if r := reading(t, w, "connections"); r.State != guard.Stop || r.Unknown != "it has not been read yet" || !r.At.IsZero() || r.Since.IsZero() {
		t.Errorf("before the first reading: %+v, want it unknown", r)
	}
	a := w.Advice("")
	if says(t, a, "guards", "not been read yet"); a.State != guard.Pause {
		t.Errorf("before the first reading: %+v, want a pause", a)
	}
	run(t, w)
	await(t, w, guard.Go)
	if r := reading(t, w, "connections"); r.State != guard.Go || r.Unknown != "" || r.At.IsZero() {
		t.Errorf("after it: %+v, want it known", r)
	}
}

// A Watch that replaces another ends a pause as that one would have, even if one in
// between never ran, and it wakes those waiting for that one.
func TestSucceed(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, queueTable)
	db.Exec(t, "UPDATE queue SET n = 20")
	c := guard.Config{Custom: queue(levels(none, 10, none), false).Custom, Every: time.Hour, Timeout: time.Minute}
	first := guard.New(c, db.Pool(t, control), nil)
	once(t, first)
	if r := reading(t, first, "queue_depth"); r.State != guard.Pause {
		t.Fatalf("%+v, want a pause", r)
	}
	db.Exec(t, "UPDATE queue SET n = 0")
	second, third := guard.New(c, db.Pool(t, control), nil), guard.New(c, db.Pool(t, control), nil)
	second.Succeed(first)
	third.Succeed(second)
	second.End()
	<-second.Changed()
	once(t, third)
	if r := reading(t, third, "queue_depth"); r.State != guard.Pause || *r.Value != 0 {
		t.Errorf("after one good reading: %+v, want a pause still", r)
	}
}

// Hanging guards are unknown.
func TestStale(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	block := make(chan struct{})
	defer close(block)
	hangs := make(chan struct{}, 1)
	c := guard.Config{Timeout: 50 * time.Millisecond, More: []guard.Source{{Read: func(context.Context) ([]guard.Reading, error) {
		select {
		case hangs <- struct{}{}: // first round
			return nil, nil
		default:
			<-block // ignores its context, as a bug might
			return nil, nil
		}
	}}}}
	w := watch(t, db, c)
	for deadline := time.Now().Add(patience); !strings.Contains(w.Advice("").Reason, "last read"); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("guards that hang do not pause")
		}
	}
	says(t, w.Advice(""), "guards", "last read|the interval is 20 ms")
}

// A round of slow but healthy signals may take longer than any of them; what was read
// counts in the meantime.
func TestLongRound(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	c := guard.Config{Every: 100 * time.Millisecond, Timeout: time.Second}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		c.Custom = append(c.Custom, guard.Custom{Name: name, Query: guard.Query{SQL: "SELECT 1 FROM pg_sleep(0.4)"}, Signal: levels(none, 2, none)})
	}
	w := guard.New(c, db.Pool(t, control), nil)
	first := w.Changed()
	run(t, w)
	<-first
	for second := w.Changed(); ; time.Sleep(10 * time.Millisecond) {
		if a := w.Advice(""); a.Guard == "guards" {
			t.Fatalf("in the middle of a round: %+v", a)
		}
		select {
		case <-second:
			return
		default:
		}
	}
}

// When readings end, everyone waiting for a round that will not come is woken, and so is
// everyone who comes later.
func TestChangedAtTheEnd(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	w := guard.New(guard.Config{Every: time.Hour}, db.Pool(t, control), nil)
	ctx, cancel := context.WithCancel(t.Context())
	first := w.Changed()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.Run(ctx)
	}()
	<-first
	next := w.Changed()
	select {
	case <-next:
		t.Error("there was no second round yet")
	default:
	}
	cancel()
	<-ended
	for who, changed := range map[string]<-chan struct{}{"who waited": next, "who comes later": w.Changed()} {
		select {
		case <-changed:
		default:
			t.Errorf("%s is not woken", who)
		}
	}
}

// External readings count, for one policy or all; a failing source is unknown.
func TestMore(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	given := make(chan []guard.Reading, 1)
	given <- []guard.Reading{{Guard: "by_hand", Policy: "mails", State: guard.Pause, Reason: "paused by Ada"}}
	fail := make(chan error, 1)
	fail <- nil
	w := watch(t, db, guard.Config{More: []guard.Source{{Name: "pauses", Read: func(context.Context) ([]guard.Reading, error) {
		readings, err := <-given, <-fail
		given <- readings
		fail <- err
		return readings, err
	}}}})
	until(t, w, "pause of mails", func() bool { return w.Advice("mails").Guard == "by_hand" })
	says(t, w.Advice("mails"), "by_hand", "paused by Ada")
	if a := w.Advice("events"); a.State != guard.Go {
		t.Errorf("another policy: %+v, want go", a)
	}
	since := w.Advice("mails").Since
	rounds(t, w, 2)
	if again := w.Advice("mails").Since; since.IsZero() || !again.Equal(since) {
		t.Errorf("since %v, and a round later since %v: want it to stay", since, again)
	}
	if err := <-fail; err != nil {
		t.Fatal(err)
	}
	fail <- errors.New("the ledger is gone")
	says(t, await(t, w, guard.Pause), "pauses", "unknown")
}
