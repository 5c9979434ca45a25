package pgtemp_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pgtemp"
)

// ask returns the integer result of a query.
func ask(t *testing.T, dsn, sql string) int {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var n int
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// start starts a server with the binaries under test.
func start(t *testing.T, o pgtemp.Options) *pgtemp.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("starts PostgreSQL")
	}
	o.BinDir = os.Getenv("REAPER_TEST_PG_BIN")
	s, err := pgtemp.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func gone(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func TestStartQueryStop(t *testing.T) {
	t.Parallel()
	s := start(t, pgtemp.Options{FsyncOff: true, Settings: map[string]string{
		"max_connections": "17",
		"search_path":     "it's, public",
	}})
	if got := ask(t, s.DSN("postgres"), "SELECT current_setting('server_version_num')::int / 10000"); got != s.Version() {
		t.Errorf("the server is of version %d, Version says %d", got, s.Version())
	}
	if got := ask(t, s.DSN("postgres"), "SELECT current_setting('max_connections')::int"); got != 17 {
		t.Errorf("max_connections is %d, want the 17 that Settings asked for", got)
	}
	if !strings.Contains(s.DSN("postgres"), "port=") {
		t.Errorf("%s leaves the port to PGPORT", s.DSN("postgres"))
	}
	if s.TCP("postgres") != "" {
		t.Errorf("a server without a port has the TCP address %s", s.TCP("postgres"))
	}
	dir := s.Dir()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if !gone(dir) {
		t.Errorf("%s is still there", dir)
	}
	if _, err := pgx.Connect(t.Context(), s.DSN("postgres")); err == nil {
		t.Error("a stopped server took a connection")
	}
	if err := s.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	if err := s.Restart(t.Context()); err == nil {
		t.Error("a server was restarted whose data is gone")
	}
}

func TestICUCollation(t *testing.T) {
	t.Parallel()
	s := start(t, pgtemp.Options{FsyncOff: true})
	if got := ask(t, s.DSN("postgres"), `SELECT count(*) FROM pg_collation WHERE collprovider = 'i' AND collname = 'de-x-icu'`); got != 1 {
		t.Errorf("%d collations named de-x-icu, want 1", got)
	}
}

func TestPort(t *testing.T) {
	t.Parallel()
	s := start(t, pgtemp.Options{FsyncOff: true, Port: -1})
	for _, dsn := range []string{s.DSN("postgres"), s.TCP("postgres")} {
		if got := ask(t, dsn, "SELECT current_setting('port')::int"); got != s.Port() {
			t.Errorf("%s: port %d, want %d", dsn, got, s.Port())
		}
	}
}

// A directory whose name is too long for a socket still works.
func TestLongDirectory(t *testing.T) {
	t.Parallel()
	parent, err := os.MkdirTemp("", strings.Repeat("long", 25))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	s := start(t, pgtemp.Options{FsyncOff: true, Dir: parent})
	if got := ask(t, s.DSN("postgres"), "SELECT 1"); got != 1 {
		t.Error("no answer")
	}
}

// After a crash every committed row is there, and the server can crash again.
func TestKillAndRestart(t *testing.T) {
	t.Parallel()
	s := start(t, pgtemp.Options{})
	ask(t, s.DSN("postgres"), "WITH x AS (SELECT set_config('a.b', '1', false)) SELECT count(*) FROM x")
	create(t, s)
	for range 2 {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
		if _, err := pgx.Connect(t.Context(), s.DSN("postgres")); err == nil {
			t.Fatal("a killed server took a connection")
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, s.DSN("postgres"), "SELECT count(*) FROM rows_kept"); got != 1000 {
			t.Errorf("%d rows after the crash, want 1000", got)
		}
	}
	if log, _ := os.ReadFile(s.LogFile()); !strings.Contains(string(log), "automatic recovery in progress") {
		t.Error("the server's log says nothing of a recovery: was it a crash?")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatalf("restarting a running server: %v", err)
	}
	ask(t, s.DSN("postgres"), "SELECT count(*) FROM rows_kept")
}

func create(t *testing.T, s *pgtemp.Server) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), "CREATE TABLE rows_kept AS SELECT generate_series(1, 1000) AS id"); err != nil {
		t.Fatal(err)
	}
}

// An unknown setting fails the start, and the error includes the server's message.
func TestStartFails(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts PostgreSQL")
	}
	parent, err := os.MkdirTemp("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = pgtemp.Start(t.Context(), pgtemp.Options{
		BinDir: os.Getenv("REAPER_TEST_PG_BIN"), Dir: parent, Settings: map[string]string{"no_such": "x"},
	})
	if err == nil || !strings.Contains(err.Error(), `unrecognized configuration parameter "no_such"`) {
		t.Errorf("error %v, want PostgreSQL's own words", err)
	}
	if left, _ := os.ReadDir(parent); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestStopCommand(t *testing.T) {
	t.Parallel()
	s := start(t, pgtemp.Options{Detach: true})
	dir, pid := s.Dir(), serverPid(t, s)
	if sid, err := getsid(pid); err != nil || sid != pid {
		t.Errorf("session %d (%v), want the detached server's own, %d", sid, err, pid)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", s.StopCommand()).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", s.StopCommand(), err, out)
	}
	if !gone(dir) {
		t.Errorf("%s is still there", dir)
	}
}

func serverPid(t *testing.T, s *pgtemp.Server) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.Dir(), "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

func getsid(pid int) (int, error) {
	sid, _, errno := syscall.Syscall(syscall.SYS_GETSID, uintptr(pid), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sid), nil
}

// The data may be on a separate volume, which stays when the server's own directory is removed.
func TestDataElsewhere(t *testing.T) {
	t.Parallel()
	data, err := os.MkdirTemp("", "pgtemp-data-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(data); err != nil {
			t.Error(err)
		}
	})
	s := start(t, pgtemp.Options{FsyncOff: true, Data: data, WALSegment: 1})
	if got := ask(t, s.DSN("postgres"), "SELECT setting::int FROM pg_settings WHERE name = 'wal_segment_size'"); got != 1<<20 {
		t.Errorf("a segment of WAL has %d bytes, want the megabyte that WALSegment asked for", got)
	}
	if strings.HasPrefix(s.LogFile(), data) {
		t.Errorf("the log %s is among the data: where that is full, nothing could be logged", s.LogFile())
	}
	dir := s.Dir()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if !gone(dir) || gone(filepath.Join(data, "PG_VERSION")) {
		t.Errorf("after Stop the server's directory is gone: %t, its data: %t; want true, false", gone(dir), gone(filepath.Join(data, "PG_VERSION")))
	}
}
