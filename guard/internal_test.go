package guard

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
)

func name(s string) *string { return &s }

// A missing replica is reported, and eventually forgotten with a log message. Of two
// with the same name, the one that goes is noticed.
func TestReplicaForgotten(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	r := newReplicas(Config{MaxPause: 90 * time.Minute}, slog.New(slog.NewTextHandler(&log, nil)))
	r.now = func() time.Time { return now }
	two := []sender{{Name: name("walreceiver")}, {Name: name("walreceiver")}}
	for _, step := range []struct {
		later   time.Duration
		rows    []sender
		unknown string
	}{
		{0, two, ""},
		{time.Second, two[:1], "the replica walreceiver#2 is gone; it was last seen 12:00:00 UTC"},
		{89 * time.Minute, two[:1], "the replica walreceiver#2 is gone"},
		{time.Minute, two[:1], ""}, // it was gone for longer than the longest pause
		{time.Minute, two, ""},     // and is back
		{61 * time.Minute, nil, "the replica walreceiver is gone"},
	} {
		now = now.Add(step.later)
		_, err := r.observe(step.rows)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if (got == "") != (step.unknown == "") || !strings.Contains(got, step.unknown) {
			t.Errorf("at %v with %d replicas: %q, want %q", now, len(step.rows), got, step.unknown)
		}
	}
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "replica=walreceiver#2") {
		t.Errorf("log %q, want one warning of the one that was forgotten", text)
	}
}

// The lag that a replica reports stands still while its replay is paused; the time
// without replay counts instead.
func TestReplicaStuck(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	r := newReplicas(Config{}, slog.New(slog.DiscardHandler))
	r.now = func() time.Time { return now }
	lag := 2.0
	for _, step := range []struct {
		later      time.Duration
		lag        *float64
		behind, at int64
		want       float64
	}{
		{0, nil, 0, 100, 0},
		{time.Hour, nil, 0, 100, 0},           // nothing to replay
		{time.Second, nil, 50, 100, 0},        // late from now on
		{10 * time.Second, nil, 80, 100, 10},  // nothing replayed
		{10 * time.Second, &lag, 90, 100, 20}, // and its report is stale
		{10 * time.Second, &lag, 60, 160, 2},  // moving, with a fresh report
		{10 * time.Second, &lag, 60, 200, 2},  // still moving
		{30 * time.Second, &lag, 60, 200, 30}, // stopped
		{time.Second, &lag, 0, 260, 0},        // caught up: its report is stale again
		{time.Minute, &lag, 10, 260, 2},       // late from now on
	} {
		now = now.Add(step.later)
		measures, err := r.observe([]sender{{Name: name("second"), Lag: step.lag, Behind: step.behind, At: step.at}})
		if err != nil {
			t.Fatal(err)
		}
		if got := measures[0].value; got != step.want {
			t.Errorf("at %v: %v s late, want %v", now, got, step.want)
		}
	}
}

// A slot's xmin is as old as it has stayed the same.
func TestHorizonWithoutTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	h := newHorizon(Config{})
	h.now = func() time.Time { return now }
	slot := func(n, xmin string) xminHolder { return xminHolder{Name: &n, Moves: true, Xmin: xmin, ID: n} }
	for _, step := range []struct {
		later time.Duration
		rows  []xminHolder
		want  float64
	}{
		{0, []xminHolder{slot("a", "7")}, 0},
		{time.Minute, []xminHolder{slot("a", "7"), slot("b", "8")}, 60},
		{time.Minute, []xminHolder{slot("a", "9"), slot("b", "8")}, 60},
		{time.Minute, nil, 0},
		{time.Minute, []xminHolder{slot("b", "8")}, 0}, // it was gone in between
	} {
		now = now.Add(step.later)
		if got := h.observe(step.rows)[0].value; got != step.want {
			t.Errorf("at %v: %v s, want %v", now, got, step.want)
		}
	}
}

// A reading's timeout starts when the connection is free, so other uses of it by the
// Watch make nothing unknown.
func TestTurn(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	c := Config{Timeout: time.Second, Every: time.Hour, Connections: Signal{Levels: Levels{Pause: At(2)}}}
	w := New(c, db.Pool(t), nil)
	w.turn <- struct{}{}
	read := make(chan Reading)
	go func() { read <- w.all[4].read(t.Context(), w) }()
	select {
	case r := <-read:
		t.Errorf("read out of turn: %+v", r)
	case <-time.After(2 * c.Timeout): // longer than a reading may take
		<-w.turn
		if r := <-read; r.Guard != "connections" || r.Unknown != "" || r.Value == nil {
			t.Errorf("%+v, want it known", r)
		}
	}
}

// With a limit, a state is left by a share of what remains up to the limit: a database
// that stays at 85 % of it does not keep a run paused forever.
func TestHysteresisOfALimit(t *testing.T) {
	t.Parallel()
	limited := measure{unit: Bytes, ceiling: 1000, levels: Levels{Slow: At(800), Pause: At(900), Stop: At(2000)}}
	plain := limited
	plain.ceiling = 0
	for _, c := range []struct {
		name   string
		m      measure
		values []float64
		want   []State
	}{
		{"limit", limited, []float64{900, 891, 891, 889, 889, 781, 781, 779, 779}, []State{Pause, Pause, Pause, Pause, Slow, Slow, Slow, Slow, Go}},
		{"threshold above the limit", limited, []float64{2000, 1999, 1999}, []State{Stop, Stop, Pause}},
		{"no limit", plain, []float64{900, 850, 850, 809, 809, 719, 719}, []State{Pause, Pause, Pause, Pause, Slow, Slow, Go}},
	} {
		g := &gauge{}
		for i, v := range c.values {
			c.m.value = v
			if got := g.next(c.m, 0.1); got != c.want[i] {
				t.Errorf("%s: reading %d, %v, is %s, want %s", c.name, i, v, got, c.want[i])
			}
		}
	}
	low := measure{ceiling: 1000, levels: Levels{Pause: At(100)}}
	if got := low.exitLevel(100, 0.1); got != 90 {
		t.Errorf("a pause at a tenth of the limit ends at %v, want 90", got)
	}
	limited.value = 895
	if got, want := limited.words(Pause, 0.1), "895 B (pause ends below 890 B)"; got != want {
		t.Errorf("reason %q, want %q", got, want)
	}
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value float64
		unit  string
		want  string
	}{
		{0, Bytes, "0 B"},
		{999, Bytes, "999 B"},
		{1 << 30, Bytes, "1 GB"},
		{1.25 * (1 << 30), Bytes, "1.2 GB"},
		{500 << 40, Bytes, "500 TB"},
		{5 << 50, Bytes, "5120 TB"},
		{20 << 20, BytesPerSecond, "20 MB/s"},
		{0.0123, Seconds, "12.3 ms"},
		{0.5, Seconds, "500 ms"},
		{119, Seconds, "119 s"},
		{120, Seconds, "2m"},
		{150, Seconds, "2m30s"},
		{3600, Seconds, "1h"},
		{4200, Seconds, "1h10m"},
		{90000, Seconds, "25h"},
		{0.875, Ratio, "87.5%"},
		{1.5, Ratio, "150%"},
		{3, Sessions, "3"},
		{0.25, Plain, "0.25"},
		{-7, Plain, "-7"},
		{123456, Plain, "123456"},
	} {
		if got := amount(c.value, c.unit); got != c.want {
			t.Errorf("%v %s is %q, want %q", c.value, c.unit, got, c.want)
		}
	}
	if got := oneLine("two\nlines\x1b[31m " + strings.Repeat("é", 300)); strings.ContainsAny(got, "\n\x1b") || len([]rune(got)) != maxBrief+1 {
		t.Errorf("brief: %q", got)
	}
}

func TestSegments(t *testing.T) {
	t.Parallel()
	const segment = 16 << 20
	for _, c := range []struct {
		archived, fails string
		current, want   int64
	}{
		{"000000010000000000000003", "", 4*segment + 100, 0},
		{"000000010000000000000003", "000000010000000000000004", 6 * segment, 2 * segment},
		{"0000000200000001000000FF", "", 0x200000000 + segment, segment},
		{"000000010000000000000003.00000028.backup", "", 5 * segment, segment},
		{"", "000000010000000000000002", 5 * segment, 3 * segment},
		{"00000002.history", "", 5 * segment, 0},
		{"", "", 5 * segment, 0},
	} {
		h := holder{Name: c.archived, Note: c.fails, Segment: segment, Current: c.current}
		if got := h.queued(); got != c.want {
			t.Errorf("archived %q, fails at %q: %d bytes queued, want %d", c.archived, c.fails, got, c.want)
		}
	}
}

// A missing replica does not hide the state of the others, whatever unknown means.
func TestReplicaGoneAndAnotherLate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	lag := 600.0
	for _, unknown := range []Signal{{Ignore: true}, {Unknown: Slow}, {}, {Unknown: Stop}} {
		c := Config{ReplicaLag: ReplicaLag{Signal: unknown}}.complete()
		c.ReplicaLag.Levels = Levels{Slow: At(10), Pause: At(60)}
		r := newReplicas(c, slog.New(slog.DiscardHandler))
		at := now
		r.now = func() time.Time { return at }
		g := &watched{name: replicaGuard, Signal: c.ReplicaLag.Signal}
		g.first(now)
		late := sender{Name: name("b"), Behind: 1 << 30, Lag: &lag, At: 1}
		for i, rows := range [][]sender{{{Name: name("a")}, late}, {late}} {
			at = at.Add(time.Duration(i) * time.Second)
			measures, err := r.observe(rows)
			got := g.judge(measures, err, c, at)
			want := max(Pause, map[bool]State{true: unknown.ifUnknown(), false: Go}[i == 1])
			if got.State != want || (got.Unknown != "") != (i == 1) {
				t.Errorf("unknown %+v, reading %d: %+v, want %s", unknown, i, got, want)
			}
			if i == 1 && want == Pause && !strings.Contains(got.Reason, "b is behind by 10m") {
				t.Errorf("reason %q, want it to name the one that is late", got.Reason)
			}
		}
	}
}

// A transaction that takes a new snapshot per statement holds back vacuum only since the
// last one. When first seen, it is assumed to have held one since it began.
func TestHorizonThatMovesOn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	h := newHorizon(Config{})
	h.now = func() time.Time { return now }
	for _, step := range []struct {
		seconds float64
		moves   bool
		xmin    string
		want    float64
	}{
		{3600, true, "7", 3600},
		{3610, true, "7", 3610},
		{3620, true, "8", 0},
		{3630, true, "8", 10},
		{3640, false, "7", 3640}, // it has written, so its xid stays
	} {
		k := xminHolder{Name: name("session"), Seconds: &step.seconds, Moves: step.moves, Xmin: step.xmin, ID: "session 1"}
		if got := h.observe([]xminHolder{k})[0].value; got != step.want {
			t.Errorf("after %v s with xmin %s: %v s, want %v", step.seconds, step.xmin, got, step.want)
		}
		now = now.Add(10 * time.Second)
	}
}

// Which of several pausing guards is reported, and whether a checkpoint helps.
func TestAdviceOfSeveral(t *testing.T) {
	t.Parallel()
	full := Reading{Guard: storageGuard, State: Pause, reclaimable: true}
	slot := Reading{Guard: backlogGuard, State: Pause, external: true}
	directory := Reading{Guard: backlogGuard, State: Pause, reclaimable: true}
	replica := Reading{Guard: replicaGuard, State: Pause, external: true}
	for _, c := range []struct {
		name       string
		readings   []Reading
		guard      string
		checkpoint bool
	}{
		{"storage", []Reading{full}, storageGuard, true},
		{"a storage that is unknown", []Reading{{Guard: storageGuard, State: Pause, Unknown: "it took too long to read"}}, storageGuard, false},
		{"a slot", []Reading{slot}, backlogGuard, false},
		{"storage and a slot", []Reading{full, slot}, backlogGuard, false},
		{"storage and pg_wal", []Reading{full, directory}, storageGuard, true},
		{"pg_wal", []Reading{directory}, backlogGuard, true},
		{"storage and a replica", []Reading{full, replica}, replicaGuard, false},
		{"storage and an unknown backlog", []Reading{full, {Guard: backlogGuard, State: Pause, Unknown: "x"}}, storageGuard, false},
		{"storage and a slot that is slow", []Reading{full, {Guard: backlogGuard, State: Slow, external: true}}, storageGuard, true},
		{"connections", []Reading{{Guard: "connections", State: Pause}}, "connections", false},
		{"none", nil, "", false},
	} {
		w := New(Config{}, nil, nil)
		w.finished, w.last = time.Now(), time.Now()
		for _, r := range c.readings {
			r.At, r.Share = time.Now(), shareOf(r.State)
			w.others = append(w.others, r)
		}
		if a := w.Advice(""); a.Guard != c.guard || a.Checkpoint != c.checkpoint {
			t.Errorf("%s: %+v, want %q, checkpoint %t", c.name, a, c.guard, c.checkpoint)
		}
	}
}

// Other uses of the connection do not count against a reading. A probe cut off below
// its worst threshold is unknown.
func TestConnectionOfOthers(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	pool := db.Pool(t, func(c *pgxpool.Config) { c.MaxConns = 1 })
	c := Config{Timeout: 500 * time.Millisecond, Every: time.Hour, Shared: true, Connections: Signal{Levels: Levels{Pause: At(2)}}}
	w := New(c, pool, nil)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(2*c.Timeout, conn.Release)
	if r := w.all[4].read(t.Context(), w); r.Guard != "connections" || r.Unknown != "" || r.Value == nil {
		t.Errorf("%+v, want it known", r)
	}
}

// stuck is a session that never answers.
type stuck struct{ session }

func (stuck) Exec(ctx context.Context, _ string, _ ...any) (pgconn.CommandTag, error) {
	<-ctx.Done()
	return pgconn.CommandTag{}, ctx.Err()
}

func TestLatencyCutOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pause   float64
		unknown bool
	}{{0.04, false}, {5, true}} {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Millisecond)
		measures, err := latency{Levels{Slow: At(0.02), Pause: At(c.pause)}}.read(ctx, stuck{})
		cancel()
		if (err != nil) != c.unknown || len(measures) != 1 || measures[0].value < 0.045 {
			t.Errorf("pause at %v s: %+v and %v, want it unknown: %t", c.pause, measures, err, c.unknown)
		}
	}
}

// A server change is detected from whatever is known of both servers.
func TestReplacedBy(t *testing.T) {
	t.Parallel()
	first := server{System: "7", Timeline: "00000001", Address: "10.0.0.1:5432"}
	for _, c := range []struct {
		name string
		now  server
		want bool
	}{
		{"the same", first, false},
		{"its replica, promoted", server{System: "7", Timeline: "00000002", Address: "10.0.0.2:5432"}, true},
		{"promoted, behind one address", server{System: "7", Timeline: "00000002", Address: "10.0.0.1:5432"}, true},
		{"a copy", server{System: "7", Timeline: "00000001", Address: "10.0.0.2:5432"}, true},
		{"another cluster", server{System: "8", Timeline: "00000001", Address: "10.0.0.1:5432"}, true},
		{"a standby, which has no timeline", server{System: "7", Address: "10.0.0.1:5432"}, false},
		{"only the address is known", server{Address: "10.0.0.1:5432"}, false},
		{"another address is all that is known", server{Address: "10.0.0.2:5432"}, true},
		{"nothing is known", server{}, false},
	} {
		if got := first.replacedBy(c.now); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
		if got := first.with(c.now).with(first); got != first {
			t.Errorf("%s: then the first again makes %+v", c.name, got)
		}
	}
	if (server{}).replacedBy(first) {
		t.Error("the first server replaces none")
	}
}

// A server that refuses the identifying functions is known by its address.
func TestIdentityRefused(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
	role := db.Role(t, "reader")
	config, err := pgxpool.ParseConfig(db.As(role))
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	w := New(Config{}, pool, nil)
	for range 2 { // the second round skips what was refused
		now, err := w.identify(t.Context(), pool)
		if err != nil || now.System != "" || now.Timeline != "" || now.Address == "" {
			t.Errorf("%+v (%v), want the address alone", now, err)
		}
	}
	if w.unidentified.IsZero() {
		t.Error("it was not refused")
	}
}
