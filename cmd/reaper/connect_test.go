package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

func TestAway(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]bool{
		"57P03": true, "57P01": true, "53300": true, "08006": true, "58030": true, "25P03": true, // may pass
		"28P01": false, "28000": false, "3D000": false, "42501": false, "42P01": false, "57014": false, "55P03": false, "22023": false,
	} {
		if got := away(fmt.Errorf("connecting: %w", &pgconn.PgError{Code: code})); got != want {
			t.Errorf("%s: %t, want %t", code, got, want)
		}
	}
	for err, want := range map[error]bool{
		nil: false, io.ErrUnexpectedEOF: true, pgconn.ErrConnClosed: true, errors.New("no such table"): false, context.Canceled: false,
		&net.OpError{Op: "dial", Err: errors.New("connection refused")}: true, &tls.CertificateVerificationError{Err: errors.New("x509")}: false,
	} {
		if got := away(fmt.Errorf("connecting: %w", err)); got != want {
			t.Errorf("%v: %t, want %t", err, got, want)
		}
	}
}

// A purge that begins while the server restarts waits for it.
func TestServerComesLater(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t, pgtemp.Options{})
	dsn := server.DSN("postgres")
	sqlOn(t, dsn, slow)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, dsn, "purge", "--yes", "--max-rows", "5")
	write(t, cmd.Dir, slowPolicy)
	if code, said := afterRestart(t, cmd, server); code != 3 { // --max-rows reached
		t.Errorf("exit code %d, want 3\n%s", code, said)
	}
}

// afterRestart runs a command whose server is down, restarts the server once the command waits
// for it, and returns the exit code and what the command said.
func afterRestart(t *testing.T, cmd *exec.Cmd, server *pgtemp.Server) (code int, said string) {
	t.Helper()
	waiting := make(chan struct{})
	var once sync.Once
	stderr := &signalled{on: "waiting for it", do: func() { once.Do(func() { close(waiting) }) }}
	cmd.Stderr = struct{ io.Writer }{stderr} // and not the buffer's ReadFrom
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-waiting:
	case err := <-ended:
		t.Fatalf("it does not wait: %v\n%s", err, stderr)
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	return exitCode(t, <-ended), stderr.String()
}

// A database or a role that does not exist is a mistake in the settings, said at once.
func TestNoSuchDatabase(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	for _, dsn := range []string{strings.Replace(db.DSN(), "/"+db.Name(), "/nowhere", 1), db.As("nobody")} {
		cmd := program(t, dsn, "init")
		out, err := cmd.CombinedOutput()
		if code := exitCode(t, err); code != 2 {
			t.Errorf("%s: exit code %d, want 2\n%s", dsn, code, out)
		}
	}
}
