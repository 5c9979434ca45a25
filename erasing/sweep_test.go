package erasing_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/erasing"
	"github.com/reaperdb/reaper/ledger"
)

// due makes the next sweep due, and does it.
func (b *fixture) sweep() *ledger.Erasure {
	b.t.Helper()
	b.Exec(b.t, `UPDATE reaper.erasure SET sweep_at = now() WHERE sweep_at IS NOT NULL`)
	all, err := b.ledger.DueSweeps(b.t.Context(), b.pool)
	if err != nil || len(all) != 1 {
		b.t.Fatalf("%d sweeps are due: %v", len(all), err)
	}
	if err := b.Sweep(b.t.Context(), &all[0]); err != nil {
		b.t.Fatal(err)
	}
	e, err := b.ledger.Erasure(b.t.Context(), b.pool, all[0].ID)
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// The incident: a producer does not know that the account was closed, and fills a queue that no
// foreign key guards. The first sweep finds it, tells it, and it is gone; after the last one, nothing
// in the ledger names the tenant.
func TestProducer(t *testing.T) {
	t.Parallel()
	b := open(t, "")
	b.Sweeps = append(b.Sweeps, erasing.DefaultSweeps[1])
	user := b.Text(t, `SELECT id::text FROM users WHERE org_id = $1 LIMIT 1`, acme)
	b.Exec(t, `INSERT INTO reaper.hold (tenant, reason, who, ends_at, released_at) VALUES ($1, 'x', 'y', 'infinity', now())`, acme)
	e := b.request(false)
	b.erase(e, "complete")
	b.Exec(t, `INSERT INTO jobs (args) SELECT jsonb_build_object('org_id', $1::text) FROM generate_series(1, 7)`, acme)
	b.Exec(t, `INSERT INTO visits (visitor) VALUES ($1::uuid)`, user) // owned through a row that is gone
	before := b.total()
	if e := b.sweep(); e.Sweeps != 1 || e.SweepAt == nil || e.Tenant == nil {
		t.Errorf("after the first sweep: %+v", e)
	}
	if gone := before - b.total(); gone != 8 {
		t.Errorf("the sweep deleted %d rows, want 8", gone)
	}
	found, err := b.ledger.Leftovers(t.Context(), b.pool, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]int64{}
	for _, x := range found {
		got[x.Table] = [2]int64{x.Found, x.Deleted}
	}
	if d := cmp.Diff(map[string][2]int64{"public.jobs": {7, 7}, "public.visits": {1, 1}}, got); d != "" {
		t.Error(d)
	}
	if n := b.Int(t, `SELECT (data->>'rows')::int FROM reaper.event WHERE kind = 'leftovers_found'`); n != 8 {
		t.Errorf("%d rows were told", n)
	}
	if e := b.sweep(); e.SweepAt != nil || e.Tenant != nil {
		t.Errorf("after the last sweep: %+v", e)
	}
	for _, key := range []string{acme, user} {
		if found := b.mentionsIn("reaper", key); found != nil {
			t.Errorf("the ledger has %s in %v", key, found)
		}
	}
	if n := b.Int(t, `SELECT count(*)::int FROM reaper.deletions WHERE tenant = $1`, e.Hash); n == 0 {
		t.Error("no deletion has the hash")
	}
}

// A key is taken again: the new customer loses nothing, by an erasure of the one that is gone, and by
// sweeps, whatever the file says.
func TestKeyTakenAgain(t *testing.T) {
	t.Parallel()
	b := open(t, "")
	b.erase(b.request(false), "complete")
	b.Exec(t, `INSERT INTO orgs (id, name) VALUES ($1, 'New')`, acme)
	b.Exec(t, `INSERT INTO jobs (args) SELECT jsonb_build_object('org_id', $1::text) FROM generate_series(1, 3)`, acme)
	before := b.dump()
	e := b.sweep()
	if d := cmp.Diff(before, b.dump()); d != "" {
		t.Error(d)
	}
	found, err := b.ledger.Leftovers(t.Context(), b.pool, e.ID)
	if err != nil || len(found) != 1 || found[0].Note != "key in use again" || found[0].Deleted != 0 || found[0].Found != 3 {
		t.Errorf("%+v, %v", found, err)
	}
	r, err := b.Erase(t.Context(), b.request(true))
	if err != nil || r.Status != "incomplete" || !strings.Contains(r.Reason, "key in use again") {
		t.Errorf("%+v, %v", r, err)
	}
	if d := cmp.Diff(before, b.dump()); d != "" {
		t.Error(d)
	}
}

// With leftovers: report, rows stay, and the ledger says how many.
func TestReport(t *testing.T) {
	t.Parallel()
	b := open(t, "", "leftovers: delete", "leftovers: report")
	e := b.request(false)
	b.erase(e, "complete")
	b.Exec(t, `INSERT INTO jobs (args) VALUES (jsonb_build_object('org_id', $1::text))`, acme)
	before := b.dump()
	b.sweep()
	if d := cmp.Diff(before, b.dump()); d != "" {
		t.Error(d)
	}
	_, rows, err := b.ledger.LeftoverRows(t.Context(), b.pool)
	if err != nil || rows["public.jobs"] != 1 {
		t.Errorf("%v, %v", rows, err)
	}
}
