package purge_test

import (
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// beside is a second policy, whose batches run concurrently with the drops of the first.
const beside = `
	CREATE TABLE mails (id int PRIMARY KEY, org_id int NOT NULL REFERENCES orgs, at timestamptz, body text);
	CREATE INDEX ON mails (org_id, at, id);
	INSERT INTO mails SELECT n, 1, now() - interval '90 days', repeat('x', 100) FROM generate_series(1, 20000) n;
	ANALYZE mails;`

const besidePolicy = `
tenants: {table: orgs, key: id, retention: days, hold: held}
policies:
  - {name: events, table: events, age: at, tenant: org_id}
  - {name: mails, table: mails, age: at, tenant: org_id, limits: {rows: 50}}`

// besides creates a run of both policies on two connections.
func besides(t *testing.T) (*bed, []*plan.Plan) {
	t.Helper()
	b := prepare(t, yard+beside, besidePolicy)
	b.runner.Connections = 2
	return b, b.plans()
}

// notifying counts the goroutines that are notifying the observer or waiting to.
func notifying() int {
	stacks := make([]byte, 1<<20)
	n := 0
	for stack := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
		if strings.Contains(stack, "purge.(*Run).notify(") {
			n++
		}
	}
	return n
}

// A drop and another policy's batch add their counts concurrently without a race. The observer
// holds the drop's worker just after it has added its counts, and waits for a batch to do the
// same; the race detector judges.
func TestPartitionDrop_CountsBesideABatch(t *testing.T) {
	t.Parallel()
	b, plans := besides(t)
	begun := make(chan struct{})
	b.connect(b.DSN(), func(c *pgxpool.Config) {
		var once sync.Once
		c.ConnConfig.Tracer = argsHook(func(sql string, _ []any) {
			switch {
			case strings.HasPrefix(sql, "DROP TABLE"):
				once.Do(func() { close(begun) })
			case strings.Contains(sql, `"public"."mails"`) && strings.Contains(sql, "DELETE"):
				<-begun
			}
		})
	})
	met := false
	b.runner.Observer = watcher{batch: func(e purge.BatchEvent) {
		for deadline := time.Now().Add(30 * time.Second); e.Policy == "events" && !met && time.Now().Before(deadline); runtime.Gosched() {
			met = notifying() > 1
		}
	}}
	o := b.purgeWith(plans).is(purge.Complete)
	if !met {
		t.Error("no batch was counted beside a drop")
	}
	var rows int64
	for _, p := range o.Policies {
		rows += p.RowsTotal
	}
	if want := int64(b.Int(t, `SELECT sum(rows)::int FROM reaper.deletions`)); rows != want || rows != 20100 {
		t.Errorf("the reports have %d rows, the ledger %d, want 20100", rows, want)
	}
}

// WAL written by another policy's batches during a drop counts once.
func TestPartitionDrop_WALBesideBatches(t *testing.T) {
	t.Parallel()
	b, plans := besides(t)
	mails := make(chan struct{}) // all deleted
	begun := make(chan struct{})
	b.connect(b.DSN(), func(c *pgxpool.Config) {
		var once sync.Once
		c.ConnConfig.Tracer = argsHook(func(sql string, _ []any) {
			switch {
			case strings.HasPrefix(sql, "DROP TABLE"):
				once.Do(func() { close(begun); <-mails })
			case strings.Contains(sql, `"public"."mails"`) && strings.Contains(sql, "DELETE"):
				<-begun
			}
		})
	})
	var gone int64
	b.runner.Observer = watcher{batch: func(e purge.BatchEvent) {
		if e.Policy != "mails" {
			return
		}
		if gone += e.Rows; gone == 20000 {
			close(mails)
		}
	}}
	position := func() int64 {
		return int64(b.Int(t, `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint`))
	}
	before := position()
	o := b.purgeWith(plans).is(purge.Complete)
	if written := position() - before; o.WALBytes > written {
		t.Errorf("the report has %d bytes of WAL, but %d were written", o.WALBytes, written)
	}
}
