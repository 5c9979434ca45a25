package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/ledger"
)

// paused lists the pauses in effect, and for each policy whether a batch would be paused.
func (b *fixture) paused() string {
	b.t.Helper()
	pauses, err := b.Pauses(b.t.Context(), b.pool)
	b.do(err)
	var all []string
	for _, p := range pauses {
		what := "all"
		if p.Policy != nil {
			what = *p.Policy
		}
		all = append(all, what+": "+p.Reason+" ("+p.Until.Sub(p.Since).String()+")")
	}
	for _, policy := range []string{"mails", "logs"} {
		var paused bool
		b.do(b.pool.QueryRow(b.t.Context(), `SELECT `+b.PausedSQL("$1"), policy).Scan(&paused))
		if paused {
			all = append(all, policy)
		}
	}
	return strings.Join(all, ", ")
}

func TestPause(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	pause := func(length time.Duration, reason string, policies ...string) {
		t.Helper()
		b.do(b.Pause(t.Context(), b.pool, policies, length, reason, "ann"))
	}
	resume := func(want int64, policies ...string) {
		t.Helper()
		if n, err := b.Resume(t.Context(), b.pool, policies); n != want || err != nil {
			t.Errorf("resuming %q ended %d pauses (%v), want %d", policies, n, err, want)
		}
	}
	is := func(want string) {
		t.Helper()
		if got := b.paused(); got != want {
			t.Errorf("paused:\n%s\nwant:\n%s", got, want)
		}
	}
	is("")
	resume(0)
	pause(time.Hour, "a migration", "mails")
	is("mails: a migration (1h0m0s), mails")
	resume(0, "logs")
	pause(ledger.LongestPause, "a freeze")
	pause(30*time.Minute, "both", "mails", "logs")
	is("mails: a migration (1h0m0s), all: a freeze (168h0m0s), mails: both (30m0s), logs: both (30m0s), mails, logs")
	// The pause of all policies is neither of these.
	resume(3, "mails", "logs")
	is("all: a freeze (168h0m0s), mails, logs")
	resume(1)
	is("")
	b.lines("4", `SELECT count(*)::text FROM reaper.pause WHERE resumed_at BETWEEN created_at AND now() AND who = 'ann'`)
}

// A pause is over when it ends by the database's clock, even if nobody resumed, and even
// for a transaction that began earlier.
func TestPauseEndsByItself(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	b.do(b.Pause(t.Context(), b.pool, nil, time.Hour, "over", "ann"))
	b.Exec(t, `UPDATE reaper.pause SET created_at = created_at - interval '1 hour', ends_at = ends_at - interval '1 hour'`)
	if got := b.paused(); got != "" {
		t.Errorf("paused: %s", got)
	}
	if n, err := b.Resume(t.Context(), b.pool, nil); n != 0 || err != nil {
		t.Errorf("%d pauses were ended that were over (%v)", n, err)
	}
	tx, err := b.pool.Begin(t.Context())
	b.do(err)
	defer tx.Rollback(t.Context()) //nolint:errcheck // a test's own
	var paused bool
	b.do(tx.QueryRow(t.Context(), `SELECT pg_sleep(0) IS NOT NULL`).Scan(&paused)) // its now() is before the pause
	b.Exec(t, `INSERT INTO reaper.pause (reason, who, created_at, ends_at) SELECT 'short', 'ann', t, t + interval '1 millisecond' FROM (SELECT clock_timestamp() AS t) c`)
	b.Exec(t, `SELECT pg_sleep(0.01)`)
	b.do(tx.QueryRow(t.Context(), `SELECT ends_at > now() AND `+b.PausedSQL("'mails'")+` FROM reaper.pause WHERE reason = 'short'`).Scan(&paused))
	if paused {
		t.Error("the transaction still sees a pause that has ended")
	}
}

// However it is inserted, a pause ends within seven days and has a reason.
func TestPauseIsBounded(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	for _, length := range []time.Duration{0, -time.Minute, ledger.LongestPause + time.Microsecond} {
		if err := b.Pause(t.Context(), b.pool, nil, length, "why", "ann"); err == nil || !strings.Contains(err.Error(), "pausing: ") {
			t.Errorf("a pause of %s: %v", length, err)
		}
	}
	if err := b.Pause(t.Context(), b.pool, nil, time.Hour, "", "ann"); err == nil {
		t.Error("a pause without a reason")
	}
	b.lines("", `SELECT reason FROM reaper.pause`)
}

// The default author is the session's user and application.
func TestPauseNamesTheSession(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	pool := connect(t, b.DB, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["application_name"] = "console" })
	b.do(b.Pause(t.Context(), pool, nil, time.Hour, "why", ""))
	b.lines("postgres@console", `SELECT who FROM reaper.pause`)
}

// Old pauses are deleted by the ledger's retention.
func TestPausesAreForgotten(t *testing.T) {
	t.Parallel()
	b := open(t, 24*time.Hour)
	for _, reason := range []string{"old", "recent"} {
		b.do(b.Pause(t.Context(), b.pool, nil, time.Hour, reason, "ann"))
	}
	b.Exec(t, `UPDATE reaper.pause SET created_at = created_at - interval '26 hours', ends_at = ends_at - interval '26 hours' WHERE reason = 'old'`)
	b.do(b.Pause(t.Context(), b.pool, nil, time.Hour, "new", "ann"))
	b.lines("recent\nnew", `SELECT reason FROM reaper.pause ORDER BY id`)
}

// Each batch's pause check uses an index that ignores ended pauses.
func TestPausedSQLIsCheap(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	b.Exec(t, `INSERT INTO reaper.pause (reason, who, created_at, ends_at, resumed_at)
		SELECT 'old', 'ann', t, t + interval '1 hour', CASE WHEN g % 2 = 0 THEN t + interval '1 minute' END FROM generate_series(1, 20000) g, LATERAL (SELECT now() - g * interval '2 hours' AS t) c`)
	b.Exec(t, `ANALYZE reaper.pause`)
	b.do(b.Pause(t.Context(), b.pool, []string{"mails"}, time.Hour, "why", "ann"))
	plan := strings.Join(b.Texts(t, `EXPLAIN (COSTS off) SELECT `+b.PausedSQL("'mails'")), "\n")
	if !strings.Contains(plan, "pause_in_force") || !strings.Contains(plan, "Index Cond: (ends_at > now())") {
		t.Errorf("the plan:\n%s", plan)
	}
}

// With the ledger's grants a role can pause, resume and store sizes; without them no size
// is due.
func TestPausesAndSizesPrivileges(t *testing.T) {
	t.Parallel()
	owner := open(t, time.Hour)
	role := owner.Role(t, "r")
	pool := connect(t, owner.DB, func(c *pgxpool.Config) { c.ConnConfig.User = role })
	owner.Exec(t, `GRANT USAGE ON SCHEMA reaper TO `+role+`; GRANT SELECT ON reaper.size TO `+role)
	if due, err := owner.SizeDue(t.Context(), pool); due || err != nil {
		t.Errorf("a role that may not write is to keep a size: %t, %v", due, err)
	}
	owner.Exec(t, strings.Join(owner.Grants(role), "\n"))
	b := &fixture{Ledger: owner.Ledger, DB: owner.DB, t: t, pool: pool}
	b.do(b.Pause(t.Context(), pool, []string{"mails"}, time.Hour, "why", ""))
	if diff := cmp.Diff("mails: why (1h0m0s), mails", b.paused()); diff != "" {
		t.Error(diff)
	}
	if n, err := b.Resume(t.Context(), pool, nil); n != 1 || err != nil {
		t.Errorf("resuming: %d, %v", n, err)
	}
	if due, err := b.SizeDue(t.Context(), pool); !due || err != nil {
		t.Errorf("a first size is due: %t, %v", due, err)
	}
	b.do(b.SaveSize(t.Context(), pool, ledger.Size{}))
}
