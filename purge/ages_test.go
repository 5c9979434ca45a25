package purge_test

import (
	"strings"
	"testing"

	"github.com/reaperdb/reaper/explain"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// agesSchema has a table for each kind of age, of which half is older than 30 days, and the rest not;
// and in each, rows that would be the oldest if they were what the unit says.
const agesSchema = `
CREATE TABLE orgs (id int PRIMARY KEY);
INSERT INTO orgs VALUES (1), (2);
CREATE FUNCTION ms(g int) RETURNS bigint LANGUAGE sql AS $$ SELECT floor(extract(epoch FROM now() - g * interval '1 day' + interval '1 hour') * 1000)::bigint $$;
CREATE FUNCTION crockford(ms bigint) RETURNS text LANGUAGE sql AS $$
	SELECT string_agg(substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (ms >> 5 * n & 31)::int + 1, 1), '' ORDER BY n DESC) FROM generate_series(0, 9) n $$;
CREATE TABLE v7 (id uuid, org_id int NOT NULL REFERENCES orgs, PRIMARY KEY (org_id, id));
INSERT INTO v7 SELECT (lpad(to_hex(ms(g)), 12, '0') || '7abc8' || lpad(to_hex(g), 15, '0'))::uuid, 1 + g % 2 FROM generate_series(1, 60) g;
INSERT INTO v7 SELECT ('01' || substr(gen_random_uuid()::text, 3))::uuid, 1 FROM generate_series(1, 20);
CREATE TABLE ulids (id text COLLATE "C" PRIMARY KEY, org_id int NOT NULL REFERENCES orgs);
INSERT INTO ulids SELECT lower(crockford(ms(g)) || 'ABCDEFGHJKMNPQRS'), 1 + g % 2 FROM generate_series(1, 60) g;
INSERT INTO ulids VALUES ('01a', 1), ('01a0000000000000000000000u', 1);
CREATE INDEX ON ulids (org_id, id);
CREATE TABLE chars (id char(26) COLLATE "en-x-icu" PRIMARY KEY, org_id int NOT NULL REFERENCES orgs);
INSERT INTO chars SELECT crockford(ms(g)) || 'ABCDEFGHJKMNPQRS', 1 + g % 2 FROM generate_series(1, 60) g;
CREATE TABLE bytes (id bytea PRIMARY KEY, org_id int NOT NULL REFERENCES orgs);
INSERT INTO bytes SELECT decode(lpad(to_hex(ms(g)), 12, '0') || '00112233445566778899', 'hex'), 1 + g % 2 FROM generate_series(1, 60) g;
CREATE INDEX ON bytes (org_id, id);
CREATE TABLE flakes (id bigint PRIMARY KEY, org_id int NOT NULL REFERENCES orgs);
INSERT INTO flakes SELECT (ms(g) - 1420070400000) << 22 | g, 1 + g % 2 FROM generate_series(1, 60) g;
INSERT INTO flakes SELECT g, 1 FROM generate_series(1, 20) g;
CREATE INDEX ON flakes (org_id, id);
CREATE TABLE docs (id int PRIMARY KEY, org_id int NOT NULL REFERENCES orgs, at timestamp, moved timestamp);
INSERT INTO docs SELECT g, 1 + g % 2, now() - interval '1 year', (now() - g * interval '1 day' + interval '1 hour') AT TIME ZONE 'UTC' FROM generate_series(1, 60) g;
INSERT INTO docs VALUES (61, 1, NULL, NULL), (62, 1, '1970-01-01', NULL);
`

const agesPolicy = `
tenants: {table: orgs, key: id, default: 30d}
policies:
  - {name: v7, table: v7, age: {column: id, unit: uuidv7}}
  - {name: ulids, table: ulids, age: {column: id, unit: ulid}}
  - {name: chars, table: chars, age: {column: id, unit: ulid}}
  - {name: bytes, table: bytes, age: {column: id, unit: ulid}}
  - {name: flakes, table: flakes, age: {column: id, unit: snowflake, epoch: discord}}
  - {name: docs, table: docs, age: {sql: "coalesce(moved, at) AT TIME ZONE 'UTC'"}}
`

// Each age finds the same rows along the index that serves it and without one; a printed index is
// then used. What is no age is reported.
func TestAgesOfIdentifiersAndSQL(t *testing.T) {
	t.Parallel()
	b := prepare(t, agesSchema, agesPolicy)
	strategies := func() map[string]string {
		found := map[string]string{}
		for _, p := range b.plans() {
			found[p.Policy.Name] = p.Strategy
		}
		return found
	}
	for name, strategy := range strategies() {
		want := plan.TenantKeyset
		if name == "chars" || name == "docs" {
			want = plan.KeySweep
		}
		if strategy != want {
			t.Errorf("%s: %s, want %s", name, strategy, want)
		}
	}
	said := b.previewed()
	for table, n := range map[string]string{"v7": "20", "ulids": "2", "flakes": "20", "docs": "2"} {
		if want := n + " rows of public." + table + " without an age"; !strings.Contains(said, want) {
			t.Errorf("no preview says %q; they say %s", want, said)
		}
	}
	b.Exec(t, `CREATE TABLE old_docs AS TABLE docs; CREATE TABLE old_chars AS TABLE chars`)
	b.purge().complete().rows(map[string]int64{"public.v7": 30, "public.ulids": 30, "public.chars": 30, "public.bytes": 30, "public.flakes": 30, "public.docs": 30})
	b.left(`SELECT count(*) FROM v7 WHERE substr(id::text, 15, 1) <> '7'`, "20")
	b.left(`SELECT count(*) FROM docs WHERE id > 30`, "2")
	b.left(`SELECT count(*) FROM flakes WHERE id < 100`, "20")
	b.pasteIndexes(`("org_id", "id" COLLATE "C")`, `("org_id", (`, `moved`)
	b.again()
	for name, strategy := range strategies() {
		if strategy != plan.TenantKeyset {
			t.Errorf("%s, with the printed index: %s", name, strategy)
		}
	}
	b.Exec(t, `INSERT INTO docs SELECT * FROM old_docs WHERE id BETWEEN 31 AND 60; INSERT INTO chars SELECT * FROM old_chars ON CONFLICT DO NOTHING`)
	b.purge().complete().rows(map[string]int64{"public.chars": 30, "public.docs": 30})
}

// previewed are the problems that previews of all policies find.
func (b *bed) previewed() string {
	b.t.Helper()
	var said strings.Builder
	for _, p := range b.plans() {
		v, err := preview.Look(b.t.Context(), b.pool, p, plan.Selection{}, false)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, x := range v.Problems {
			said.WriteString(x.Text + "\n")
		}
	}
	return said.String()
}

// What an age cannot be is refused, and nothing is touched.
func TestAgesRefused(t *testing.T) {
	t.Parallel()
	b := prepare(t, agesSchema+`
		CREATE TABLE odd (id uuid PRIMARY KEY, n bigint, ulid text, at timestamp);
		INSERT INTO odd SELECT gen_random_uuid(), 86400000::bigint * 300 << 22, crockford(ms(20000)) || 'ABCDEFGHJKMNPQRS' FROM generate_series(1, 20)`, "")
	for _, c := range []struct{ age, words string }{
		{"{column: id, unit: ulid}", "odd.id holds|as ulid is of|outside 1990-2100|check the unit"},
		{"{column: n, unit: snowflake, epoch: 0}", "odd.n holds|as snowflake is of 1970-10-28|outside 1990-2100|epoch"},
		{"{column: ulid, unit: ulid}", "odd.ulid holds 0|as ulid is of 197|outside 1990-2100"},
		{"{column: ulid, unit: uuidv7}", "odd.ulid is text, which holds no uuidv7"},
		{"{column: id, unit: snowflake, epoch: discord}", "odd.id is uuid, which holds no snowflake"},
		{"{column: at, unit: ulid}", "only integer ages and identifiers have a unit"},
		{"id", "odd.id is uuid, which cannot be an age|uuidv7"},
		{"{sql: at}", "not of type timestamp with time zone|AT TIME ZONE"},
		{"{sql: clock_timestamp()}", "volatile"},
		{"{sql: max(at) AT TIME ZONE 'UTC'}", "aggregate"},
		{"{sql: nothing AT TIME ZONE 'UTC'}", `"nothing" does not exist`},
	} {
		b.policy = "policies: [{name: odd, table: odd, tenant: none, retention: 30d, age: " + c.age + "}]"
		b.refuses(strings.Split(c.words, "|")...)
	}
	// Random UUIDs among UUIDv7 alone are no mistake: they never expire.
	b.policy = "policies: [{name: odd, table: odd, tenant: none, retention: 30d, age: {column: id, unit: uuidv7}}]"
	b.purge().complete().rows(map[string]int64{})
}

// An age that could not be read as a view is refused: nothing shows that it is not volatile.
func TestAgeBySQLWithoutTemporary(t *testing.T) {
	t.Parallel()
	b := prepare(t, agesSchema, "policies: [{name: docs, table: docs, tenant: none, retention: 30d, age: {sql: clock_timestamp()}}]")
	role := b.Role(t, "reaper")
	b.Exec(t, `GRANT SELECT, UPDATE, DELETE ON docs TO `+role+`; REVOKE TEMPORARY ON DATABASE `+b.Name()+` FROM PUBLIC`)
	b.connect(b.As(role))
	b.refuses("age could not be read as a view", "grant the role TEMPORARY")
}

// The greatest snowflake stands for "never" in some tables, and is of a time that the unit allows.
func TestGreatestSnowflake(t *testing.T) {
	t.Parallel()
	b := prepare(t, agesSchema+`; INSERT INTO flakes VALUES (9223372036854775807, 1)`,
		"policies: [{name: flakes, table: flakes, tenant: none, retention: 30d, age: {column: id, unit: snowflake, epoch: twitter}}]")
	b.plans()
	b.policy = "policies: [{name: flakes, table: flakes, tenant: none, retention: 30d, age: {column: id, unit: snowflake, epoch: discord}}]"
	b.plans()
}

// Every kind of age can be explained.
func TestAgesExplained(t *testing.T) {
	t.Parallel()
	b := prepare(t, agesSchema, agesPolicy)
	for _, p := range b.plans() {
		var key []string
		name := p.Root.Table.Name.Name
		if err := b.pool.QueryRow(t.Context(), `SELECT ARRAY[`+strings.Join(plan.ColumnNames(p.Key), "::text, ")+`::text] FROM `+name+` ORDER BY id DESC LIMIT 1`).Scan(&key); err != nil {
			t.Fatal(err)
		}
		row, err := explain.Explain(t.Context(), b.pool, explain.Question{Plan: p, Ledger: ledger.New(ledger.DefaultSchema, 0)}, key)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if row.Age.Column == "" {
			t.Errorf("%s: the answer does not say what the age is", name)
		}
	}
}

// A column that decides what becomes of rows is not redacted, and no value could be another after it.
func TestRedactionsRefused(t *testing.T) {
	t.Parallel()
	b := prepare(t, `CREATE TABLE docs (id int PRIMARY KEY, at timestamptz NOT NULL, mail text);
		CREATE TABLE notes (id int PRIMARY KEY, doc_id int REFERENCES docs, mail text, closed timestamptz, text text, loud text GENERATED ALWAYS AS (upper(text)) STORED)`, "")
	for _, c := range []struct{ redact, words string }{
		{`{text: "'of ' || doc_id"}`, "depends on doc_id, which is emptied with it"},
		{`{text: "loud || '!'"}`, "depends on loud, which is generated"},
		{`{closed: "NULL"}`, "read by the age of policy notes"},
	} {
		b.policy = `
policies:
  - {name: docs, table: docs, tenant: none, retention: 30d, age: at, dependents: [{table: notes, via: doc_id, redact: ` + c.redact + `}]}
  - {name: notes, table: notes, tenant: none, retention: 30d, age: {sql: "coalesce(closed, now())"}}
`
		b.refuses(c.words)
	}
}
