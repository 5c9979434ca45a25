package partition_test

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/partition"
	"github.com/reaperdb/reaper/schema"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m, func() error { return goleak.Find() })) }

const events = `
CREATE TABLE events (id int NOT NULL, at date NOT NULL, CONSTRAINT sane CHECK (id > 0)) PARTITION BY RANGE (at);
CREATE TABLE events_old PARTITION OF events FOR VALUES FROM ('2000-01-01') TO ('2001-01-01');
CREATE TABLE events_new PARTITION OF events FOR VALUES FROM ('2001-01-01') TO ('2002-01-01');
INSERT INTO events SELECT n, '2000-02-02' FROM generate_series(1, 7) n;
INSERT INTO events VALUES (8, '2001-02-02')`

const (
	runID  = "01234567-89ab-7def-8123-456789abcdef"
	policy = "events"
)

// fixture is a database with a partitioned table and a run that may drop its partitions.
type fixture struct {
	*dbtest.DB
	t      *testing.T
	table  *partition.Table
	ledger *ledger.Ledger
	old    schema.Partition

	heldUp func() bool // nil means never
	stays  []string
}

func prepare(t *testing.T) *fixture {
	t.Helper()
	l := ledger.New(ledger.DefaultSchema, 0)
	s := &fixture{DB: dbtest.New(t, events), t: t, ledger: l}
	pool := s.Pool(t, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec })
	if _, err := l.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	if err := l.OpenRun(t.Context(), pool, runID, policy, "manual", "2026-01-01 00:00:00+00"); err != nil {
		t.Fatal(err)
	}
	s.old = schema.Partition{
		OID: s.oid("events_old"), Name: schema.Name{Schema: "public", Name: "events_old"},
		Bound: "FOR VALUES FROM ('2000-01-01') TO ('2001-01-01')", Checks: []string{"sane"},
	}
	s.table = &partition.Table{
		Run: s, Pool: pool, Ledger: l, Log: slog.New(slog.DiscardHandler), RunID: runID, Policy: policy,
		OID: s.oid("events"), Name: schema.Name{Schema: "public", Name: "events"}, LockTimeout: time.Second, Path: "pg_catalog",
		Counts: func(x schema.Partition) (string, []any) {
			return "SELECT NULL::text, count(*) FROM ONLY " + x.Name.SQL() + " WHERE id > $1::int HAVING count(*) > 0", []any{0}
		},
		Stopping: t.Context(), Patience: time.Minute,
	}
	return s
}

func (s *fixture) oid(table string) uint32 {
	return uint32(s.Int(s.t, `SELECT $1::text::regclass::oid::bigint`, table))
}

func (s *fixture) WithServer(_ context.Context, fn func() error) error { return fn() }
func (s *fixture) Backoff(context.Context, int)                        {}
func (s *fixture) Retry(error)                                         {}
func (s *fixture) HeldUp() bool                                        { return s.heldUp != nil && s.heldUp() }

func (s *fixture) Stays(d partition.Detached, err error) {
	s.stays = append(s.stays, d.Name+": "+err.Error())
}

// wantUnchanged checks that everything is as before: the partition attached with its constraints,
// nothing noted, nothing recorded.
func (s *fixture) wantUnchanged() {
	s.t.Helper()
	if n := s.Int(s.t, `SELECT count(*) FROM events`); n != 8 {
		s.t.Errorf("%d rows, want 8", n)
	}
	if checks := s.Texts(s.t, `SELECT conname::text FROM pg_constraint WHERE conrelid = 'events_old'::regclass AND contype = 'c'`); !slices.Equal(checks, []string{"sane"}) {
		s.t.Errorf("the partition has the constraints %q", checks)
	}
	if n := s.Int(s.t, `SELECT count(*) FROM reaper.deletions`); n != 0 {
		s.t.Errorf("the ledger has %d deletions", n)
	}
	s.nothingNoted()
}

func (s *fixture) nothingNoted() {
	s.t.Helper()
	if n := s.Int(s.t, `SELECT count(*) FROM reaper.detach`); n != 0 {
		s.t.Errorf("the ledger notes %d detaches", n)
	}
	if s.stays != nil {
		s.t.Errorf("the run is told of %q", s.stays)
	}
}

func TestDrop(t *testing.T) {
	t.Parallel()
	s := prepare(t)
	dropped, err := s.table.Drop(t.Context(), s.old, 0)
	if err != nil {
		t.Fatal(err)
	}
	if dropped.Rows != 7 || dropped.Batches != 1 || dropped.WAL[1] <= dropped.WAL[0] {
		t.Errorf("dropped %+v", dropped)
	}
	if got := s.Texts(t, `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname LIKE 'events%' ORDER BY 1`); !slices.Equal(got, []string{"events", "events_new"}) {
		t.Errorf("there are %q", got)
	}
	if got := s.Text(t, `SELECT string_agg(table_name || '=' || rows, ' ') FROM reaper.deletions`); got != "public.events=7" {
		t.Errorf("the ledger has %s", got)
	}
	s.nothingNoted()
}

// The first check precedes the detach: when the counts find a row that is not expired, the
// partition is attached again.
func TestDrop_NotExpiredAnyMore(t *testing.T) {
	t.Parallel()
	s := prepare(t)
	s.table.Counts = func(schema.Partition) (string, []any) { return "SELECT NULL::text, 1::bigint WHERE false", nil }
	if _, err := s.table.Drop(t.Context(), s.old, 0); err == nil || err.Error() != "a row in it is no longer expired" {
		t.Errorf("error %v", err)
	}
	s.wantUnchanged()
}

// What rules out a drop is checked again before the detach.
func TestDrop_Obstacle(t *testing.T) {
	t.Parallel()
	s := prepare(t)
	s.Exec(t, `CREATE VIEW olds AS SELECT id FROM events_old`)
	if _, err := s.table.Drop(t.Context(), s.old, 0); err == nil || !strings.Contains(err.Error(), "olds depends on it") {
		t.Errorf("error %v", err)
	}
	s.wantUnchanged()
}

// While one process drops partitions of a table, no other does, and none undoes what the
// first is about to do.
func TestDrop_Busy(t *testing.T) {
	t.Parallel()
	s := prepare(t)
	other := prepareBeside(s)
	var err error
	s.heldUp = func() bool { // called while its lock is held
		_, err = other.Drop(t.Context(), s.old, 0)
		return true
	}
	if _, err := s.table.Drop(t.Context(), s.old, 0); !errors.Is(err, partition.ErrHeldUp) {
		t.Errorf("the first ended with %v", err)
	}
	if !errors.Is(err, partition.ErrBusy) {
		t.Errorf("the second ended with %v, want %v", err, partition.ErrBusy)
	}
	s.wantUnchanged()
}

// prepareBeside returns the same table in another process.
func prepareBeside(s *fixture) *partition.Table {
	s.t.Helper()
	other := *s.table
	other.Pool = s.Pool(s.t, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec })
	return &other
}

func TestDrop_PausedByHand(t *testing.T) {
	t.Parallel()
	s := prepare(t)
	if err := s.ledger.Pause(t.Context(), s.table.Pool, []string{policy}, time.Hour, "a test", "somebody"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.table.Drop(t.Context(), s.old, 0); !errors.Is(err, partition.ErrPaused) {
		t.Errorf("error %v, want %v", err, partition.ErrPaused)
	}
	s.wantUnchanged()
}

// A noted detach is undone by the next run of any policy. One without a note was done by a
// person.
func TestRecover(t *testing.T) {
	t.Parallel()
	s := prepare(t)
	s.Exec(t, `ALTER TABLE events DETACH PARTITION events_new CONCURRENTLY`)
	s.Exec(t, `ALTER TABLE events DETACH PARTITION events_old CONCURRENTLY`)
	err := s.ledger.NoteDetach(t.Context(), s.table.Pool, runID, "another", s.table.OID, s.old.OID, "public.events_old", s.old.Bound, s.old.Checks)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.table.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := s.Texts(t, `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass`); !slices.Equal(got, []string{"events_old"}) {
		t.Errorf("attached are %q, want events_old", got)
	}
	if got := s.Texts(t, `SELECT conname::text FROM pg_constraint WHERE conrelid = 'events_old'::regclass AND contype = 'c'`); !slices.Equal(got, []string{"sane"}) {
		t.Errorf("the partition has the constraints %q", got)
	}
	s.nothingNoted()
}

// The run is told of a partition that cannot be attached, here because its range is taken.
func TestRecover_CannotAttach(t *testing.T) {
	t.Parallel()
	s := prepare(t)
	s.Exec(t, `ALTER TABLE events DETACH PARTITION events_old CONCURRENTLY`)
	s.Exec(t, `CREATE TABLE events_other PARTITION OF events FOR VALUES FROM ('2000-01-01') TO ('2001-01-01')`)
	err := s.ledger.NoteDetach(t.Context(), s.table.Pool, runID, policy, s.table.OID, s.old.OID, "public.events_old", s.old.Bound, s.old.Checks)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.table.Recover(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(s.stays) != 1 || !strings.Contains(s.stays[0], "would overlap") {
		t.Errorf("the run is told of %q", s.stays)
	}
	if n := s.Int(t, `SELECT count(*) FROM reaper.detach`); n != 1 {
		t.Errorf("%d notes are left, want one", n)
	}
}
