//go:build ops

package ops_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// tables is the application's: three accounts, and of each an event of today.
const tables = `
	CREATE TABLE accounts (id int PRIMARY KEY, legal_hold boolean NOT NULL DEFAULT false);
	INSERT INTO accounts (id) VALUES (1), (2), (3);
	CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL REFERENCES accounts, created_at timestamptz NOT NULL DEFAULT now());
	CREATE INDEX ON events (account, created_at, id);
	INSERT INTO events (account) VALUES (1), (2), (3);
	CREATE TABLE jobs (waiting int NOT NULL);
	INSERT INTO jobs VALUES (0);`

// overdue has an event of each account be due for 70 days.
const overdue = `INSERT INTO events (account, created_at) SELECT id, now() - interval '100 days' FROM accounts`

// often and never are schedules: each run is seen at once, or none is due for years.
const often, never = "@every 2s", "0 0 29 2 *"

// policyFile is a policy of the table events. Guards of the server are off where the machine's
// load is not what a situation is about.
func policyFile(schedule, more, guards string) string {
	return fmt.Sprintf(`version: 1
tenants: {table: accounts, key: id, retention: 30d, hold: legal_hold}
safety: {breaker: off}
guards: {latency: off, connections: off, checkpoint: off, every: 500ms%s}
policies:
  - {name: events, table: events, age: created_at, schedule: %q%s}
`, guards, schedule, more)
}

// archivedFile is a policy file whose policy has an archive.
func archivedFile(schedule, url, verify string) string {
	section := fmt.Sprintf("version: 1\narchive: {url: %q, encryption: none, keep: forever%s}\n", url, verify)
	return strings.Replace(policyFile(schedule, patient+", archive: true", ""), "version: 1\n", section, 1)
}

// bed is a daemon and its database, watched in a namespace of its own.
type bed struct {
	*monitoring
	t         *testing.T
	namespace string
	db        *dbtest.DB
	own       *pgtemp.Server // in place of db's; nil: none
	worker    string         // the role that everything runs as; "": the superuser
	dir, dsn  string
	env       []string
	cmd       *exec.Cmd
	done      chan struct{}

	mu  sync.Mutex
	log bytes.Buffer
}

// newBed makes the database; the daemon does not run yet.
func newBed(t *testing.T, m *monitoring) *bed {
	t.Helper()
	name := t.Name()[strings.LastIndex(t.Name(), "/")+1:]
	b := &bed{monitoring: m, t: t, namespace: strings.ReplaceAll(name, "_", " "), dir: t.TempDir(), db: dbtest.New(t, tables)}
	b.dsn = b.db.DSN()
	return b
}

// role has everything run as a role that may do what reaper needs, and no more.
func (b *bed) role() {
	b.t.Helper()
	b.worker = b.db.Role(b.t, "worker")
	b.db.Exec(b.t, strings.ReplaceAll(`CREATE SCHEMA reaper AUTHORIZATION ROLE;
		GRANT pg_monitor TO ROLE;
		GRANT SELECT ON accounts, jobs TO ROLE;
		GRANT SELECT, UPDATE, DELETE ON events TO ROLE`, "ROLE", b.worker))
	b.dsn = b.db.As(b.worker)
}

// ownServer has the daemon work on a server that no other situation uses.
func (b *bed) ownServer() {
	b.t.Helper()
	b.own = dbtest.Server(b.t, pgtemp.Options{})
	b.dsn = b.own.DSN("postgres")
	conn, err := pgx.Connect(b.t.Context(), b.dsn)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(b.t.Context())) }()
	if _, err := conn.Exec(b.t.Context(), tables); err != nil {
		b.t.Fatal(err)
	}
}

// kills kills that server, as a crash does; restarts has it there again.
func (b *bed) kills() {
	b.t.Helper()
	if err := b.own.Kill(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) restarts() {
	b.t.Helper()
	if err := b.own.Restart(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// file writes the policy file.
func (b *bed) file(text string) { write(b.t, b.dir, "reaper.yaml", text) }

// command is one of the program's, as a person would type it beside the daemon.
func (b *bed) command(args ...string) *exec.Cmd {
	b.t.Helper()
	path, err := program()
	if err != nil {
		b.t.Fatal(err)
	}
	cmd := exec.CommandContext(b.t.Context(), path, args...)
	cmd.Dir = b.dir
	cmd.Env = append(os.Environ(), append([]string{"DATABASE_URL=" + b.dsn}, b.env...)...)
	return cmd
}

// types runs a command, which has to succeed.
func (b *bed) types(args ...string) {
	b.t.Helper()
	if out, err := b.command(args...).CombinedOutput(); err != nil {
		b.t.Fatalf("reaper %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

var serving = regexp.MustCompile(`msg=serving addr=(\S+)`)

// starts starts the daemon, and has Prometheus scrape it.
func (b *bed) starts(env ...string) {
	b.t.Helper()
	b.env = append(env, "REAPER_LISTEN_ADDR=127.0.0.1:0", "REAPER_SCAN_INTERVAL=1s", "REAPER_JITTER=0")
	b.cmd, b.done = b.command("run"), make(chan struct{})
	out, err := b.cmd.StderrPipe()
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	address := make(chan string, 1)
	go b.read(out, address)
	b.t.Cleanup(func() {
		b.kill()
		if b.t.Failed() {
			b.t.Logf("the daemon's log:\n%s", b.text())
		}
	})
	select {
	case a := <-address:
		b.scrape(b.t, a, b.namespace)
	case <-b.done:
		b.t.Fatal("the daemon ends")
	}
}

func (b *bed) read(out io.Reader, address chan<- string) {
	defer close(b.done)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		b.mu.Lock()
		fmt.Fprintln(&b.log, lines.Text())
		b.mu.Unlock()
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			address <- m[1]
		}
	}
}

func (b *bed) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

// ends has the daemon end as a deploy does.
func (b *bed) ends() {
	b.t.Helper()
	if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.t.Fatal(err)
	}
	select {
	case <-b.done:
	case <-time.After(patience):
		b.t.Fatal("it does not end")
	}
	if err := b.cmd.Wait(); err != nil {
		b.t.Fatalf("it ends with %v", err)
	}
}

// kill kills the daemon.
func (b *bed) kill() {
	_ = b.cmd.Process.Kill()
	<-b.done
	_ = b.cmd.Wait()
}

// succeeded makes reaper's tables before a daemon does, and enters a success that ended so long ago.
func (b *bed) succeeded(ago string) {
	b.t.Helper()
	b.types("migrate")
	b.db.Exec(b.t, `INSERT INTO reaper.run (run_id, policy, trigger, status, started_at, finished_at, cutoff_base, lease_until, success, version)
		SELECT gen_random_uuid(), 'events', 'once', 'complete', at, at, at, at, true, 1000 FROM (SELECT now() - $1::text::interval AS at) x`, ago)
}

// sees waits until an expression over the daemon's series has a value other than 0. NS is the
// namespace.
func (b *bed) sees(expression string) {
	b.t.Helper()
	expression = strings.ReplaceAll(expression, "NS", fmt.Sprintf("namespace=%q", b.namespace))
	await(b.t, expression, func() bool { return b.monitoring.sees(b.t, expression) }, b.text)
}

// works waits until the daemon has had a success, and measured.
func (b *bed) works() {
	b.t.Helper()
	b.sees(`reaper_last_success_timestamp_seconds{NS} and reaper_lag_scan_timestamp_seconds{NS}`)
}

// answering is a cron monitor that answers every ping so.
func answering(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}
