package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// caseStep limits steps that must end by themselves. No outcome depends on it: whatever takes
// longer hangs.
const caseStep = 2 * time.Minute

// gates hold a batch between two of its statements: a trigger made with wait_for_gate('1') waits
// until the step "open 1". It does not wait for a lock, so no lock_timeout of the batch ends it.
const gates = `
CREATE TABLE public.gate (n int PRIMARY KEY);
GRANT SELECT ON public.gate TO public;
CREATE FUNCTION public.wait_for_gate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_advisory_xact_lock_shared(4711, TG_ARGV[0]::int);   -- seen from outside, in pg_locks
  LOOP
    PERFORM FROM public.gate WHERE n = TG_ARGV[0]::int;
    EXIT WHEN FOUND;
    PERFORM pg_sleep(0.01);
  END LOOP;
  RETURN NULL;
END $$;
`

// caseRun carries out the steps of a case, one a line; a line that begins with
// a blank continues the one before.
//
//	reaper ARGS…             runs reaper in the directory of reaper.yaml
//	apply ARGS…              runs reaper, and what it prints as SQL
//	sql STATEMENT            as superuser
//	file NAME                the statements of a file of the archive
//	until QUERY              waits for the query to be true
//	as ROLE                  the role of the reaper commands that follow
//	env NAME=VALUE           for the reaper commands that follow
//	reached GATE NAME        waits for a batch at the gate, or for NAME to end
//	open GATE                lets through who waits there
//	settled NAME             waits until NAME has ended or waits for a lock
//	wait NAME                waits until NAME has ended
//
// "NAME: " before reaper, sql or file gives it a name: of an exit code, or of
// a session that stays open, with that role if NAME is one. "NAME& " also
// leaves it in the background.
type caseRun struct {
	*testCase
	t       *testing.T
	db      *dbtest.DB
	dsn     string            // reaper's database
	dir     string            // has reaper.yaml
	env     []string          // of the reaper commands
	control *pgx.Conn         // the superuser's
	roles   map[string]string // by the name in the archive

	printed  lockedBuffer
	exits    map[string]int // by name; "" is the last command's
	sessions map[string]*caseSession
	running  map[string]chan struct{} // closed when it has ended
}

func newCaseRun(t *testing.T, db *dbtest.DB, c *testCase) *caseRun {
	t.Helper()
	r := &caseRun{
		testCase: c, t: t, db: db, dsn: db.DSN(), dir: t.TempDir(), env: os.Environ(), control: dbtest.Connect(t, db.DSN()),
		roles: map[string]string{}, exits: map[string]int{}, sessions: map[string]*caseSession{}, running: map[string]chan struct{}{},
	}
	for _, name := range c.roles {
		r.roles[name] = db.Role(t, name)
	}
	write(t, r.dir, r.expand(c.policy))
	return r
}

// all runs the steps, and waits for those in the background.
func (r *caseRun) all(steps string) {
	r.t.Helper()
	var lines []string
	for line := range strings.Lines(r.expand(steps)) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "", strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, " "):
			lines[len(lines)-1] += "\n" + line
		default:
			lines = append(lines, line)
		}
	}
	for _, line := range lines {
		r.step(line)
	}
	for name := range r.running {
		r.await(name)
	}
}

func (r *caseRun) step(line string) {
	r.t.Helper()
	name, background := "", false
	verb, rest, _ := strings.Cut(line, " ")
	if last := len(verb) - 1; verb[last] == ':' || verb[last] == '&' {
		name, background = verb[:last], verb[last] == '&'
		verb, rest, _ = strings.Cut(rest, " ")
	}
	switch verb {
	case "reaper":
		r.start(name, background, func() { r.reaper(name, strings.Fields(rest)) })
	case "sql":
		r.sql(name, background, rest)
	case "file":
		text, ok := r.files[rest]
		if !ok {
			r.t.Fatalf("%s: no such file in the archive", line)
		}
		r.sql(name, background, r.expand(text))
	case "apply":
		r.sql("", false, r.reaper("", strings.Fields(rest)))
	case "until":
		r.until(line, func() bool { return r.value(rest) == "t" })
	case "as":
		r.dsn = r.db.As(rest)
	case "env":
		r.env = append(r.env, rest)
	case "reached":
		gate, who, _ := strings.Cut(rest, " ")
		r.until(line, func() bool { return r.ended(who) || r.value(atGate(gate)) == "t" })
	case "open":
		r.sql("", false, "INSERT INTO public.gate VALUES ("+rest+")")
	case "settled":
		r.until(line, func() bool { return r.ended(rest) || r.value(r.sessions[rest].waits()) == "t" })
	case "wait":
		r.await(rest)
	default:
		r.t.Fatalf("%s: no such step", line)
	}
}

func atGate(gate string) string {
	return `SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND classid = 4711 AND objid = ` + gate +
		` AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
}

// start runs f now, or in the background under a name.
func (r *caseRun) start(name string, background bool, f func()) {
	if !background {
		f()
		return
	}
	done := make(chan struct{})
	r.running[name] = done
	go func() {
		defer close(done)
		f()
	}()
}

func (r *caseRun) ended(name string) bool {
	select {
	case <-r.running[name]:
		return true
	default:
		return false
	}
}

func (r *caseRun) await(name string) {
	r.t.Helper()
	select {
	case <-r.running[name]:
	case <-time.After(caseStep):
		r.t.Fatalf("%s does not come to an end", name)
	}
}

// until polls; the condition must become true.
func (r *caseRun) until(line string, reached func() bool) {
	r.t.Helper()
	for end := time.Now().Add(caseStep); !reached(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("%s: gave up waiting", line)
		}
	}
}

// reaper runs the program, records its exit code and output, and returns its stdout.
func (r *caseRun) reaper(name string, args []string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.t.Context()), caseStep)
	defer cancel()
	var stdout bytes.Buffer
	cmd := exec.CommandContext(ctx, "reaper", args...)
	cmd.Dir = r.dir
	cmd.Env = append(r.env, "DATABASE_URL="+r.dsn)
	cmd.Stdout, cmd.Stderr = &stdout, &r.printed
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		r.t.Errorf("reaper %s did not end by itself", strings.Join(args, " "))
	case cmd.ProcessState == nil:
		r.t.Errorf("reaper %s: %v", strings.Join(args, " "), err)
	}
	code := cmd.ProcessState.ExitCode() // -1 of nil
	r.printed.keep(stdout.String(), fmt.Sprintf("[reaper %s: exit %d]\n", strings.Join(args, " "), code))
	r.printed.mu.Lock()
	defer r.printed.mu.Unlock()
	for _, n := range []string{"", args[0], name} {
		r.exits[n] = code
	}
	return stdout.String()
}

// sql runs statements. Those in the background may fail, like a user's statements beside a purge;
// errors are printed.
func (r *caseRun) sql(name string, background bool, text string) {
	r.t.Helper()
	if name == "" {
		if _, err := r.control.PgConn().Exec(r.t.Context(), text).ReadAll(); err != nil {
			r.t.Fatalf("%s: %v", text, err)
		}
		return
	}
	s := r.session(name)
	r.start(name, background, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.t.Context()), caseStep)
		defer cancel()
		_, err := s.conn.PgConn().Exec(ctx, text).ReadAll()
		switch {
		case err != nil && background:
			r.printed.keep(fmt.Sprintf("[%s: %v]\n", name, err))
		case err != nil:
			r.t.Fatalf("%s: %v", name, err)
		}
	})
}

// caseSession is a session that stays open across steps.
type caseSession struct {
	conn *pgx.Conn
	pid  uint32
}

func (r *caseRun) session(name string) *caseSession {
	if s, ok := r.sessions[name]; ok {
		return s
	}
	dsn := r.db.DSN()
	if role, ok := r.roles[name]; ok {
		dsn = r.db.As(role)
	}
	conn := dbtest.Connect(r.t, dsn)
	s := &caseSession{conn: conn, pid: conn.PgConn().PID()}
	r.sessions[name] = s
	return s
}

func (s *caseSession) waits() string {
	return fmt.Sprintf(`SELECT count(*) > 0 FROM pg_locks WHERE pid = %d AND NOT granted`, s.pid)
}

// lockedBuffer collects the output of concurrent commands.
type lockedBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) keep(texts ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range texts {
		b.text.WriteString(text)
	}
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
