package dbtest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pgtemp"
)

// PgBouncer starts a PgBouncer in transaction mode in front of the database of a DSN, and
// returns its connection string. Every client acts as the DSN's user.
func PgBouncer(t testing.TB, dsn string) string {
	t.Helper()
	skipShort(t)
	to, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	bin, err := findPgBouncer()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := pgtemp.TempDir("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ini := filepath.Join(dir, "pgbouncer.ini")
	if err := os.WriteFile(ini, []byte(bouncerConfig(to, dir)), 0o644); err != nil { // read by another user
		t.Fatal(err)
	}
	cmd := exec.Command(bin, ini) //nolint:noctx // ended by the cleanup below, after the test's context
	cmd.Dir = dir
	process, err := pgtemp.Run(cmd, false)
	if err != nil {
		t.Fatalf("starting pgbouncer: %v", err)
	}
	t.Cleanup(func() {
		if err := process.Stop(syscall.SIGTERM, closing); err != nil {
			t.Error(err)
		}
	})
	address := url.URL{
		Scheme: "postgres", User: url.User(to.User), Path: "/" + to.Database,
		RawQuery: url.Values{"host": {dir}, "port": {strconv.Itoa(bouncerPort)}}.Encode(),
	}
	await(t, process, address.String(), filepath.Join(dir, "pgbouncer.log"))
	return address.String()
}

// bouncerPort only names the socket; no TCP port is used.
const bouncerPort = 6432

// findPgBouncer also looks where Debian puts it, which is not in every PATH.
func findPgBouncer() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("finding pgbouncer: %w; install it with `apt-get install pgbouncer`, or run `make pgbouncer`", exec.ErrNotFound)
}

func bouncerConfig(to *pgx.ConnConfig, dir string) string {
	return strings.Join([]string{
		"[databases]",
		fmt.Sprintf("%s = host=%s port=%d dbname=%s user=%s", to.Database, to.Host, to.Port, to.Database, to.User),
		"[pgbouncer]",
		"pool_mode = transaction",
		"auth_type = any",
		"ignore_startup_parameters = extra_float_digits",
		"unix_socket_dir = " + dir,
		"listen_port = " + strconv.Itoa(bouncerPort),
		"logfile = " + filepath.Join(dir, "pgbouncer.log"),
		"",
	}, "\n")
}

// await retries until it can connect.
func await(t testing.TB, process *pgtemp.Process, dsn, log string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, dsn)
		if err == nil {
			_ = conn.Close(ctx)
			return
		}
		select {
		case <-process.Done():
		case <-ctx.Done():
		case <-time.After(10 * time.Millisecond):
			continue
		}
		text, _ := os.ReadFile(log)
		t.Fatalf("starting pgbouncer: %v\n%s", err, text)
	}
}
