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

// crowd is the shop with many mails of organization 1, all of them due, and
// planner's numbers.
const crowd = shop + `;
INSERT INTO mails SELECT n, 10, now() - interval '40 days', 'sent' FROM generate_series(1001, 5000) n;
INSERT INTO parts SELECT n, n FROM generate_series(1001, 5000) n;
ANALYZE`

// Nothing fits that is worth it: nothing is touched.
func TestStorageRefuses(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, crowd, shopPolicy)
	h.room = guard.Room{Free: free(100), MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}}
	b.purge().is(purge.Refused, "4015 rows due need", "of WAL (estimated", "kept by slot reports", "100 B are free", "too little to start")
	b.count(`SELECT count(*) FROM mails`, 4020)
}

// As much goes as fits, and the next run goes on.
func TestStorageSizesTheRun(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, crowd, shopPolicy)
	b.policy = shopPolicy
	h.room = guard.Room{Free: free(200_000), MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}}
	o := b.purge().is(purge.Incomplete, "as large as fits", "WAL is kept by slot reports")
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

// WAL that a checkpoint gives back needs no more room than max_wal_size, and no
// run is made smaller for it.
func TestStorageThatComesBack(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, crowd, shopPolicy)
	b.policy = shopPolicy
	h.room = guard.Room{Free: free(1000), MaxWAL: 1 << 30}
	b.purge().complete()
}

// A policy is not refused for what another of the run was sized for and has not needed,
// and not for anything once that one is through.
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
			if p.Status == purge.Incomplete && !strings.Contains(p.Reason, "as large as fits") && !strings.Contains(p.Reason, "is needed by big, in the same run") {
				t.Errorf("of %d bytes free: %s is incomplete (%s)", room, p.Name, p.Reason)
			}
		}
		if room == 1<<30 && o.Status != purge.Complete {
			t.Errorf("with all the room there is, the run is %s", o.Status)
		}
	}
}

// filling is a guard for which nothing is free at the first look, and little afterwards.
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

// A look that finds nothing free decides nothing: the guards are about to pause, and the
// run is sized when they were read again.
func TestStorageLooksAgain(t *testing.T) {
	t.Parallel()
	b, h := guarded(t, crowd, shopPolicy)
	b.policy = shopPolicy
	b.runner.Guard = &filling{hand: h}
	b.runner.Observer = watcher{batch: func(purge.BatchEvent) { h.set("", goOn) }}
	log := b.logs()
	b.purge()
	if !strings.Contains(log.String(), "the run is as large as fits") {
		t.Errorf("it is not sized:\n%s", log)
	}
}

// What keeps WAL may be gone when a pause ends: the run is sized then. It was
// refused for want of room before it had waited.
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

// Where WAL comes back, in the middle of a run that was made smaller since something
// kept it, the guards pause for it. The run ended, as large as fits.
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
		p.Policy.Name = policy // the ledger's runs are found by it
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
	// What others write to the same server counts as the run's; twice the planner's number is believed.
	want, most := float64(o.WALBytes)/float64(o.one().RowsTotal), 2*look("never run", held).BytesPerRow
	if want = min(want, most); !s.Measured || s.BytesPerRow < 0.9*want || s.BytesPerRow > 1.1*want {
		t.Errorf("after a run with %v bytes a row, of which at most %v are believed: %+v", want, most, s)
	}
}

// Whole partitions go before the run is held against the storage: that takes next to
// no WAL, and gives room.
func TestStorageAfterPartitions(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	h := newHand()
	b.runner.Guard = h
	h.room = guard.Room{Free: free(10), MaxWAL: 1 << 30, Holders: []guard.Holder{{Name: "slot reports"}}}
	b.purge().is(purge.Incomplete, "due need", "10 B are free", "too little to start").dropped("public.p4", "public.p3")
}

// taken is a guard with room for the first policy that looks, which then has it.
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

// A policy that begins when another of the run has used the room up is incomplete for that
// one's sake. It was refused, as if there had never been room.
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
