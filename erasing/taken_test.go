package erasing_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/erasing"
	"github.com/reaperdb/reaper/ledger"
)

// bills are kept, and no foreign key leads from them to the tenants.
const (
	bills   = `CREATE TABLE bills (id int PRIMARY KEY, org text NOT NULL, issued_at timestamptz NOT NULL); INSERT INTO bills VALUES (1, '` + acme + `', now())`
	keptToo = "  tables:\n    - {table: bills, owner: org, action: keep, for: 1y, age: issued_at, reason: tax law}\n"
)

// again makes kept rows due to be looked at, and does what is due.
func (b *fixture) again() {
	b.t.Helper()
	b.Exec(b.t, `UPDATE reaper.erasure SET again_at = now() WHERE again_at IS NOT NULL`)
	due, err := erasing.ReadDue(b.t.Context(), b.ledger, b.pool)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := b.Do(b.t.Context(), due, func(*erasing.Report) {}); err != nil {
		b.t.Fatal(err)
	}
}

// While rows of a tenant that is gone are kept, its key is taken again: the new customer loses nothing
// when they are looked at.
func TestKeyTakenAgain_WhileRowsAreKept(t *testing.T) {
	t.Parallel()
	b := open(t, bills, "  tables:\n", keptToo)
	b.erase(b.request(false), "complete")
	b.Exec(t, `INSERT INTO orgs (id, name) VALUES ($1, 'New')`, acme)
	b.Exec(t, `INSERT INTO users (org_id) VALUES ($1)`, acme)
	b.Exec(t, `UPDATE bills SET issued_at = '2001-01-01'`)
	before := b.dump()
	b.again()
	if d := cmp.Diff(before, b.dump()); d != "" {
		t.Error(d)
	}
	if n := b.Int(t, `SELECT count(*)::int FROM reaper.erasure WHERE again_at > now() + interval '29 days'`); n != 1 {
		t.Error("the kept rows are looked at again at once")
	}
}

// The key of a tenant is forgotten with its last kept row, too.
func TestForgotten_WithTheLastKeptRow(t *testing.T) {
	t.Parallel()
	b := open(t, bills, "  tables:\n", keptToo)
	b.erase(b.request(false), "complete")
	b.sweep()
	b.Exec(t, `UPDATE bills SET issued_at = '2001-01-01'`)
	b.again()
	if found := b.mentions(acme); found != nil {
		t.Errorf("it is still in %v", found)
	}
	if found := b.mentionsIn("reaper", acme); found != nil {
		t.Errorf("the ledger has it in %v", found)
	}
}

// The last sweep forgets the tenant that is gone, and not the new one that has its key: its holds stay
// in force, and another erasure still knows whom it is about.
func TestForgotten_KeyTakenAgain(t *testing.T) {
	t.Parallel()
	b := open(t, "")
	b.erase(b.request(false), "complete")
	b.Exec(t, `INSERT INTO orgs (id, name) VALUES ($1, 'New')`, acme)
	b.Exec(t, `INSERT INTO reaper.hold (tenant, reason, who, ends_at) VALUES ($1, 'court', 'ann', 'infinity')`, acme)
	b.Exec(t, `INSERT INTO reaper.grace (policy, tenant, ends_at) VALUES ('messages', $1, 'infinity')`, acme)
	e, err := b.ledger.RequestErasure(t.Context(), b.pool, ledger.Request{Tenant: acme, After: "30d", Reason: "closed", By: "ann"})
	if err != nil {
		t.Fatal(err)
	}
	b.sweep()
	if e, err = b.ledger.Erasure(t.Context(), b.pool, e.ID); err != nil || e.Tenant == nil || *e.Tenant != acme {
		t.Fatalf("the other erasure is %+v, %v", e, err)
	}
	if n := b.Int(t, `SELECT count(*)::int FROM reaper.grace WHERE tenant = $1`, acme); n != 1 {
		t.Error("the grace period of the new tenant is lost")
	}
	if r := b.erase(e, "incomplete"); !strings.Contains(r.Reason, "held") {
		t.Errorf("it ended: %s", r.Reason)
	}
}

// Rows that rows of nobody reference stay, so the erasure is not done, and the tenant's row stays, too.
func TestBlocked_WithoutForeignKey(t *testing.T) {
	t.Parallel()
	b := open(t, `CREATE TABLE marks (id int PRIMARY KEY, job bigint CONSTRAINT marked REFERENCES jobs); CREATE INDEX ON marks (job);
		INSERT INTO marks SELECT 1, min(id) FROM jobs WHERE args->>'org_id' = '`+acme+`'`, "global: [plans]", "global: [plans, marks]")
	e := b.request(false)
	if r := b.erase(e, "incomplete"); !strings.Contains(r.Reason, "marked") {
		t.Errorf("it ended: %s", r.Reason)
	}
	if n := b.Int(t, `SELECT count(*)::int FROM orgs WHERE id = $1`, acme); n != 1 {
		t.Error("the tenant's row is gone")
	}
	b.Exec(t, `UPDATE marks SET job = NULL`)
	b.erase(e, "complete")
	if found := b.mentions(acme); found != nil {
		t.Errorf("it is still in %v", found)
	}
}
