//go:build pgbouncer

package purge_test

import (
	"sync"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/purge"
)

// A whole purge through PgBouncer in transaction mode: settings and locks live in transactions,
// and nothing is prepared.
func TestPgBouncer_Purge(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b := prepare(t, schema, small(policy))
		b.Exec(t, manyMails)
		b.mark()
		through := dbtest.PgBouncer(t, b.DSN())
		b.connect(through)
		plans := b.plans()
		other := *b
		other.connect(through)
		var second sync.WaitGroup
		var o *outcome
		second.Go(func() { o = other.purgeWith(plans) })
		b.purgeWith(b.plans()).is(purge.Complete)
		second.Wait()
		o.is(purge.Complete)
		b.allGone()
		b.count(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, 0)
	})
}

// A partition is dropped through the pooler, and one whose detach is blocked by a reader is
// reattached: cancelling and using two connections work too.
func TestPgBouncer_PartitionDrop(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	through := dbtest.PgBouncer(t, b.DSN())
	plans := b.plans()
	reader := b.session()
	b.connect(through, before("CONCURRENTLY", func() { reader.do(`BEGIN; SELECT count(*) FROM events`) }))
	b.purgeWith(plans).is(purge.Incomplete, "partition public.p4 is detached").dropped()
	reader.do(`COMMIT`)
	b.connect(through)
	b.purge().is(purge.Complete).dropped("public.p4")
	b.again()
	b.Exec(t, `INSERT INTO events SELECT n, 1, start(4) FROM generate_series(1000, 1010) n`)
	b.purge().complete().dropped("public.p3")
	b.count(`SELECT count(*) FROM events`, 50)
}

// A drain keeps its position through the pooler too, and keep works.
func TestPgBouncer_DrainAndKeep(t *testing.T) {
	t.Parallel()
	b := prepare(t, roots+`INSERT INTO roots VALUES (1), (2);
		CREATE TABLE parts (id int PRIMARY KEY, root int REFERENCES roots ON DELETE CASCADE);
		CREATE TABLE k (root int PRIMARY KEY REFERENCES roots ON DELETE CASCADE); INSERT INTO k VALUES (2);
		INSERT INTO parts SELECT n, 1 + n % 2 FROM generate_series(1, 2000) n; CREATE INDEX ON parts (root)`, tree("{table: k, action: keep}", "total_rows: 100"))
	b.mark()
	b.connect(dbtest.PgBouncer(t, b.DSN()))
	b.purge().complete()
	b.left(`SELECT id FROM roots`, "2")
	b.count(`SELECT count(*) FROM parts`, 1000)
}

// A vacuum runs through the pooler and is cancelled on the server when it times out, although
// no session setting tells the server about the timeout.
func TestPgBouncer_Vacuum(t *testing.T) {
	t.Parallel()
	b := prepare(t, piles, pilesPolicy)
	b.connect(dbtest.PgBouncer(t, b.DSN()))
	b.purge().complete().vacuumed("public.piles")

	b.again()
	b.Exec(t, `INSERT INTO piles SELECT n, now() - CASE WHEN n < 3000 THEN interval '40 days' ELSE interval '1 day' END FROM generate_series(2001, 20000) n;
		ALTER DATABASE `+b.Name()+` SET vacuum_cost_delay = 100; ALTER DATABASE `+b.Name()+` SET vacuum_cost_limit = 1; ANALYZE`)
	b.policy = pilesWith("always")
	b.connect(dbtest.PgBouncer(t, b.DSN()))
	b.runner.VacuumTime = 100 * time.Millisecond
	log := b.logs()
	b.purge().complete().vacuumed()
	if !containsAll(log.String(), "vacuum ended early", "its time is used up") {
		t.Errorf("the log does not say that its time was used up:\n%s", log)
	}
	b.pool.Close()
	b.await(`SELECT NOT (` + vacuumRuns[len("SELECT "):] + `)`)
}
