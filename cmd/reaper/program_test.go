package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// program runs reaper as a separate process; TestMain has put it in PATH.
func program(t *testing.T, dsn string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "reaper", args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "DATABASE_URL="+dsn)
	return cmd
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

func write(t *testing.T, dir, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "reaper.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// Every example matches its schema.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			schema, err := os.ReadFile(filepath.Join("testdata", "examples", name+".sql"))
			if err != nil {
				t.Fatalf("every example needs a schema to hold it against: %v", err)
			}
			policy, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			db := dbtest.New(t, string(schema))
			for _, args := range [][]string{{"check"}, {"plan"}, {"purge", "--yes"}} {
				cmd := program(t, db.DSN(), args...)
				write(t, cmd.Dir, string(policy))
				out, err := cmd.CombinedOutput()
				if code := exitCode(t, err); code != 0 {
					t.Errorf("%v: exit code %d\n%s", args, code, out)
				}
				if args[0] == "check" && strings.Contains(string(out), "warning") {
					t.Errorf("an example should have no warnings:\n%s", out)
				}
			}
		})
	}
}

// slow is a table whose rows each take a while to delete.
const slow = `
	CREATE TABLE event (id bigint PRIMARY KEY, at timestamptz);
	INSERT INTO event SELECT g, '2001-01-01' FROM generate_series(1, 3000) g;
	CREATE INDEX ON event (at, id);
	CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.02); RETURN OLD; END';
	CREATE TRIGGER slow BEFORE DELETE ON event FOR EACH ROW EXECUTE FUNCTION wait()`

const slowPolicy = `version: 1
policies: [{name: p, table: event, age: at, tenant: none, retention: 1d, triggers: allow, limits: {rows: 5}}]
`

// A signal ends a purge after the current batch, with exit code 3 and a correct summary.
func TestSignal(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t, slow)
			cmd := program(t, db.DSN(), "purge", "--yes", "-o", "json")
			write(t, cmd.Dir, slowPolicy)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for !db.Bool(t, `SELECT count(*) < 3000 FROM event`) {
				time.Sleep(5 * time.Millisecond)
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if code := exitCode(t, cmd.Wait()); code != 3 {
				t.Fatalf("exit code %d, want 3\n%s%s", code, &stdout, &stderr)
			}
			var report contractPurge
			if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
				t.Fatal(err)
			}
			left := db.Int(t, `SELECT count(*) FROM event`)
			if gone := int(report.Policies[0].RowsTotal); gone == 0 || gone+left != 3000 {
				t.Errorf("%d rows deleted, says the summary, and %d are left of 3000", gone, left)
			}
			if got := report.Policies[0].Reason; !strings.Contains(got, "interrupted by a signal") {
				t.Errorf("reason %q", got)
			}
			if got := db.Int(t, `SELECT sum(rows) FROM reaper.deletions`); got+left != 3000 {
				t.Errorf("the ledger has %d rows, and %d are left of 3000", got, left)
			}
			if got := db.Text(t, `SELECT status FROM reaper.runs`); got != "incomplete" {
				t.Errorf("status %s in the ledger", got)
			}
		})
	}
}

func TestMaxDuration(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, slow)
	cmd := program(t, db.DSN(), "purge", "--yes", "--max-duration", "1s")
	write(t, cmd.Dir, slowPolicy)
	out, err := cmd.CombinedOutput()
	if code := exitCode(t, err); code != 3 {
		t.Errorf("exit code %d, want 3", code)
	}
	if !strings.Contains(string(out), "p: incomplete (--max-duration reached)\n") {
		t.Errorf("got %s", out)
	}
}

// A wrong password is exit code 2, and is not printed.
func TestWrongPassword(t *testing.T) {
	t.Parallel()
	dir, err := pgtemp.TempDir("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	hba := filepath.Join(dir, "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"), 0o644); err != nil { //nolint:gosec // the server runs as another user
		t.Fatal(err)
	}
	server := dbtest.Server(t, pgtemp.Options{Port: -1, Settings: map[string]string{"hba_file": hba}})
	conn, err := pgx.Connect(t.Context(), server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context()) //nolint:errcheck // a test's own
	if _, err := conn.Exec(t.Context(), `CREATE ROLE app LOGIN PASSWORD 'right'`); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server.TCP("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	at := func(password string) string {
		w := *u
		w.User = url.UserPassword("app", password)
		return w.String()
	}
	if out, err := program(t, at("right"), "init").CombinedOutput(); err != nil {
		t.Errorf("with the right password: %v\n%s", err, out)
	}
	out, err := program(t, at("hunter2"), "init").CombinedOutput()
	if code := exitCode(t, err); code != 2 {
		t.Errorf("exit code %d, want 2", code)
	}
	if text := string(out); strings.Contains(text, "hunter2") || !strings.Contains(text, "password authentication failed") {
		t.Errorf("got %s", text)
	}
}

// A standby cannot be purged, and check reports that.
func TestStandby(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t, pgtemp.Options{})
	conn, err := pgx.Connect(t.Context(), server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE event (id bigint PRIMARY KEY, at timestamptz); CREATE INDEX ON event (at, id); CHECKPOINT`); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.Close(t.Context()), server.Kill()); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(server.Dir(), "data")
	if err := os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o644); err != nil { //nolint:gosec // the server runs as another user
		t.Fatal(err)
	}
	// Restart waits for a writable server; this one never becomes one.
	standby := exec.CommandContext(context.WithoutCancel(t.Context()), filepath.Join(server.BinDir(), "postgres"), "-D", data)
	standby.Dir = server.Dir()
	process, err := pgtemp.Run(standby, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = process.Stop(syscall.SIGQUIT, 10*time.Second) })
	for {
		conn, err := pgx.Connect(t.Context(), server.DSN("postgres"))
		if err == nil {
			_ = conn.Close(t.Context())
			break
		}
		select {
		case <-process.Done():
			t.Fatal("the standby ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
	for _, args := range [][]string{{"check"}, {"purge", "--yes"}} {
		cmd := program(t, server.DSN("postgres"), args...)
		write(t, cmd.Dir, slowPolicy)
		out, err := cmd.CombinedOutput()
		if code := exitCode(t, err); code != 2 || !strings.Contains(string(out), "the server is a standby") {
			t.Errorf("%v: exit code %d, want 2\n%s", args, code, out)
		}
	}
}

// Clocks more than an hour apart need confirmation: exit code 4, and nothing is deleted.
func TestClockSkew(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, slow)
	dir := t.TempDir()
	write(t, dir, slowPolicy)
	var stdout, stderr bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &stdout, stderr: &stderr, running: t.Context()}
	a.DatabaseURL, a.PolicyFile, a.Output, a.LedgerRetention, a.Yes = db.DSN(), filepath.Join(dir, "reaper.yaml"), "json", "1d", true
	s, err := a.open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.pool.Close()
	s.server.ClockSkew = plan.MaxClockSkew + time.Second
	_, err = a.purgeAs(t.Context(), s, purge.Options{})
	var exit *exitError
	if !errors.As(err, &exit) || exit.code != exitRefused || !strings.Contains(err.Error(), "clocks") {
		t.Errorf("got %v, want a refusal", err)
	}
	var report contractPurge
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil || report.Status != "refused" {
		t.Errorf("status %q (%v), want refused", report.Status, err)
	}
	if got := db.Int(t, `SELECT count(*) FROM event`); got != 3000 {
		t.Errorf("%d rows, want all 3000", got)
	}
}

// A signal during the question ends the purge: nobody has to answer first.
func TestSignalAtQuestion(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, slow)
	dir := t.TempDir()
	write(t, dir, slowPolicy)
	answers, hand := io.Pipe() // nobody ever writes
	defer hand.Close()         //nolint:errcheck // a pipe in memory
	ctx, signal := context.WithCancel(t.Context())
	stderr := &signalled{on: "[y/N] ", do: signal}
	a := &app{stdin: answers, stdout: io.Discard, stderr: stderr, terminal: true, running: t.Context()}
	a.DatabaseURL, a.PolicyFile, a.LedgerRetention, a.LedgerSchema = db.DSN(), filepath.Join(dir, "reaper.yaml"), "1d", "reaper"
	a.Connections = 1
	if _, err := a.purge(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want it cancelled", err)
	}
	if got := db.Int(t, `SELECT count(*) FROM event`); got != 3000 {
		t.Errorf("%d rows, want all 3000", got)
	}
}

// signalled is a terminal on which a person presses Ctrl-C when a certain text appears.
type signalled struct {
	bytes.Buffer
	on string
	do func()
}

func (s *signalled) Write(p []byte) (int, error) {
	n, err := s.Buffer.Write(p)
	if strings.Contains(s.String(), s.on) {
		s.do()
	}
	return n, err
}
