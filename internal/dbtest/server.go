// Package dbtest gives every test a PostgreSQL database of its own. All tests of a binary
// share one server, started by the first test that needs it:
//
//	func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }
//
//	func TestSomething(t *testing.T) {
//		t.Parallel()
//		db := dbtest.New(t, schemaSQL)
//		db.Exec(t, `INSERT INTO …`)
//
// Main unsets libpq's PG* variables, which point to a person's database. REAPER_TEST_PG_BIN
// names the directory of the binaries to use, and REAPER_TEST_KEEP=1 keeps the server running
// with the databases of failed tests. Without a server a test fails and says what to install;
// only -short skips.
package dbtest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pgtemp"
)

// shared is the server of this test binary.
var shared server

type server struct {
	main bool // Main will stop it
	once sync.Once
	err  error
	pg   *pgtemp.Server
	pool *pgxpool.Pool // to the database postgres, for CREATE and DROP DATABASE

	mu        sync.Mutex
	templates map[string]*template // keyed by SQL
	databases int                  // created so far; numbers their names
	kept      int                  // left behind by failed tests
}

type template struct {
	once sync.Once
	name string
	err  error
}

// Main runs the tests of a binary and stops their server; its result is for os.Exit. Each of
// after runs when the server is stopped (such as goleak.Find) and fails the binary by
// returning an error.
func Main(m *testing.M, after ...func() error) int {
	shared.main = true
	if err := unsetLibpq(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintf(os.Stderr, "stopping the test server: %v\n", err)
		code = max(code, 1)
	}
	for _, check := range after {
		if err := check(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// libpq are the environment variables from which pgx and psql complete a connection string,
// except those that name files of keys and passwords.
var libpq = []string{
	"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSERVICE", "PGOPTIONS", "PGAPPNAME", "PGCONNECT_TIMEOUT", "PGCLIENTENCODING",
	"PGDATESTYLE", "PGTZ", "PGTARGETSESSIONATTRS", "PGSSLMODE", "PGSSLNEGOTIATION", "PGGSSENCMODE", "PGREQUIREAUTH", "PGCHANNELBINDING", "PGLOADBALANCEHOSTS",
	"PGMINPROTOCOLVERSION", "PGMAXPROTOCOLVERSION",
}

// unsetLibpq makes tests independent of the database in the environment.
func unsetLibpq() error {
	for _, name := range libpq {
		if err := os.Unsetenv(name); err != nil {
			return fmt.Errorf("unsetting %s: %w", name, err)
		}
	}
	return nil
}

// Server starts a server for this test alone, for crashes and server-wide settings. Defaults
// for o are as in New.
func Server(t testing.TB, o pgtemp.Options) *pgtemp.Server {
	t.Helper()
	skipShort(t)
	pg, err := pgtemp.Start(t.Context(), testOptions(o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Stop(); err != nil {
			t.Error(err)
		}
	})
	return pg
}

// testOptions sets the defaults of o for tests.
func testOptions(o pgtemp.Options) pgtemp.Options {
	if o.BinDir == "" {
		o.BinDir = os.Getenv("REAPER_TEST_PG_BIN")
	}
	o.FsyncOff = true
	settings := map[string]string{
		"max_connections": "200",
		"shared_buffers":  "128MB",
		"max_wal_size":    "1GB",
	}
	maps.Copy(settings, o.Settings)
	o.Settings = settings
	return o
}

func skipShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL, and -short was given")
	}
}

func keep() bool { return os.Getenv("REAPER_TEST_KEEP") == "1" }

// start starts the shared server; later calls return the first call's result.
func (s *server) start() error {
	s.once.Do(func() {
		// The context of the test that happens to be first must not stop the server.
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if s.pg, s.err = pgtemp.Start(ctx, testOptions(pgtemp.Options{Detach: keep()})); s.err != nil {
			return
		}
		s.pool, s.err = pgxpool.New(ctx, s.pg.DSN("postgres"))
	})
	return s.err
}

func (s *server) stop() error {
	if s.pool != nil {
		s.pool.Close()
	}
	if s.pg == nil {
		return nil
	}
	if keep() && s.kept > 0 {
		fmt.Fprintf(os.Stderr, "the test server is left up, with %d databases; to end it:\n%s\n", s.kept, s.pg.StopCommand())
		return nil
	}
	return s.pg.Stop()
}

// name returns the next database's name.
func (s *server) name(prefix string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.databases++
	return fmt.Sprintf("%s_%d", prefix, s.databases)
}

// template returns the name of a database on which the SQL has run, once.
func (s *server) template(ctx context.Context, sql string) (string, error) {
	s.mu.Lock()
	if s.templates == nil {
		s.templates = map[string]*template{}
	}
	t := s.templates[sql]
	if t == nil {
		t = &template{}
		s.templates[sql] = t
	}
	s.mu.Unlock()
	t.once.Do(func() {
		t.name = s.name("template")
		t.err = s.fill(context.WithoutCancel(ctx), t.name, sql)
	})
	return t.name, t.err
}

func (s *server) fill(ctx context.Context, name, sql string) error {
	if _, err := s.pool.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return fmt.Errorf("creating the template: %w", err)
	}
	pool, err := pgxpool.New(ctx, s.pg.DSN(name))
	if err != nil {
		return fmt.Errorf("creating the template: %w", err)
	}
	_, err = pool.Exec(ctx, sql)
	pool.Close()
	if err != nil {
		return fmt.Errorf("filling the template: %w", err)
	}
	// An open connection would make CREATE DATABASE … TEMPLATE fail (55006), and the backend
	// of the one just closed may take a moment to exit.
	for {
		var busy bool
		err := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend')", name).Scan(&busy)
		if err != nil || !busy {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// create creates a database; without SQL it is a copy of template1.
func (s *server) create(ctx context.Context, sql string) (string, error) {
	from := "template1"
	if sql != "" {
		var err error
		if from, err = s.template(ctx, sql); err != nil {
			return "", err
		}
	}
	name := s.name("test")
	if _, err := s.pool.Exec(ctx, fmt.Sprintf("CREATE DATABASE %s TEMPLATE %s", name, from)); err != nil {
		return "", fmt.Errorf("creating a database: %w", err)
	}
	return name, nil
}

// leave notes a database that is kept for inspection.
func (s *server) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept++
}

var errNoMain = errors.New("dbtest: nobody would stop the server; the package needs func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }")
