package erasing_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/erasing"
)

// expected is what is left of the tables, by plain SQL on them as they were.
const expected = `
	DELETE FROM visits WHERE visitor IN (SELECT id FROM users WHERE org_id = '` + acme + `');
	DELETE FROM jobs WHERE args->>'org_id' = '` + acme + `';
	DELETE FROM messages WHERE user_id IN (SELECT id FROM users WHERE org_id = '` + acme + `');
	UPDATE users SET boss = NULL WHERE org_id = '` + acme + `';
	DELETE FROM users WHERE org_id = '` + acme + `';
	DELETE FROM orgs WHERE id = '` + acme + `'`

// Everything of the tenant goes, nothing of another; the ledger counts what went.
func TestErase(t *testing.T) {
	t.Parallel()
	b := open(t, "")
	users := b.Texts(t, `SELECT id::text FROM users WHERE org_id = $1`, acme)
	want := b.dumpAfter(expected)
	r := b.erase(b.request(false), "complete")
	if d := cmp.Diff(want, b.dump()); d != "" {
		t.Error(d)
	}
	for _, key := range append(users, acme) {
		if found := b.mentions(key); found != nil {
			t.Errorf("%s is still in %v", key, found)
		}
	}
	rows := map[string]int64{"public.orgs": 1, "public.users": 20, "public.messages": 200, "public.jobs": 30, "public.visits": 20}
	if d := cmp.Diff(rows, r.Rows); d != "" {
		t.Error(d)
	}
	counted := map[string]int64{}
	for _, row := range b.Texts(t, `SELECT table_name FROM reaper.deletions WHERE policy = 'erasure' AND rows > 0`) {
		counted[row] = int64(b.Int(t, `SELECT sum(rows)::int FROM reaper.deletions WHERE table_name = $1 AND tenant = $2`, row, acme))
	}
	if d := cmp.Diff(rows, counted); d != "" {
		t.Error(d)
	}
	if events := b.Texts(t, `SELECT kind FROM reaper.event WHERE kind LIKE 'erasure%' ORDER BY n`); !cmp.Equal(events, []string{"erasure_begun", "erasure_done"}) {
		t.Error(events)
	}
}

// What stops an erasure touches nothing.
func TestStopped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before string // SQL between the request and the run
		want   string
	}{
		"held by hand":            {`INSERT INTO reaper.hold (tenant, reason, who, ends_at) VALUES ('` + acme + `', 'court', 'ann', 'infinity')`, "held"},
		"every tenant is held":    {`INSERT INTO reaper.hold (reason, who, ends_at) VALUES ('court', 'ann', 'infinity')`, "held"},
		"held by the policy file": {`UPDATE orgs SET held = true`, "held"},
		"cancelled":               {`UPDATE reaper.erasure SET state = 'cancelled'`, "no longer open"},
		"another foreign key":     {`CREATE TABLE late (org_id text REFERENCES orgs ON DELETE CASCADE); INSERT INTO late VALUES ('` + acme + `')`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, "")
			e := b.request(false)
			b.Exec(t, c.before)
			before := b.dump()
			r := b.erase(e, "incomplete")
			if !strings.Contains(r.Reason, c.want) {
				t.Errorf("the reason is %q", r.Reason)
			}
			if c.want == "" { // only the row that the key guards is left
				if n := b.Int(t, `SELECT count(*)::int FROM orgs, late WHERE id = org_id`); n != 1 {
					t.Error("the key that the plan does not know took rows along")
				}
				return
			}
			if d := cmp.Diff(before, b.dump()); d != "" {
				t.Error(d)
			}
		})
	}
}

// Kept rows stay with all that they reference; the rest goes, and the tenant's row is redacted. When
// they may go, they go, and the row with them.
func TestKept(t *testing.T) {
	t.Parallel()
	b := open(t, `CREATE TABLE invoices (id int PRIMARY KEY, org_id text NOT NULL REFERENCES orgs, at timestamptz NOT NULL);
		CREATE INDEX ON invoices (org_id);
		INSERT INTO invoices VALUES (1, '`+acme+`', now()), (2, '`+acme+`', now() - interval '11 years'), (3, '`+other+`', now())`,
		"  global:", "    - {table: invoices, action: keep, for: 10y, age: at, reason: tax law}\n  tenant_row: redact\n  redact: {name: \"'erased'\"}\n  global:")
	e := b.request(false)
	r := b.erase(e, "complete")
	if got := b.Texts(t, `SELECT id::text || name FROM orgs ORDER BY 1`); !cmp.Equal(got, []string{acme + "erased", other + "Other"}) {
		t.Error(got)
	}
	if got := b.Ints(t, `SELECT id FROM invoices ORDER BY 1`); !cmp.Equal(got, []int{1, 3}) {
		t.Error(got)
	}
	if found := b.mentions(acme); !cmp.Equal(found, []string{"public.invoices.org_id: 1", "public.orgs.id: 1"}) {
		t.Error(found)
	}
	if len(r.Kept) == 0 || r.Kept[0].Table != "public.invoices" || r.Kept[0].Rows != 1 || r.Kept[0].Until == nil || r.Kept[0].Reason != "tax law" {
		t.Errorf("%+v", r.Kept)
	}
	if e := b.sweep(); e.Tenant == nil || e.AgainAt == nil {
		t.Errorf("the erasure no longer knows whose kept rows they are: %+v", e)
	}
	b.Exec(t, `UPDATE invoices SET at = now() - interval '11 years' WHERE org_id = $1; `+"", acme)
	b.Exec(t, `UPDATE reaper.erasure SET again_at = now()`)
	due, err := b.ledger.DueErasures(t.Context(), b.pool)
	if err != nil || len(due) != 1 {
		t.Fatal(due, err)
	}
	b.erase(&due[0], "complete")
	if found := b.mentions(acme); found != nil {
		t.Errorf("it is still in %v", found)
	}
}

// What when says is requested a week ahead, withdrawn when it no longer holds, and more than a few at
// once wait for a person.
func TestWhen(t *testing.T) {
	t.Parallel()
	b := open(t, `INSERT INTO orgs SELECT 'bulk' || g, 'Bulk', NULL, false FROM generate_series(1, 5) g`, "  wait: 0s", "  wait: 0s\n  when: closed_at < now()")
	request := func() {
		t.Helper()
		if err := b.RequestDue(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	b.Exec(t, `UPDATE orgs SET closed_at = now() - interval '1 day' WHERE id IN ('`+acme+`', 'bulk1')`)
	request()
	request()
	if n := b.Int(t, `SELECT count(*)::int FROM reaper.erasure WHERE state = 'requested' AND due_at BETWEEN now() + interval '6 days' AND now() + interval '7 days'`); n != 2 {
		t.Fatalf("%d are requested", n)
	}
	b.Exec(t, `UPDATE orgs SET closed_at = NULL WHERE id = 'bulk1'`)
	request()
	if n := b.Int(t, `SELECT count(*)::int FROM reaper.erasure WHERE state = 'cancelled' AND tenant = 'bulk1'`); n != 1 {
		t.Errorf("%d are withdrawn", n)
	}
	b.Exec(t, `UPDATE orgs SET closed_at = now() - interval '1 day' WHERE id LIKE 'bulk%'`)
	request()
	b.Exec(t, `UPDATE reaper.erasure SET due_at = now() WHERE state = 'requested'`)
	due, err := b.ledger.DueErasures(t.Context(), b.pool)
	if err != nil || len(due) != 6 {
		t.Fatal(due, err)
	}
	before := b.dump()
	r := b.erase(&due[0], "refused")
	if !strings.Contains(r.Reason, "breaker") || !strings.Contains(r.Reason, "reaper approve --policy erasure") {
		t.Error(r.Reason)
	}
	if d := cmp.Diff(before, b.dump()); d != "" {
		t.Error(d)
	}
	d, err := b.Gates.LookAtDatabase(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	verdict, err := b.Gates.LookAtErasures(t.Context(), d, erasing.Judged(b.Plan, true))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Gates.Approve(t.Context(), verdict, "1h", "meant", "ann"); err != nil {
		t.Fatal(err)
	}
	b.erase(&due[0], "complete")
	// The condition is asked in every batch.
	b.Exec(t, `UPDATE orgs SET closed_at = NULL`)
	if r := b.erase(&due[1], "incomplete"); !strings.Contains(r.Reason, "when no longer holds") {
		t.Error(r.Reason)
	}
}
