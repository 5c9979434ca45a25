package gate_test

import (
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
	"github.com/reaperdb/reaper/internal/plantest"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// between does something after the first batch of a run.
type between struct {
	purge.Silent
	once sync.Once
	do   func()
}

func (b *between) Batch(purge.BatchEvent) { b.once.Do(b.do) }

// purgeMeanwhile makes a run, as run --once does, in batches of 10 rows, and reports it.
func (p process) purgeMeanwhile(dsn string, do func()) *purge.PolicyReport {
	p.t.Helper()
	x := plantest.CompileAs(p.t, dsn, strings.Replace(file, "tenant: none,", "tenant: none, limits: {rows: 10},", 1))
	r := purge.Runner{Pool: p.Pool, Ledger: p.Ledger, Gate: p.Gates, Observer: &between{do: do}, Patience: time.Minute}
	report, err := r.Run(p.t.Context(), []*plan.Plan{x}, purge.Options{Trigger: "once"})
	if err != nil {
		p.t.Fatal(err)
	}
	return report.Policies[0]
}

// fill has a hundred rows due.
const fill = tables + `INSERT INTO logs (at) SELECT now() - interval '60 days' FROM generate_series(1, 100);`

// A run goes on through a failover.
func TestRunThroughFailover(t *testing.T) {
	t.Parallel()
	s := dbtest.Server(t, pgtemp.Options{})
	execute(t, s.DSN("postgres"), fill)
	r := dbtest.Replica(t, s, "copy")
	p := begin(t, dbtest.Either(t, s, r))
	got := p.purgeMeanwhile(s.DSN("postgres"), func() {
		dbtest.Replayed(t, s, r)
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
		execute(t, r.DSN("postgres"), `SELECT pg_promote()`)
	})
	if got.Status != purge.Complete || left(t, r) != 0 {
		t.Errorf("%s (%s), %d rows left, want none", got.Status, got.Reason, left(t, r))
	}
}

// A run under which the server is restored to an earlier time ends: the restore was perhaps made
// to undo it.
func TestRunMeetsRestore(t *testing.T) {
	t.Parallel()
	s := dbtest.Server(t, pgtemp.Options{})
	execute(t, s.DSN("postgres"), fill)
	begin(t, s.DSN("postgres")).passes()
	r := dbtest.Replica(t, s, "copy")
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	p := begin(t, dbtest.Either(t, s, r))
	got := p.purgeMeanwhile(s.DSN("postgres"), func() {
		execute(t, s.DSN("postgres"), `SELECT pg_create_restore_point('before')`)
		p.passes() // a sign of life, as the run gives them every few seconds
		if err := s.Kill(); err != nil {
			t.Error(err)
		}
		restore(t, r, filepath.Join(s.Dir(), "data", "pg_wal"), "before")
	})
	if got.Status != purge.Incomplete || !strings.HasPrefix(got.Reason, "waits for approval (latch): this may not be the database") || left(t, r) != 90 {
		t.Errorf("%s (%s), %d rows left, want all 90", got.Status, got.Reason, left(t, r))
	}
}

// left is how many rows there are.
func left(t *testing.T, s *pgtemp.Server) (n int) {
	t.Helper()
	p := begin(t, s.DSN("postgres"))
	if err := p.Pool.QueryRow(t.Context(), `SELECT count(*) FROM logs`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
