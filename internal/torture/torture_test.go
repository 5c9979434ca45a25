//go:build torture

package torture

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

var (
	length = flag.Duration("torture", 10*time.Minute, "how long writers and purges last, over all ways of deleting")
	// After that many findings the run stops.
	enough = flag.Int("wrong", 20, "how many wrong rows are told before a way of deleting is given up")
)

// sessions are the kinds of transactions of each application session, and its longest pause in
// between.
var sessions = []struct {
	work  []work
	pause time.Duration
}{
	{feeding, 0},
	{feeding, 0},
	{changes, 0},
	{changes, 0},
	{changes, 5 * time.Millisecond},
	{changes, 5 * time.Millisecond},
	{changes, 50 * time.Millisecond},
	{administration, 3 * time.Second},
}

// Writers insert, move, hold and delete rows at every level while two processes purge and are
// killed. A logical slot reports every transaction in commit order; each row that a batch
// deleted or nullified is checked against the state just before that batch's commit.
func TestTorture(t *testing.T) {
	binary := build(t)
	server := dbtest.Server(t, pgtemp.Options{Settings: map[string]string{
		"wal_level": "logical", "max_replication_slots": "10", "deadlock_timeout": "200ms", "max_wal_size": "4GB",
	}})
	list := layouts()
	killed := 0
	for _, l := range list {
		t.Run(l.name, func(t *testing.T) { killed += torture(t, server, l, binary, *length/time.Duration(len(list))) })
	}
	if !t.Failed() && killed == 0 {
		t.Error("no purge was ever killed: let it last longer with -torture")
	}
}

// bench holds everything for one way of deleting.
type bench struct {
	t        *testing.T
	layout   *layout
	reaper   *reaper
	observer *observer
	writers  []*writer
	purgers  []*purger

	mu   sync.Mutex
	errs []error
}

// torture tests one way of deleting and returns how many purges were killed.
func torture(t *testing.T, server *pgtemp.Server, l *layout, binary string, during time.Duration) (killed int) {
	b := prepare(t, server, l, binary)
	stop, cancel := context.WithTimeout(t.Context(), during)
	defer cancel()
	var all sync.WaitGroup
	run := func(f func() error) {
		all.Go(func() {
			if err := f(); err != nil {
				b.note(err)
				cancel()
			}
		})
	}
	ctx := t.Context()
	for i, w := range b.writers {
		run(func() error { return w.write(ctx, stop, sessions[i].work, sessions[i].pause) })
	}
	for _, p := range b.purgers {
		run(func() error { return p.purge(ctx, stop) })
	}
	terminated := 0
	run(func() (err error) {
		conn, err := connect(ctx, b.reaper.dsn, "terminator")
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		terminated, err = terminate(ctx, stop, conn)
		return err
	})
	b.observe(stop, cancel)
	all.Wait()
	b.finish()
	return b.report(terminated)
}

// prepare creates a database of the layout, observed from its first row on.
func prepare(t *testing.T, server *pgtemp.Server, l *layout, binary string) *bench {
	t.Helper()
	ctx := t.Context()
	name := strings.ReplaceAll(l.name, "-", "_")
	admin, err := connect(ctx, server.DSN("postgres"), "setup")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = admin.Close(ctx) }()
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, layout: l, reaper: &reaper{binary: binary, dir: t.TempDir(), dsn: server.DSN(name)}}
	if err := os.WriteFile(filepath.Join(b.reaper.dir, "reaper.yaml"), []byte(l.policyFile()), 0o600); err != nil {
		t.Fatal(err)
	}
	conn, err := connect(ctx, b.reaper.dsn, "setup")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, l.schema()); err != nil {
		t.Fatalf("making the tables: %v", err)
	}
	b.reaper.must(t, "migrate")
	if b.observer, err = newObserver(ctx, b.reaper.dsn, l); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.drop() })
	owners := fmt.Sprintf(`BEGIN; SELECT pg_logical_emit_message(true, '%s', 'setup');
		INSERT INTO tenants SELECT n, false, NULL FROM generate_series(1, %d) n;
		INSERT INTO domains SELECT n, 1 + n %% %[2]d FROM generate_series(1, %d) n; COMMIT`, writerPrefix, tenantCount, domainCount)
	if _, err := conn.Exec(ctx, owners); err != nil {
		t.Fatalf("inserting the tenants: %v", err)
	}
	b.reaper.must(t, "check")
	if l.proven {
		b.reaper.proven(t)
	}
	for i := range sessions {
		w, err := newWriter(ctx, b.reaper.dsn, l, fmt.Sprintf("writer %d", i))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = w.conn.Close(context.Background()) })
		b.writers = append(b.writers, w)
	}
	for range 2 {
		b.purgers = append(b.purgers, &purger{reaper: b.reaper, ended: map[int]int{}})
	}
	return b
}

// drop drops the slot, because the WAL it retains would get in the way of the next.
func (b *bench) drop() {
	ctx := context.Background()
	if _, err := b.observer.conn.Exec(ctx, "SELECT pg_drop_replication_slot($1)", slot); err != nil {
		b.t.Errorf("dropping the slot: %v", err)
	}
	_ = b.observer.conn.Close(ctx)
}

func (b *bench) note(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.errs = append(b.errs, err)
}

// observe judges while the others work, and ends everything after enough findings.
func (b *bench) observe(stop context.Context, cancel func()) {
	told := time.Now()
	for stop.Err() == nil {
		n, err := b.observer.read(b.t.Context())
		if err != nil {
			b.note(err)
			cancel()
			return
		}
		j := b.observer.judge
		if len(j.wrong) >= *enough {
			cancel()
		}
		if time.Since(told) > 15*time.Second {
			told = time.Now()
			b.t.Logf("%+v, %d wrong, %d rows there", j.tally, len(j.wrong), len(j.model.rows))
		}
		if n == 0 {
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// finish lets the purge complete, alone, and compares what is left.
func (b *bench) finish() {
	for _, err := range b.errs {
		b.t.Error(err)
	}
	if b.t.Failed() {
		return
	}
	completed := len(b.observer.judge.wrong) < *enough && b.complete()
	ctx := b.t.Context()
	// Batches need not have been flushed, but the slot reports only what has.
	if _, err := b.observer.conn.Exec(ctx, "BEGIN; SET LOCAL synchronous_commit = on; SELECT pg_logical_emit_message(true, 'end', ''); COMMIT"); err != nil {
		b.t.Fatalf("flushing: %v", err)
	}
	if err := b.observer.readAll(ctx); err != nil {
		b.t.Fatal(err)
	}
	if err := b.observer.compare(ctx); err != nil {
		b.t.Error(err)
	}
	b.compareLedger()
	if completed {
		b.nothingDue()
	}
}

// complete purges until nothing is due, which takes one run without competition; sessions of
// killed purges may take a moment to end.
func (b *bench) complete() bool {
	var told string
	for range 5 {
		cmd, stdout, stderr := b.reaper.command(b.t.Context(), "purge", "--yes")
		code, err := exitCode(cmd.Run())
		if err != nil {
			b.t.Fatal(err)
		}
		if code == 0 {
			return true
		}
		told = fmt.Sprintf("%d:\n%s%s", code, stdout, stderr)
	}
	b.t.Errorf("the last purge did not complete: exit code %s", told)
	return false
}

// nothingDue requires everything that the last run found expired to be deleted, except what is
// kept.
func (b *bench) nothingDue() {
	for _, root := range roots {
		var base time.Time
		err := b.observer.conn.QueryRow(b.t.Context(), "SELECT cutoff_base FROM reaper.runs WHERE policy = $1 ORDER BY started_at DESC LIMIT 1", root).Scan(&base)
		if err != nil {
			b.t.Fatalf("reading the ledger: %v", err)
		}
		due, kept := b.observer.judge.model.due(root, base)
		b.observer.judge.tally.kept += kept
		if len(due) > 0 {
			b.t.Errorf("after a complete run %d rows of %s are expired, and nothing keeps them; the first: %s", len(due), root, due[0])
		}
	}
}

// compareLedger compares the ledger's sums with the deleted rows.
func (b *bench) compareLedger() {
	rows, err := b.observer.conn.Query(b.t.Context(), "SELECT table_name, sum(rows)::int, sum(rows_nullified)::int FROM reaper.deletions GROUP BY 1")
	if err != nil {
		b.t.Fatalf("reading the ledger: %v", err)
	}
	defer rows.Close()
	gone, emptied := map[string]int{}, map[string]int{}
	for rows.Next() {
		var table string
		var deleted, nullified int
		if err := rows.Scan(&table, &deleted, &nullified); err != nil {
			b.t.Fatalf("reading the ledger: %v", err)
		}
		if deleted > 0 {
			gone[table] = deleted
		}
		if nullified > 0 {
			emptied[table] = nullified
		}
	}
	if err := rows.Err(); err != nil {
		b.t.Fatalf("reading the ledger: %v", err)
	}
	j := b.observer.judge
	for what, pair := range map[string][2]map[string]int{"deleted": {gone, j.gone}, "emptied": {emptied, j.emptied}} {
		if d := difference(pair[0], pair[1]); d != "" {
			b.t.Errorf("rows that the ledger has as %s, less those that were: %s", what, d)
		}
	}
}

// report fails the test for each wrong row, and shows that there was enough activity.
func (b *bench) report(terminated int) (killed int) {
	j := b.observer.judge
	for _, story := range j.wrong[:min(len(j.wrong), *enough)] {
		b.t.Error(story)
	}
	done, failed, ended := map[string]int{}, map[string]int{}, map[int]int{}
	for _, w := range b.writers {
		add(done, w.counts)
		add(failed, w.failed)
	}
	for _, p := range b.purgers {
		add(ended, p.ended)
		killed += p.killed
	}
	b.t.Logf("%+v, %d wrong\nwriters: %v, refused: %v\npurges by exit code: %v, killed: %d, sessions terminated: %d", j.tally, len(j.wrong), done, failed, ended, killed, terminated)
	var idle []string
	for _, k := range slices.Concat(feeding, changes, administration) {
		if done[k.name] == 0 {
			idle = append(idle, k.name)
		}
	}
	lacking := j.tally.deleted == 0 || b.layout.big && j.tally.drained == 0 || b.layout.keeps() && j.tally.kept == 0
	if !b.t.Failed() && (len(idle) > 0 || lacking) {
		b.t.Errorf("that was no torture: writers never did %v, %+v", idle, j.tally)
	}
	return killed
}

func add[K comparable](sum, more map[K]int) {
	for k, n := range more {
		sum[k] += n
	}
}
