package purge_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

func free(n int64) *int64 { return &n }

// crowd is the shop with many due mails of organization 1, and planner statistics.
const crowd = shop + `;
INSERT INTO mails SELECT n, 10, now() - interval '40 days', 'sent' FROM generate_series(1001, 5000) n;
INSERT INTO parts SELECT n, n FROM generate_series(1001, 5000) n;
ANALYZE`

// Not even a small run fits: nothing is touched.
func TestStorageRefuses(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, crowd, shopPolicy)
	h.room = guard.Room{Free: free(100), MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}}
	b.purge().is(purge.Refused, "4015 rows due need", "of WAL (estimated", "kept by slot reports", "100 B are free", "too little to start")
	b.count(`SELECT count(*) FROM mails`, 4020)
}

// A run deletes as much as fits, and the next one continues.
func TestStorageSizesTheRun(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, crowd, shopPolicy)
	b.policy = shopPolicy
	h.room = guard.Room{Free: free(200_000), MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}}
	o := b.purge().is(purge.Incomplete, "limited by free disk space", "WAL is kept by slot reports")
	b.ledgerIsTrue()
	if left := b.Int(t, `SELECT count(*) FROM mails`); left == 4020 || left < 100 {
		t.Errorf("%d mails left", left)
	}
	if o.one().BacklogRows == nil || *o.one().BacklogRows == 0 {
		t.Error("the report knows of no backlog")
	}
	h.room = guard.Room{Free: free(1 << 30), MaxWAL: 1 << 30}
	b.purge().complete()
	b.count(`SELECT count(*) FROM mails`, 5)
}

// WAL that a checkpoint recycles needs no more space than max_wal_size, and does not limit a
// run.
func TestStorageThatComesBack(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, crowd, shopPolicy)
	b.policy = shopPolicy
	h.room = guard.Room{Free: free(1000), MaxWAL: 1 << 30}
	b.purge().complete()
}

// A policy is not refused for space that another policy of the run reserved but did not use,
// nor for any space once that policy is done.
func TestStorageOfTwoPolicies(t *testing.T) {
	t.Parallel()
	const two = `
tenants: {table: orgs, key: id, retention: days, hold: held}
policies:
  - {name: big, table: mails, age: at, where: id > 1000, tenant: [project_id, org_id]}
  - {name: small, table: mails, age: at, where: id <= 1000, tenant: [project_id, org_id]}`
	for _, room := range []int64{600_000, 1 << 30} {
		b := prepare(t, crowd, two)
		h := newHand()
		b.runner.Guard = h
		h.room = guard.Room{Free: free(room), MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}}
		o := b.purge()
		for _, p := range o.Policies {
			if p.Status == purge.Refused || strings.Contains(p.Reason, "nothing is free") {
				t.Errorf("of %d bytes free: %s is %s (%s)", room, p.Name, p.Status, p.Reason)
			}
			if p.Status == purge.Incomplete && !strings.Contains(p.Reason, "limited by free disk space") && !strings.Contains(p.Reason, "is needed by big, in the same run") {
				t.Errorf("of %d bytes free: %s is incomplete (%s)", room, p.Name, p.Reason)
			}
		}
		if room == 1<<30 && o.Status != purge.Complete {
			t.Errorf("with all the room there is, the run is %s", o.Status)
		}
	}
}

// filling is a guard that reports nothing free at first, and a little afterwards.
type filling struct {
	*hand
	looks atomic.Int64
}

func (g *filling) Room(context.Context) (guard.Room, error) {
	n := int64(0)
	if g.looks.Add(1) > 1 {
		n = 200_000
	}
	return guard.Room{Free: &n, MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}}, nil
}

// A check that finds nothing free decides nothing: the guards are about to pause, and the run
// is sized after their next reading.
func TestStorageLooksAgain(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, crowd, shopPolicy)
	b.policy = shopPolicy
	b.runner.Guard = &filling{hand: h}
	b.runner.Observer = watcher{batch: func(purge.BatchEvent) { h.set("", goOn) }}
	log := b.logs()
	b.purge()
	if !strings.Contains(log.String(), "run limited by free disk space") {
		t.Errorf("it is not sized:\n%s", log)
	}
}

// What holds WAL may be gone when a pause ends, so the run is sized then. It used to be refused
// before it had waited.
func TestStorageAfterAPause(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, crowd, shopPolicy)
	b.policy = shopPolicy
	h.set("", pause)
	h.give(guard.Room{Free: free(100), MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}})
	b.runner.Observer = advised{told: func(_ string, a guard.Advice) {
		if a.State == guard.Pause {
			h.give(guard.Room{Free: free(1 << 30), MaxWAL: 1 << 30})
			h.set("", goOn)
		}
	}}
	b.purge().complete()
}

// If WAL is no longer held during a run that was limited for it, the guards pause for the WAL.
// The run used to end at its limit.
func TestStorageThatComesBackMeanwhile(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, crowd, shopPolicy)
	b.policy = shopPolicy
	h.give(guard.Room{Free: free(200_000), MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}})
	b.runner.Observer = watcher{batch: func(purge.BatchEvent) { h.give(guard.Room{Free: free(0), MaxWAL: 1 << 30}) }}
	b.purge().complete()
}

func TestStorageOfAPlan(t *testing.T) {
	t.Parallel()
	b := prepare(t, crowd, shopPolicy)
	look := func(policy string, room guard.Room) preview.Storage {
		p := b.plans()[0]
		p.Policy.Name = policy // identifies the ledger's runs
		v, err := preview.Look(t.Context(), b.pool, p, b.opts.Selection(), false)
		if err != nil {
			t.Fatal(err)
		}
		s, err := preview.StorageNeeded(t.Context(), b.pool, p, b.runner.Ledger, v, room)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	held := guard.Room{Free: free(300_000), MaxWAL: 100_000, Holders: []guard.Holder{{Name: "slot reports"}}}
	known := b.plans()[0].Policy.Name
	s := look(known, held)
	if s.Measured || s.WALBytes < 8000*64 || s.PeakBytes != s.WALBytes || s.Runs == nil || *s.Runs < 2 {
		t.Errorf("with a slot: %+v", s)
	}
	if s = look(known, guard.Room{MaxWAL: 100_000}); s.PeakBytes != 110_000 || s.Runs != nil {
		t.Errorf("without a guard: %+v", s)
	}
	o := b.purge().complete()
	b.Exec(t, crowd[len(shop)+1:])
	s = look(known, held)
	// Other sessions' writes count as the run's; at most twice the planner's estimate is
	// believed.
	want, most := float64(o.WALBytes)/float64(o.one().RowsTotal), 2*look("never run", held).BytesPerRow
	if want = min(want, most); !s.Measured || s.BytesPerRow < 0.9*want || s.BytesPerRow > 1.1*want {
		t.Errorf("after a run with %v bytes a row, of which at most %v are believed: %+v", want, most, s)
	}
}

// Whole partitions are dropped before the run is checked against storage: that takes almost no
// WAL and frees space.
func TestStorageAfterPartitions(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	h := newHand()
	b.runner.Guard = h
	h.room = guard.Room{Free: free(10), MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}}
	b.purge().is(purge.Incomplete, "due need", "10 B are free", "too little to start").dropped("public.p4", "public.p3")
}

// taken is a guard with room for the first policy that asks, and none afterwards.
type taken struct {
	*hand
	looks atomic.Int64
}

func (g *taken) Room(context.Context) (guard.Room, error) {
	n := int64(40)
	if g.looks.Add(1) == 1 {
		n = 600_000
	}
	return guard.Room{Free: &n, MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}}, nil
}

// A policy that starts when another policy of the run has used up the space is incomplete
// because of it. It used to be refused, as if there had never been any.
func TestStorageTakenByAnother(t *testing.T) {
	t.Parallel()
	b := prepare(t, crowd, `
tenants: {table: orgs, key: id, retention: days, hold: held}
policies:
  - {name: big, table: mails, age: at, where: id > 1000, tenant: [project_id, org_id], limits: {rows: 1}}
  - {name: small, table: mails, age: at, where: id <= 1000, tenant: [project_id, org_id]}`)
	h := newHand()
	h.set("small", pause)
	b.runner.Guard = &taken{hand: h}
	var wrote atomic.Int64
	b.runner.Observer = watcher{batch: func(e purge.BatchEvent) {
		if before := wrote.Add(e.WALBytes) - e.WALBytes; before > 10_000 {
			h.set("small", goOn)
		}
	}}
	for _, p := range b.purge().Policies {
		if p.Name == "small" && (p.Status != purge.Incomplete || !strings.Contains(p.Reason, "is needed by big, in the same run")) {
			t.Errorf("small is %s (%s)", p.Status, p.Reason)
		}
	}
}
