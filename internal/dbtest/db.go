package dbtest

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// closing bounds the wait for connections that a test did not return.
const closing = 5 * time.Second

// statement bounds a test's own statement, so that one that waits forever for a lock fails by
// name instead of by the timeout of the whole binary.
const statement = 2 * time.Minute

// DB is the database of one test.
type DB struct {
	name  string
	dsn   string
	pool  *pgxpool.Pool // the test's own; the code under test gets one from Pool
	roles []string      // created by Role; dropped after the database
}

// New creates a database for t and drops it when t has passed. If t has failed, the database
// stays until the binary ends, and the test's output names it. The setup is SQL of one or
// more statements that may run in one transaction; it runs once per binary, and every
// database made with it is a copy. Setup that differs by test belongs in Exec.
func New(t testing.TB, setup ...string) *DB {
	t.Helper()
	skipShort(t)
	if !shared.main {
		t.Fatal(errNoMain)
	}
	if err := shared.start(); err != nil {
		t.Fatal(err)
	}
	name, err := shared.create(t.Context(), strings.Join(setup, ";\n"))
	if err != nil {
		t.Fatal(err)
	}
	db := &DB{name: name, dsn: shared.pg.DSN(name)}
	t.Cleanup(func() { db.drop(t) })
	db.pool = db.Pool(t)
	return db
}

// drop runs after all cleanups of the test, when every pool from Pool is closed.
func (db *DB) drop(t testing.TB) {
	if t.Failed() {
		shared.leave()
		if keep() {
			t.Logf("the test's database is kept: %s", db.dsn)
		} else {
			t.Logf("the test's database was %s, gone with this test binary; REAPER_TEST_KEEP=1 keeps it", db.dsn)
		}
		return
	}
	drops := []string{"DROP DATABASE " + db.name + " WITH (FORCE)"}
	for _, role := range db.roles {
		// Grants on server parameters outlive the database.
		drops = append(drops, "DROP OWNED BY "+pgx.Identifier{role}.Sanitize(), "DROP ROLE "+pgx.Identifier{role}.Sanitize())
	}
	for _, sql := range drops {
		if _, err := shared.pool.Exec(context.Background(), sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

// Name returns the database's name.
func (db *DB) Name() string { return db.name }

// DSN returns the connection string, as superuser postgres.
func (db *DB) DSN() string { return db.dsn }

// Role creates a role that may log in and nothing else, and returns its name. The name starts
// with the database's, because roles are server-wide and tests of a binary would collide. It
// is dropped with the database.
func (db *DB) Role(t testing.TB, suffix string) string {
	t.Helper()
	role := db.name + "_" + suffix
	db.Exec(t, "CREATE ROLE "+pgx.Identifier{role}.Sanitize()+" LOGIN")
	db.roles = append(db.roles, role)
	return role
}

// As returns the connection string for another role.
func (db *DB) As(role string) string {
	return strings.Replace(db.dsn, "//postgres@", "//"+url.PathEscape(role)+"@", 1)
}

// Pool opens a new pool for the code under test and closes it with the test. Each change may
// modify the configuration first.
func (db *DB) Pool(t testing.TB, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(db.dsn)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 8 // tests run in parallel, and the server allows 200
	for _, f := range change {
		f(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closePool(t, pool) })
	return pool
}

// closePool does not hang, as Close would, on a connection that was never returned.
func closePool(t testing.TB, pool *pgxpool.Pool) {
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(closing):
		t.Errorf("%d connections were not given back to the pool", pool.Stat().AcquiredConns())
	}
}

// Exec runs SQL, which may be several statements if it has no arguments, and fails the test on
// an error. It returns the number of rows affected by the last statement.
func (db *DB) Exec(t testing.TB, sql string, args ...any) int64 {
	t.Helper()
	ctx, cancel := bounded(t)
	defer cancel()
	tag, err := db.pool.Exec(ctx, sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return tag.RowsAffected()
}

// Int returns the single value of a query.
func (db *DB) Int(t testing.TB, sql string, args ...any) int {
	t.Helper()
	return one[int](t, db, sql, args)
}

// Text returns the single value of a query; cast other types to text.
func (db *DB) Text(t testing.TB, sql string, args ...any) string {
	t.Helper()
	return one[string](t, db, sql, args)
}

// Bool returns the single value of a query.
func (db *DB) Bool(t testing.TB, sql string, args ...any) bool {
	t.Helper()
	return one[bool](t, db, sql, args)
}

// Ints returns the single column of a query, in order.
func (db *DB) Ints(t testing.TB, sql string, args ...any) []int {
	t.Helper()
	return column[int](t, db, sql, args)
}

// Texts returns the single column of a query, in order.
func (db *DB) Texts(t testing.TB, sql string, args ...any) []string {
	t.Helper()
	return column[string](t, db, sql, args)
}

func one[T any](t testing.TB, db *DB, sql string, args []any) T {
	t.Helper()
	all := column[T](t, db, sql, args)
	if len(all) != 1 {
		t.Fatalf("%s: %d rows, want 1", sql, len(all))
	}
	return all[0]
}

func column[T any](t testing.TB, db *DB, sql string, args []any) []T {
	t.Helper()
	ctx, cancel := bounded(t)
	defer cancel()
	rows, err := db.pool.Query(ctx, sql, args...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return all
}

// bounded also serves cleanups, when the test's own context has ended.
func bounded(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(t.Context()), statement)
}

// Connect connects as the DSN says; the connection closes with the test.
func Connect(t testing.TB, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
