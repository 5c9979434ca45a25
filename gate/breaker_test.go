package gate_test

import (
	"cmp"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/plantest"
	"github.com/reaperdb/reaper/ledger"
)

const tables = `
	CREATE TABLE logs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL);
	CREATE INDEX ON logs (at, id);`

const file = `version: 1
policies:
  - {name: logs, table: logs, age: at, tenant: none, retention: 30d}
`

// history is when complete runs were, before now, and how many roots each deleted.
type history []past

type past struct {
	before  time.Duration
	roots   int
	trigger string // empty: schedule
	cut     bool   // it was incomplete
}

// every has runs at a distance, the last one a distance ago, each with so many roots.
func every(distance time.Duration, runs int, roots func(n int) int) (h history) {
	for n := runs; n >= 1; n-- {
		h = append(h, past{before: time.Duration(n) * distance, roots: roots(n)})
	}
	return h
}

// rows reports what the breaker says of a run that nobody answers for, with so many rows due.
func rows(t *testing.T, h history, due int) string {
	t.Helper()
	db := dbtest.New(t, tables)
	pool := db.Pool(t)
	l := ledger.New(ledger.DefaultSchema, 0)
	if _, err := l.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	for _, run := range h {
		db.Exec(t, fmt.Sprintf(`INSERT INTO reaper.run (run_id, policy, trigger, status, success, roots, started_at, finished_at, cutoff_base, lease_until, version)
			SELECT '%s', 'logs', '%s', '%s', %t, %d, at, at, at, at, 13 FROM (SELECT now() - interval '%d seconds') x(at)`,
			uuid.NewString(), cmp.Or(run.trigger, "schedule"), map[bool]string{true: "incomplete", false: "complete"}[run.cut], !run.cut, run.roots, int(run.before.Seconds())))
	}
	db.Exec(t, fmt.Sprintf(`INSERT INTO logs (at) SELECT now() - interval '31 days' FROM generate_series(1, %d); ANALYZE logs`, due))
	gates := &gate.Gates{Pool: pool, Ledger: l, Log: slog.New(slog.DiscardHandler)}
	d, err := gates.LookAtDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := gates.Look(t.Context(), d, plantest.CompileAs(t, db.DSN(), file))
	if err != nil {
		t.Fatal(err)
	}
	return verdict.Text()
}

// What is usual for a table trips nothing: peaks, outages, and retentions as long as a cycle.
func TestBreaker(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		history history
		due     int
		speaks  string // a part of what it says; empty: nothing
	}{
		"four times a day, a peak once a month": {every(6*time.Hour, 60, func(int) int { return 3000 }), 45_000, ""},
		"hourly, after a day of outage": {func() history {
			h := every(time.Hour, 60, func(int) int { return 1000 })
			return h[:len(h)-24]
		}(), 25_000, ""},
		"a retention of a day, purged daily": {every(day, 30, func(int) int { return 20_000 }), 21_000, ""},
		"empty runs between do not count":    {every(time.Hour, 144, func(n int) int { return map[bool]int{n%24 == 0: 5000}[true] }), 60_000, ""},
		"an imported tenant":                 {every(6*time.Hour, 60, func(int) int { return 2000 }), 150_000, "20 times the 333 an hour"},
		"a window that only every seventh run outlasts": {func() (h history) {
			for n := 35; n >= 1; n-- {
				h = append(h, past{before: time.Duration(n) * day, roots: 20_000, cut: n%7 != 1})
			}
			return h
		}(), 90_000, ""},
		"two daemons, the second beside the first": {func() (h history) {
			for n := 5; n >= 1; n-- {
				h = append(h, past{before: time.Duration(n) * day, roots: 2500}, past{before: time.Duration(n)*day - 30*time.Second, roots: 2500, trigger: "assist"})
			}
			return h
		}(), 110_000, "20 times the 208 an hour"},
		"a quiet table, below what counts": {every(time.Hour, 10, func(int) int { return 1 }), 9_999, ""},
		"a quiet table":                    {every(time.Hour, 10, func(int) int { return 1 }), 10_001, "more than 10,000 rows of public.logs are due"},
		"two runs, a small table":          {every(time.Hour, 2, func(int) int { return 1 }), 90_000, ""},
		"two runs, a large table":          {every(time.Hour, 2, func(int) int { return 1 }), 100_100, "50 % of the table"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rows(t, c.history, c.due)
			if (c.speaks == "") != (got == "") || !strings.Contains(got, c.speaks) {
				t.Errorf("says %q, want %q", got, c.speaks)
			}
		})
	}
}
