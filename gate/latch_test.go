package gate_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/pgtemp"
	"github.com/reaperdb/reaper/ledger"
)

// process is one process of reaper on a database.
type process struct {
	*gate.Gates
	t *testing.T
}

// begin starts a process, which makes the ledger where it is missing.
func begin(t *testing.T, dsn string) process {
	t.Helper()
	config, err := pg.PoolConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	l := ledger.New(ledger.DefaultSchema, 0)
	p := process{&gate.Gates{Pool: pool, Ledger: l, Log: slog.New(slog.DiscardHandler)}, t}
	p.retry(func() error {
		_, err := l.Migrate(t.Context(), pool)
		return err
	})
	return p
}

// retry waits for a server that is being promoted.
func (p process) retry(fn func() error) {
	p.t.Helper()
	var err error
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if err = fn(); err == nil {
			return
		}
	}
	p.t.Fatal(err)
}

// passes wants nothing to be against the database; its runs are signs of life.
func (p process) passes() {
	p.t.Helper()
	p.speaks("")
}

// speaks wants the latch to say that, and to say it again: what it refuses is no sign of life.
func (p process) speaks(want string) {
	p.t.Helper()
	for range 2 {
		var d *gate.Database
		p.retry(func() (err error) {
			d, err = p.Alive(p.t.Context())
			return err
		})
		if (want == "") != (d.Text == "") || !strings.Contains(d.Text, want) {
			p.t.Fatalf("it says %q, want %q", d.Text, want)
		}
	}
}

// approve is a person's word.
func (p process) approve() {
	p.t.Helper()
	d, err := p.LookAtDatabase(p.t.Context())
	if err == nil {
		err = p.ApproveDatabase(p.t.Context(), d, "1 hour", "", "ann")
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func execute(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context()) // a test's end, too, has things to execute
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
}

// quiet makes the last sign of life older than an hour.
const quiet = `UPDATE reaper.latch SET seen_at = now() - interval '3 hours'`

// A ledger without a record, such as one of an older version, holds nobody up.
func TestFirstSight(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	p := begin(t, db.DSN())
	if d, err := p.LookAtDatabase(t.Context()); err != nil || d.Text != "" {
		t.Fatal(d, err)
	}
	p.passes()
	db.Exec(t, quiet)
	begin(t, db.DSN()).passes()
	if got := db.Int(t, `SELECT count(*) FROM reaper.latch WHERE seen_at > now() - interval '2 minutes' AND system_id <> '' AND length(timeline) = 8`); got != 1 {
		t.Errorf("%d records, want 1", got)
	}
}

// Two processes that are the first at once agree.
func TestFirstSightAtOnce(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	all := []process{begin(t, db.DSN()), begin(t, db.DSN()), begin(t, db.DSN()), begin(t, db.DSN())}
	done := make(chan error)
	for _, p := range all {
		go func() {
			d, err := p.Alive(t.Context())
			if err == nil && d.Text != "" {
				err = fmt.Errorf("it says %s", d.Text)
			}
			done <- err
		}()
	}
	for range all {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestTemplate(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	p := begin(t, db.DSN())
	p.passes()
	p.Pool.Reset()
	copied := db.Name() + "_copy"
	admin := database(t, db.DSN(), "postgres")
	execute(t, admin, `CREATE DATABASE `+copied+` TEMPLATE `+db.Name())
	t.Cleanup(func() { execute(t, admin, `DROP DATABASE `+copied+` WITH (FORCE)`) })
	q := begin(t, database(t, db.DSN(), copied))
	q.speaks("the database's OID is ")
	q.speaks("pg_upgrade and a blue/green switch do that")
	q.approve()
	q.passes()
	begin(t, database(t, db.DSN(), copied)).passes()
	execute(t, database(t, db.DSN(), copied), `DELETE FROM reaper.approval`)
	begin(t, database(t, db.DSN(), copied)).passes()
	p.passes()
}

// database is the connection string of another database of the same server.
func database(t *testing.T, dsn, name string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func TestDumpAndRestore(t *testing.T) {
	t.Parallel()
	from, to := dbtest.Server(t, pgtemp.Options{}), dbtest.Server(t, pgtemp.Options{})
	begin(t, from.DSN("postgres")).passes()
	transfer(t, from.DSN("postgres"), to.DSN("postgres"))
	p := begin(t, to.DSN("postgres"))
	p.speaks("the server's system identifier is ")
	p.approve()
	p.passes()
}

// transfer makes the ledger of one database that of another, as a restored dump does: the rows of all
// its tables are copied. Not every server comes with pg_dump.
func transfer(t *testing.T, from, to string) {
	t.Helper()
	begin(t, to) // which makes the tables
	source := dbtest.Connect(t, from)
	target := dbtest.Connect(t, to)
	rows, err := source.Query(t.Context(), `SELECT oid::regclass::text FROM pg_class WHERE relnamespace = 'reaper'::regnamespace AND relkind = 'r'`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(tables) == 0 {
		t.Fatal(tables, err)
	}
	if _, err := target.Exec(t.Context(), `SET session_replication_role = replica; TRUNCATE `+strings.Join(tables, ", ")); err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		var data bytes.Buffer
		if _, err := source.PgConn().CopyTo(t.Context(), &data, `COPY `+table+` TO STDOUT`); err != nil {
			t.Fatal(err)
		}
		if _, err := target.PgConn().CopyFrom(t.Context(), &data, `COPY `+table+` FROM STDIN`); err != nil {
			t.Fatal(err)
		}
	}
}

// alone makes what was a replica a server of its own: as a copy that pg_basebackup has made.
func alone(t *testing.T, r *pgtemp.Server) {
	t.Helper()
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(r.Dir(), "data", "standby.signal")); err != nil {
		t.Fatal(err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A copy of the whole server is known by its address, unless reaper was there within the hour.
func TestCopy(t *testing.T) {
	t.Parallel()
	s := dbtest.Server(t, pgtemp.Options{})
	begin(t, s.DSN("postgres")).passes()
	r := dbtest.Replica(t, s, "copy")
	begin(t, s.DSN("postgres")).passes()
	dbtest.Replayed(t, s, r)
	alone(t, r)
	execute(t, r.DSN("postgres"), quiet)
	q := begin(t, r.DSN("postgres"))
	q.speaks("for the first time")
	q.speaks("the last sign of life is 3 hours old: it may be a copy")
	q.approve()
	q.passes()
	execute(t, r.DSN("postgres"), quiet, `DELETE FROM reaper.approval`)
	begin(t, r.DSN("postgres")).passes()

	// By another name, within the hour, the database is believed to be the same.
	execute(t, s.DSN("postgres"), `UPDATE reaper.latch SET addresses = '{before:5432}'`)
	begin(t, s.DSN("postgres")).passes()
	execute(t, s.DSN("postgres"), quiet)
	begin(t, s.DSN("postgres")).passes()
}

// A failover is harmless to a process that was there before and misses nothing. Others wait.
func TestFailover(t *testing.T) {
	t.Parallel()
	s := dbtest.Server(t, pgtemp.Options{})
	begin(t, s.DSN("postgres")).passes() // before the copy: the replica has a ledger from the start
	r := dbtest.Replica(t, s, "copy")
	daemon, cronjob := begin(t, dbtest.Either(t, s, r)), begin(t, dbtest.Either(t, s, r))
	daemon.passes()
	dbtest.Replayed(t, s, r)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	execute(t, r.DSN("postgres"), `SELECT pg_promote()`)
	cronjob.speaks("WAL is written in timeline 2 and was in 1: the server was restored to an earlier time, perhaps to undo a purge, or a standby was promoted")
	daemon.passes()
	cronjob.passes() // the daemon has vouched for it
}

// A process whose last words were lost in a failover waits, as after a restore.
func TestFailoverWithLoss(t *testing.T) {
	t.Parallel()
	s := dbtest.Server(t, pgtemp.Options{})
	begin(t, s.DSN("postgres")).passes()
	r := dbtest.Replica(t, s, "copy")
	daemon := begin(t, dbtest.Either(t, s, r))
	daemon.passes()
	dbtest.Replayed(t, s, r)
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	daemon.passes() // which the replica never hears of
	if err := errors.Join(s.Kill(), r.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	execute(t, r.DSN("postgres"), `SELECT pg_promote()`)
	daemon.speaks("WAL is written in timeline 2 and was in 1")
	daemon.approve()
	daemon.passes()
}

// After a restore to a point in time before a purge, everybody waits: also a process that was
// there all the time.
func TestPointInTimeRestore(t *testing.T) {
	t.Parallel()
	s := dbtest.Server(t, pgtemp.Options{})
	begin(t, s.DSN("postgres")).passes()
	r := dbtest.Replica(t, s, "copy")
	if err := r.Kill(); err != nil { // the base backup
		t.Fatal(err)
	}
	daemon := begin(t, dbtest.Either(t, s, r))
	daemon.passes()
	execute(t, s.DSN("postgres"), `SELECT pg_create_restore_point('before')`)
	daemon.passes() // with whatever is purged after that
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	restore(t, r, filepath.Join(s.Dir(), "data", "pg_wal"), "before")
	daemon.speaks("WAL is written in timeline 2 and was in 1: the server was restored to an earlier time")
	begin(t, r.DSN("postgres")).speaks("WAL is written in timeline 2 and was in 1")
	daemon.approve()
	daemon.passes()
}

// restore has a server that is not running replay WAL from a directory up to a restore point.
func restore(t *testing.T, r *pgtemp.Server, wal, point string) {
	t.Helper()
	data := filepath.Join(r.Dir(), "data")
	conf, err := os.OpenFile(filepath.Join(data, "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conf, "restore_command = 'cp %s/%%f %%p'\nrecovery_target_name = '%s'\nrecovery_target_action = promote\n", wal, point); err != nil {
		t.Fatal(err)
	}
	if err := conf.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(data, "standby.signal"), filepath.Join(data, "recovery.signal")); err != nil {
		t.Fatal(err)
	}
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}
