package guard_test

import (
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
)

// queue watches a number read from a table.
func queue(signal guard.Signal, below bool) guard.Config {
	return guard.Config{Custom: []guard.Custom{{
		Name: "queue_depth", Query: guard.Query{SQL: "SELECT n FROM queue"}, Signal: signal, Below: below,
	}}}
}

const queueTable = "CREATE TABLE queue(n numeric); INSERT INTO queue VALUES (0)"

// The number crosses each threshold and returns; the hysteresis delays leaving a state.
func TestCustom(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, queueTable)
	w := watch(t, db, queue(levels(100, 200, 300), false))
	set := func(n float64) { db.Exec(t, "UPDATE queue SET n = $1", n) }
	await(t, w, guard.Go)
	for _, step := range []struct {
		n     float64
		state guard.State
		words string
	}{
		{100, guard.Slow, "queue_depth is 100 (slow at 100)"},
		{199, guard.Slow, "queue_depth is 199 (slow at 100)"},
		{200, guard.Pause, "queue_depth is 200 (pause at 200)"},
		{181, guard.Pause, "queue_depth is 181 (pause ends below 180)"},
		{179, guard.Slow, "queue_depth is 179 (slow at 100)"},
		{301, guard.Stop, "queue_depth is 301 (stop at 300)"},
		{95, guard.Slow, "queue_depth is 95 (slow ends below 90)"},
		{0, guard.Go, ""},
	} {
		set(step.n)
		until(t, w, "reading", func() bool {
			r := reading(t, w, "queue_depth")
			return r.Value != nil && *r.Value == step.n && r.State == step.state
		})
		rounds(t, w, 3) // and it stays that way
		a := w.Advice("")
		if a.State != step.state || a.Reason != step.words {
			t.Errorf("at %v: %s, %q; want %s, %q", step.n, a.State, a.Reason, step.state, step.words)
		}
	}
	set(100)
	if a := await(t, w, guard.Slow); a.Share != 0.5 {
		t.Errorf("at the threshold of slow: share %v, want half", a.Share)
	}
	set(150)
	if a := until(t, w, "lesser share", func() bool { return w.Advice("").Share < 0.4 }); a.Share < 0.2999 || a.Share > 0.3001 {
		t.Errorf("half way to pause: share %v, want 0.3", a.Share)
	}
}

// With Below, lower is worse.
func TestCustomBelow(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, "CREATE TABLE queue(n int); INSERT INTO queue VALUES (50)")
	w := watch(t, db, queue(levels(20, 10, none), true))
	await(t, w, guard.Go)
	db.Exec(t, "UPDATE queue SET n = 15")
	if a := await(t, w, guard.Slow); a.Share < 0.2999 || a.Share > 0.3001 {
		t.Errorf("half way to pause: share %v, want 0.3", a.Share)
	}
	db.Exec(t, "UPDATE queue SET n = 10")
	says(t, await(t, w, guard.Pause), "queue_depth", "is 10 (pause at 10)")
	db.Exec(t, "UPDATE queue SET n = 50")
	await(t, w, guard.Go)
}

// Rows beyond the first are discarded without buffering.
func TestCustomOfManyRows(t *testing.T) { // not parallel: it measures what is allocated
	db := dbtest.New(t)
	w := guard.New(guard.Config{Every: time.Hour, Timeout: time.Minute, Custom: []guard.Custom{{
		Name: "many", Signal: levels(none, 1, none), Query: guard.Query{SQL: "SELECT generate_series(1, 1000000)"},
	}}}, db.Pool(t, control), nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	changed := w.Changed()
	run(t, w)
	<-changed
	runtime.ReadMemStats(&after)
	says(t, w.Advice(""), "many", "several rows")
	if n := after.TotalAlloc - before.TotalAlloc; n > 20*megabyte {
		t.Errorf("%d bytes were allocated for a million rows", n)
	}
}

func TestUnknownQuery(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ sql, words string }{
		"fails":           {"SELECT n FROM gone", `relation "gone" does not exist (42P01)`},
		"null":            {"SELECT NULL::int", "returned NULL"},
		"no row":          {"SELECT 1 WHERE false", "returned no rows"},
		"several rows":    {"SELECT generate_series(1, 2)", "returned several rows"},
		"several columns": {"SELECT 1, 2", "returned 2 columns"},
		"quotes a row":    {"SELECT x::int FROM (VALUES ('secret')) v(x)", "failed on a value it read (22P02)"},
		"raises a row":    {"SELECT raises()", "a function in the query raised an error (P0001)"},
		"text":            {"SELECT 'x'", "returned no number"},
		"infinite":        {"SELECT 'infinity'::float8", "NaN or infinity"},
		"numeric NaN":     {"SELECT 'NaN'::numeric", "NaN or infinity"},
		"writes":          {"INSERT INTO queue VALUES (1) RETURNING n", "read-only transaction"},
		"takes too long":  {"SELECT pg_sleep(60)", "took too long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t, queueTable, `CREATE FUNCTION raises() RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'secret'; END $$`)
			config := queue(levels(none, 100, none), false)
			config.Timeout = time.Second
			config.Custom[0].Query.SQL = c.sql
			config.Connections = levels(none, 0.99, none) // another signal is unaffected
			w := watch(t, db, config)
			says(t, await(t, w, guard.Pause), "queue_depth", "queue_depth is unknown|"+c.words)
			if r := reading(t, w, "queue_depth"); strings.Contains(r.Reason+r.Unknown, "secret") {
				t.Errorf("a row is shown: %+v", r)
			}
			if r := reading(t, w, "connections"); r.Unknown != "" || r.State != guard.Go {
				t.Errorf("the guard beside it: %+v, want go", r)
			}
		})
	}
}

// unknown decides the state of an unreadable signal; once readable again, the signal
// counts after two readings.
func TestUnknownMeans(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		signal guard.Signal
		state  guard.State
	}{
		{guard.Signal{Unknown: guard.Slow}, guard.Slow},
		{guard.Signal{Unknown: guard.Stop}, guard.Stop},
		{guard.Signal{}, guard.Pause},
		{guard.Signal{Ignore: true}, guard.Go},
	} {
		t.Run(c.state.String(), func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t, queueTable)
			c.signal.Levels = levels(none, 100, none).Levels
			w := watch(t, db, queue(c.signal, false))
			await(t, w, guard.Go)
			db.Exec(t, "ALTER TABLE queue RENAME TO away")
			until(t, w, "unknown", func() bool { return reading(t, w, "queue_depth").Unknown != "" })
			if a := w.Advice(""); a.State != c.state || a.State != guard.Go && a.Reason == "" || a.Share <= 0 {
				t.Errorf("unknown: %+v, want %s", a, c.state)
			}
			db.Exec(t, "ALTER TABLE away RENAME TO queue")
			until(t, w, "number", func() bool { return reading(t, w, "queue_depth").Value != nil })
			await(t, w, guard.Go)
		})
	}
}

// Prometheus is queried, and no error reveals its URL.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	const password = "hunter2"
	answer := make(chan string, 1)
	answer <- `{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":[0,"7"]}]}}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, given, _ := r.BasicAuth(); given != password {
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		text := <-answer
		answer <- text
		if strings.HasPrefix(text, "5") {
			http.Error(w, text, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(text))
	}))
	defer server.Close()
	db := dbtest.New(t)
	var c guard.Config
	c.Storage.Free = guard.Query{SQL: "free", Prometheus: strings.Replace(server.URL, "//", "//reaper:"+password+"@", 1)}
	c.Storage.Signal = levels(none, 10, none)
	w := watch(t, db, c)
	says(t, await(t, w, guard.Pause), "storage", "7 B are free (pause at 10 B)")
	if room, err := w.Room(t.Context()); err != nil || room.Free == nil || *room.Free != 0 {
		t.Errorf("room %+v (%v), want nothing free", room, err)
	}
	for _, step := range []struct{ answer, words string }{
		{`{"status":"success","data":{"resultType":"vector","result":[]}}`, "0 series"},
		{`{"status":"error","errorType":"bad_data","error":"parse error"}`, "rejected the query: parse error"},
		{"503 https://reaper:" + password + "@x", "Prometheus returned an error"},
		{`{"status":"success","data":{"resultType":"matrix","result":[]}}`, "the query returned a matrix"},
		{"nonsense " + password, "Prometheus returned"},
	} {
		<-answer
		answer <- step.answer
		a := until(t, w, step.words, func() bool { return contains(w.Advice("").Reason, step.words) })
		if contains(a.Reason, password) {
			t.Errorf("the password is shown: %s", a.Reason)
		}
	}
	<-answer
	answer <- `{"status":"success","data":{"resultType":"scalar","result":[0,"100"]}}`
	await(t, w, guard.Go)
	server.Close()
	a := await(t, w, guard.Pause)
	says(t, a, "storage", "Prometheus cannot be reached")
	if contains(a.Reason, password) || contains(a.Reason, "127.0.0.1") {
		t.Errorf("the URL is shown: %s", a.Reason)
	}
}
