package purge_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/purge"
)

const (
	holdTenant = `INSERT INTO reaper.hold (tenant, reason, who, ends_at) VALUES ('7', 'why', 'me', 'infinity')`
	// holdRows holds all due rows of tenant 7.
	holdRows = `WITH h AS (INSERT INTO reaper.hold (policy, reason, who, ends_at, roots) VALUES ('events', 'why', 'me', 'infinity', 5) RETURNING id)
		INSERT INTO reaper.hold_root (hold, key) SELECT h.id, ARRAY[e.id::text] FROM h, events e WHERE owner = '7' AND at < now() - interval '30 days'`
	holdAll = `INSERT INTO reaper.hold (reason, who, ends_at) VALUES ('why', 'me', 'infinity')`
)

// A hold by hand is a condition of the statement that deletes: whatever finds the rows, and whatever
// deletes them, it counts from its commit on.
func TestHolds_BetweenSearchAndDelete(t *testing.T) {
	t.Parallel()
	noAction := `ALTER TABLE details DROP CONSTRAINT details_event_fkey, ADD CONSTRAINT details_event_fkey FOREIGN KEY (event) REFERENCES events;`
	for _, c := range []struct{ name, sql, policy string }{
		{"in step", "", manyPolicy},
		{"read by key", "", strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, limits: {rows: 3}", 1)},
		{"swept", "DROP INDEX events_owner_at_id_idx;", manyPolicy},
		{"NO ACTION keys", noAction, strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, dependents: [{table: details, action: delete}]", 1)},
		{"proven", "", "safety: {foreign_key_checks: proven}\n" + manyPolicy},
		{"query of tenants", "", strings.Replace(manyPolicy, "{table: owners, key: id, retention: days, hold: held}", `{query: "SELECT id, days FROM owners"}`, 1)},
		{"text keys", `ALTER TABLE events DROP CONSTRAINT events_owner_fkey; ALTER TABLE owners ALTER id TYPE text COLLATE "POSIX"; ALTER TABLE events ALTER owner TYPE text COLLATE "POSIX", ADD FOREIGN KEY (owner) REFERENCES owners;`, manyPolicy},
	} {
		for kind, hold := range map[string]string{"tenant": holdTenant, "rows": holdRows} {
			t.Run(c.name+", "+kind, func(t *testing.T) {
				t.Parallel()
				b := prepare(t, many+c.sql+copies, c.policy)
				b.connect(b.DSN(), before(atBatch, func() { b.Exec(t, hold) }))
				b.purge()
				b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days' AND owner = '7'`, 5)
				b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days' AND owner <> '7'`, 0)
				b.perTenant()
				b.again()
				b.purge().complete()
				b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days'`, 5)
				b.again()
				b.Exec(t, `UPDATE reaper.hold SET released_at = now()`)
				b.purge().complete()
				b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days'`, 0)
			})
		}
	}
}

// A partition with a row that is held is not dropped; its other rows go. Keys of several columns, and
// of types whose text depends on settings, are found.
func TestHolds_RowOfPartition(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	b.Exec(t, `WITH h AS (INSERT INTO reaper.hold (policy, reason, who, ends_at, roots) VALUES ('events', 'why', 'me', 'infinity', 1) RETURNING id)
		INSERT INTO reaper.hold_root (hold, key) SELECT h.id, ARRAY[to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || '+00', e.id::text] FROM h, events e WHERE e.id = 415`)
	b.connect(b.DSN(), func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["timezone"] = "Asia/Kolkata" })
	r := b.purge().complete().one()
	if want := []string{"public.p3"}; !slices.Equal(r.Partitions, want) {
		t.Errorf("dropped %v, want %v", r.Partitions, want)
	}
	b.left(`SELECT id FROM p4`, "415")
	if r.BacklogRows == nil || *r.BacklogRows != 0 {
		t.Errorf("backlog %v, want 0", r.BacklogRows)
	}
	b.again()
	b.Exec(t, `UPDATE reaper.hold SET ends_at = now() - interval '1 hour', created_at = now() - interval '2 hours'`)
	b.purge().complete()
	b.count(`SELECT count(*) FROM events WHERE id = 415`, 0)
}

// A hold of one policy, or one that has ended, holds no other.
func TestHolds_Others(t *testing.T) {
	t.Parallel()
	b := prepare(t, many, manyPolicy)
	b.Exec(t, `INSERT INTO reaper.hold (policy, tenant, reason, who, ends_at) VALUES ('other', NULL, 'why', 'me', 'infinity'), ('other', '7', 'why', 'me', 'infinity');
		INSERT INTO reaper.hold (tenant, reason, who, created_at, ends_at) VALUES (NULL, 'why', 'me', now() - interval '2 days', now() - interval '1 day');
		INSERT INTO reaper.hold (tenant, reason, who, ends_at, released_at) VALUES (NULL, 'why', 'me', 'infinity', now())`)
	b.purge().complete()
	b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days'`, 0)
}

// A hold is compared as the tenants' keys are: other spellings of a key are the same tenant, and what
// is no key of the type is nobody.
func TestHolds_Spellings(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, typ, key, held string }{
		"citext":                    {"CREATE EXTENSION citext;", "citext", "ACME", "Acme"},
		"numeric":                   {"", "numeric", "1.5", "1.50"},
		"char":                      {"", "char(8)", "acme", "acme   "},
		"a collation that folds":    {`CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);`, `text COLLATE folding`, "ACME", "Acme"},
		"text is compared as it is": {"", "text", "acme", "acme"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, fmt.Sprintf(`%s CREATE TABLE owners (id %s PRIMARY KEY, days int);
				CREATE TABLE events (id int PRIMARY KEY, owner %[2]s NOT NULL REFERENCES owners, at timestamptz NOT NULL);
				CREATE INDEX ON events (owner, at, id);
				INSERT INTO owners VALUES ('%[3]s', 30), ('17', 30);
				INSERT INTO events SELECT n, CASE WHEN n %% 2 = 0 THEN '%[3]s' ELSE '17' END::text::%[2]s, now() - interval '40 days' FROM generate_series(1, 20) n;`, c.before, c.typ, c.key),
				`tenants: {table: owners, key: id, retention: days}
policies: [{name: events, table: events, age: at, tenant: owner}]`)
			b.Exec(t, fmt.Sprintf(`INSERT INTO reaper.hold (tenant, reason, who, ends_at) VALUES ('%s', 'why', 'me', 'infinity'), ('no key: é', 'why', 'me', 'infinity')`, c.held))
			if r := b.purge().complete().one(); r.Tenants.Held != 1 || r.Roots != 10 {
				t.Errorf("%d tenants held, %d roots deleted: want 1 and 10", r.Tenants.Held, r.Roots)
			}
			b.count(`SELECT count(*) FROM events`, 10)
		})
	}
}

// Rows without a tenant are held together.
func TestHolds_NoTenant(t *testing.T) {
	t.Parallel()
	b := prepare(t, `CREATE TABLE events (id int PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON events (at, id);
		INSERT INTO events SELECT n, now() - interval '40 days' FROM generate_series(1, 500) n`,
		`policies: [{name: events, table: events, age: at, tenant: none, retention: 30d, limits: {rows: 100}}]`)
	b.connect(b.DSN(), before(atBatch, func() { b.Exec(t, holdAll) }))
	b.purge()
	b.count(`SELECT count(*) FROM events`, 500)
	b.again()
	if r := b.purge().is(purge.Complete).one(); r.Tenants.Held != 1 || r.Tenants.Due != 0 {
		t.Errorf("tenants %+v, want all rows held", r.Tenants)
	}
	b.count(`SELECT count(*) FROM events`, 500)
}
