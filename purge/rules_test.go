package purge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

// owners is a table of tenants and a root with one row per tenant and day, 1 to 100 days old.
const owners = `
CREATE TABLE owners (id int PRIMARY KEY, days int, span interval, held bool);
CREATE TABLE things (id serial PRIMARY KEY, owner int, at timestamptz);
CREATE INDEX ON things (owner, at, id);
`

func ownersPolicy(tenants, more string) string {
	return "tenants: {table: owners, key: id" + tenants + "}\npolicies: [{name: things, table: things, age: at, tenant: owner" + more + "}]"
}

const hundredDays = `INSERT INTO things (owner, at) SELECT id, now() - n * interval '1 day' - interval '1 hour' FROM owners, generate_series(0, 99) n;`

// The first source that has a value for a tenant counts; a tenant without a usable value is
// skipped and named, and the others are done.
func TestRule_WhichRetention(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, owner, tenants, policy string
		left                         int // of the 100 rows of tenant 1
		skipped                      string
	}{
		{"tenants' own days", `(1, 7)`, ", retention: days", "", 7, ""},
		{"an interval", `(1, NULL, '1 week')`, ", retention: span", "", 7, ""},
		{"SQL", `(1, 3)`, ", retention: days * 2", "", 6, ""},
		{"NULL goes on to the default", `(1, NULL)`, ", retention: days, default: 5d", "", 5, ""},
		{"the policy's default replaces", `(1, NULL)`, ", retention: days, default: 5d", ", default: 9d", 9, ""},
		{"the policy's retention first", `(1, 7)`, ", retention: days", ", retention: 4d", 4, ""},
		{"the policy's SQL, NULL, goes on", `(1, 7)`, ", retention: days", ", retention: span", 7, ""},
		{"tenants' override before retentions", `(1, 7)`, `, retention: days, overrides: {"1": 2d}`, ", retention: 4d", 2, ""},
		{"policy's override before all", `(1, 7)`, `, retention: days, overrides: {"1": 2d}`, `, retention: 4d, overrides: {"1": 3d}`, 3, ""},
		{"overrides merge key by key", `(1, 7)`, `, retention: days, overrides: {"1": 2d}`, `, overrides: {"2": 3d}`, 2, ""},
		{"an override of another spelling", `(1, 7)`, `, retention: days, overrides: {"01": 2d}`, "", 2, ""},
		{"forever by override", `(1, 7)`, `, retention: days, overrides: {"1": forever}`, "", 100, ""},
		{"forever by policy", `(1, 7)`, `, retention: days`, ", retention: forever", 100, ""},
		{"an override ends forever", `(1, 7)`, `, overrides: {"1": 7d}`, ", retention: forever", 7, ""},
		{"min lengthens", `(1, 7)`, ", retention: days, min: 10d", "", 10, ""},
		{"min leaves what is longer", `(1, 17)`, ", retention: days, min: 10d", "", 17, ""},
		{"the policy's min replaces", `(1, 7)`, ", retention: days, min: 10d", ", min: 8d", 8, ""},
		{"min reaches overrides", `(1, 7)`, `, retention: days, min: 10d, overrides: {"1": 2d}`, "", 10, ""},
		{"min in calendar units: the earlier cutoff", `(1, 30)`, ", retention: days, min: 1mo", "", -1, ""},
		{"held", `(1, 7, NULL, true)`, ", retention: days, hold: held", "", 100, ""},
		{"held NULL is no hold", `(1, 7, NULL, NULL)`, ", retention: days, hold: held", "", 7, ""},
		{"holds add up", `(1, 7, NULL, true)`, ", retention: days, hold: held", ", hold: days > 100", 100, ""},
		{"zero", `(1, 0)`, ", retention: days, default: 5d, min: 1d", "", 100, "1 (zero or absurd)"},
		{"negative", `(1, -5)`, ", retention: days, default: 5d, min: 1d", "", 100, "1 (-5 days)"},
		{"NULL without default", `(1, NULL)`, ", retention: days, min: 1d", "", 100, "1 (no retention)"},
		{"over a thousand years", `(1, 2000000000)`, ", retention: days", "", 100, "1 ("},
		{"before 1900", `(1, 60000)`, ", retention: days", "", 100, "1 ("},
		{"an absurd interval", `(1, NULL, '178000000 years')`, ", retention: span", "", 100, "1 ("},
		{"a mixed interval that reaches forward", `(1, NULL, '1 day -30 hours')`, ", retention: span", "", 100, "1 ("},
		{"zero seconds", `(1, NULL, '0')`, ", retention: span", "", 100, "1 ("},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, owners, ownersPolicy(c.tenants, c.policy))
			b.Exec(t, `INSERT INTO owners VALUES (2, 50, '50 days'); INSERT INTO owners VALUES `+c.owner+`;`+hundredDays)
			o := b.purge()
			if c.left == -1 {
				c.left = b.Int(t, `SELECT count(*) FROM generate_series(0, 99) n WHERE now() - n * interval '1 day' - interval '1 hour' >= least(now() - interval '1 month', now() - interval '30 days')`)
			}
			b.count(`SELECT count(*) FROM things WHERE owner = 1`, c.left)
			if c.skipped != "" {
				o.is(purge.Incomplete, "1 tenant skipped", c.skipped)
				b.count(`SELECT count(*) FROM things WHERE owner = 2`, 50)
			}
			b.ledgerIsTrue()
		})
	}
}

// An invalid list of tenants deletes nothing.
func TestPromise5_TenantsInDoubt(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	query := func(q string) string {
		return "tenants: {query: \"" + q + "\", default: 30d}\npolicies: [{name: things, table: things, age: at, tenant: owner}]"
	}
	for _, c := range []struct{ name, setup, policy, reason string }{
		{"empty table", "", ownersPolicy(", default: 30d", ""), "empty"},
		{"only NULL keys", `ALTER TABLE owners DROP CONSTRAINT owners_pkey, ALTER id DROP NOT NULL; INSERT INTO owners VALUES (NULL, 1)`, ownersPolicy(", default: 30d", ""), "empty"},
		{"empty query", "", query("SELECT id, days FROM owners"), "empty"},
		{"a key twice in the table", `ALTER TABLE owners DROP CONSTRAINT owners_pkey; INSERT INTO owners VALUES (1, 30), (1, 3)`, ownersPolicy(", retention: days", ""), "twice"},
		{"a key twice in the query", `INSERT INTO owners VALUES (1, 30)`, query("SELECT id, days FROM owners UNION ALL SELECT 1, 3"), "twice"},
		{"a failing query", `INSERT INTO owners VALUES (1, 30), (2, 0)`, query("SELECT id, 100 / days FROM owners"), "division by zero"},
		{"a failing retention", `INSERT INTO owners VALUES (1, 30), (2, 0)`, ownersPolicy(", retention: 100 / days", ""), "division by zero"},
		{"a failing hold", `INSERT INTO owners VALUES (1, 30), (2, 0)`, ownersPolicy(", retention: 30d, hold: 100 / days > 1000", ""), "division by zero"},
		{"a query that writes", `INSERT INTO owners VALUES (1, 30); CREATE FUNCTION sly() RETURNS int LANGUAGE sql AS 'DELETE FROM things; SELECT 1'`, query("SELECT sly(), 1"), "read-only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, owners+`INSERT INTO things (owner, at) SELECT 1, now() - interval '1 year' FROM generate_series(1, 10);`+c.setup, c.policy)
			b.distrusts(c.reason)
			b.purge().is(purge.Failed, c.reason)
			b.count(`SELECT count(*) FROM things`, 10)
			b.ledgerIsTrue()
		})
	}
}

// distrusts wants a check and a look ahead to reject the tenants as a purge does, with nothing
// counted. They used to accept them. An empty list is no error of the check.
func (b *bed) distrusts(reason string) {
	b.t.Helper()
	plans := b.plans()
	v, err := preview.Look(b.t.Context(), b.pool, plans[0], plan.Selection{}, false)
	if err != nil {
		b.t.Fatal(err)
	}
	last := v.Problems[len(v.Problems)-1]
	if !v.Fails || last.Level != plan.LevelError || !strings.Contains(last.Text, reason) || last.Fix == "" || len(v.Tenants) > 0 || v.UnownedRows != nil || v.Tables[0].ExpiredRows != nil {
		b.t.Errorf("the look ahead is %+v, want it to fail: %s", v, reason)
	}
	if err := preview.CheckTenantLists(b.t.Context(), b.pool, plans); err != nil {
		b.t.Fatal(err)
	}
	if strings.Contains(reason, "empty") {
		last.Level = plan.LevelWarning // without rows yet, the file can still be checked
	}
	if p := plans[0].Problems; plans[0].HasErrors() != (last.Level == plan.LevelError) || p[len(p)-1] != last {
		b.t.Errorf("the check finds %+v, want %+v", p, last)
	}
}

// The query form returns key, retention and hold by position.
func TestRule_QueryOfTenants(t *testing.T) {
	t.Parallel()
	b := prepare(t, owners+`INSERT INTO owners VALUES (1, 7, NULL, false), (2, 7, NULL, true), (3, NULL, NULL, false), (4, 0, NULL, NULL);`+hundredDays,
		`tenants: {query: "SELECT o.id AS a, o.days AS a, o.held FROM owners o;", default: 5d, overrides: {"4": 9d}}
policies: [{name: things, table: things, age: at, tenant: owner}]`)
	b.purge().complete()
	b.left(`SELECT owner || ':' || count(*) FROM things GROUP BY owner ORDER BY owner`, "1:7", "2:100", "3:5", "4:9")
}

// Rows whose path ends in NULL, is broken or reaches no tenant are never deleted, not even by a
// default.
func TestRule_UnownedRowsStay(t *testing.T) {
	for _, index := range []string{`CREATE INDEX ON things (via, at, id)`, `SELECT 1`} {
		t.Run(index, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, `
				CREATE TABLE owners (id int PRIMARY KEY); INSERT INTO owners VALUES (1);
				CREATE TABLE vias (id int PRIMARY KEY, owner int); INSERT INTO vias VALUES (1, 1), (2, NULL), (3, 77);
				CREATE TABLE things (id int PRIMARY KEY, via int, at timestamptz DEFAULT '2020-01-01');
				INSERT INTO things VALUES (1, 1), (2, 2), (3, 3), (4, 99), (5, NULL);`+index,
				`{tenants: {table: owners, key: id, default: 30d, overrides: {"77": 1d}}, policies: [{name: things, table: things, age: at, tenant: ["via -> vias.id", owner]}], version: 1}`)
			b.purge().complete()
			b.left(`SELECT id FROM things ORDER BY id`, "2", "3", "4", "5")
			v, err := preview.Look(t.Context(), b.pool, b.plans()[0], plan.Selection{}, false)
			if err != nil || v.UnownedRows == nil || *v.UnownedRows != 4 {
				t.Errorf("unowned rows %v (%v), want 4", v.UnownedRows, err)
			}
		})
	}
}

// Which ages expire at a known cutoff: ages are written relative to the cutoff of a retention
// of 30 days (or to the start of the run). Anything before 1900, and the start of 1970 in UTC,
// never expires.
func TestRule_Ages(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const retention = 30 * 24 * time.Hour
	for _, c := range []struct {
		name, column, age string
		rows              string // expression over cutoff (timestamptz): id, age, …
		gone              []string
	}{
		{"timestamptz", "timestamptz", "at", `(1, cutoff - interval '1 day'), (2, cutoff + interval '1 day'), (3, NULL), (4, '-infinity'), (5, 'infinity'), (6, '1970-01-01 00:00+00'), (7, '0044-03-15 BC'), (8, '1970-01-02'), (9, '1899-12-31')`, []string{"1", "8"}},
		{"timestamp is UTC", "timestamp", "at", `(1, cutoff AT TIME ZONE 'UTC' - interval '1 hour'), (2, cutoff AT TIME ZONE 'UTC' + interval '1 hour'), (3, NULL), (4, '-infinity'), (5, 'infinity'), (6, '1970-01-01 00:00+00'), (7, '0044-03-15 BC'), (8, '1970-01-02'), (9, '1899-12-31')`, []string{"1", "8"}},
		{"timestamp of a zone", "timestamp", "{column: at, time_zone: Pacific/Kiritimati}", `(1, cutoff AT TIME ZONE 'Pacific/Kiritimati' - interval '1 hour'), (2, cutoff AT TIME ZONE 'Pacific/Kiritimati' + interval '1 hour'), (3, cutoff AT TIME ZONE 'UTC' - interval '1 hour'), (4, '-infinity'), (5, 'infinity'), (6, '1970-01-01'), (7, '1969-12-31 13:20'), (8, '294276-01-01'), (9, '1970-01-01 00:00:01')`, []string{"1", "3", "9"}},
		{"a date is over when its whole day is", "date", "at", `(1, (cutoff AT TIME ZONE 'UTC')::date - 1), (2, (cutoff AT TIME ZONE 'UTC')::date), (3, NULL), (4, '-infinity'), (5, 'infinity'), (6, '1970-01-01 00:00+00'), (7, '0044-03-15 BC'), (8, '1970-01-02'), (9, '1899-12-31')`, []string{"1", "8"}},
		{"a date of a zone", "date", "{column: at, time_zone: Pacific/Kiritimati}", `(1, (cutoff AT TIME ZONE 'Pacific/Kiritimati')::date - 1), (2, (cutoff AT TIME ZONE 'Pacific/Kiritimati')::date), (6, '1970-01-01'), (7, '1970-01-02')`, []string{"1", "7"}},
		{"a date of a western zone", "date", "{column: at, time_zone: Pacific/Pago_Pago}", `(1, (cutoff AT TIME ZONE 'Pacific/Pago_Pago')::date - 1), (2, (cutoff AT TIME ZONE 'Pacific/Pago_Pago')::date)`, []string{"1"}},
		{"seconds", "int", "{column: at, unit: s}", `(1, extract(epoch FROM cutoff)::int - 9), (2, extract(epoch FROM cutoff)::int + 9), (3, NULL), (4, 0), (5, -1)`, []string{"1"}},
		{"milliseconds", "bigint", "{column: at, unit: ms}", `(1, (extract(epoch FROM cutoff) * 1000)::bigint - 9999), (2, (extract(epoch FROM cutoff) * 1000)::bigint + 9999), (3, NULL), (4, 0), (5, -1)`, []string{"1"}},
		{"microseconds", "bigint", "{column: at, unit: us}", `(1, (extract(epoch FROM cutoff) * 1000000)::bigint - 9999999), (2, (extract(epoch FROM cutoff) * 1000000)::bigint + 9999999), (4, 0)`, []string{"1"}},
		{"a domain over timestamptz", "moment", "at", `(1, cutoff - interval '1 day'), (2, cutoff + interval '1 day')`, []string{"1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, `CREATE DOMAIN moment AS timestamptz; CREATE TABLE things (id int PRIMARY KEY, at `+c.column+`)`,
				"policies: [{name: things, table: things, age: "+c.age+", tenant: none, retention: 30d}]")
			for _, index := range []string{"(at, id)", "(at)", "(id, at)", "(at DESC, id DESC)"} {
				b.again()
				b.Exec(t, `DELETE FROM things; DROP INDEX IF EXISTS i; CREATE INDEX i ON things `+index)
				b.Exec(t, fmt.Sprintf(`SET TIME ZONE 'Asia/Tokyo'; INSERT INTO things SELECT x.* FROM (SELECT now() - interval '%d seconds') c(cutoff), LATERAL (VALUES %s) x(id, at)`, int(retention.Seconds()), c.rows))
				b.purge().complete()
				b.left(`SELECT id FROM generate_series(1, 10) id WHERE id IN (`+ids(c.rows)+`) AND id NOT IN (SELECT id FROM things) ORDER BY id`, c.gone...)
			}
		})
	}
}

// ids are the numbers at the start of each row of a VALUES list.
func ids(rows string) string {
	var found []string
	for n := 1; n <= 9; n++ {
		if strings.Contains(rows, fmt.Sprintf("(%d, ", n)) {
			found = append(found, fmt.Sprint(n))
		}
	}
	return strings.Join(found, ", ")
}

// Strictly older: an age equal to the cutoff stays, one microsecond earlier is deleted. A
// retention reaching back to a given time makes the cutoff known.
func TestRule_StrictlyOlderThanTheCutoff(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct{ column, age, before, at string }{
		{"timestamptz", "at", "2020-05-05 05:05:04.999999+00", "2020-05-05 05:05:05+00"},
		{"timestamp", "at", "2020-05-05 05:05:04.999999", "2020-05-05 05:05:05"},
		{"timestamp", "{column: at, time_zone: Europe/Paris}", "2020-05-05 07:05:04.999999", "2020-05-05 07:05:05"},
		{"date", "at", "2020-05-04", "2020-05-05"},
		{"bigint", "{column: at, unit: us}", "1588655104999999", "1588655105000000"},
		{"bigint", "{column: at, unit: ms}", "1588655104999", "1588655105000"},
		{"int", "{column: at, unit: s}", "1588655104", "1588655105"},
	} {
		t.Run(c.column+c.age, func(t *testing.T) {
			b := ground.on(t, `CREATE TABLE owners (id int PRIMARY KEY);  INSERT INTO owners VALUES (1);
				CREATE TABLE things (id int PRIMARY KEY, owner int DEFAULT 1, at `+c.column+`)`,
				`{version: 1, tenants: {table: owners, key: id, retention: "age_of(id)"}, policies: [{name: things, table: things, age: `+c.age+`, tenant: owner}]}`)
			b.Exec(t, cutoffAt("2020-05-05 05:05:05+00"))
			for _, index := range []string{"SELECT 1", "CREATE INDEX ON things (owner, at, id)"} {
				b.Exec(t, `DELETE FROM things; INSERT INTO things (id, at) VALUES (1, '`+c.before+`'), (2, '`+c.at+`');`+index)
				b.purge()
				b.left(`SELECT id FROM things`, "2")
			}
		})
	}
}

// Around both clock changes a naive local time is read as PostgreSQL reads it, and the order of
// local times does not hide rows.
func TestRule_DaylightSaving(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, cutoff string
		gone         string // of rows every 15 minutes of local time
	}{
		{"spring, before", "2024-03-31 00:59:00+00", "00:00 00:15 00:30 00:45 01:00 01:15 01:30 01:45"},
		// 02:00 to 02:59 do not exist and are read as 03:00 to 03:59.
		{"spring, after", "2024-03-31 01:20:00+00", "00:00 00:15 00:30 00:45 01:00 01:15 01:30 01:45 02:00 02:15 03:00 03:15"},
		// 02:00 to 02:59 exist twice and are read as the later ones.
		{"autumn, first hour", "2024-10-27 00:20:00+00", "00:00 00:15 00:30 00:45 01:00 01:15 01:30 01:45"},
		{"autumn, second hour", "2024-10-27 01:20:00+00", "00:00 00:15 00:30 00:45 01:00 01:15 01:30 01:45 02:00 02:15"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, `CREATE TABLE owners (id int PRIMARY KEY);  INSERT INTO owners VALUES (1);
				CREATE TABLE things (id int PRIMARY KEY, owner int DEFAULT 1, at timestamp);`,
				`{version: 1, tenants: {table: owners, key: id, retention: "age_of(id)"}, policies: [{name: things, table: things, age: {column: at, time_zone: Europe/Paris}, tenant: owner, limits: {rows: 3}}]}`)
			b.Exec(t, cutoffAt(c.cutoff))
			for _, index := range []string{"CREATE INDEX i ON things (owner, at, id)", "CREATE INDEX i ON things (owner, at)", "SELECT 1"} {
				b.Exec(t, `DELETE FROM things; DROP INDEX IF EXISTS i;`+index)
				b.Exec(t, `INSERT INTO things (id, at) SELECT n, '`+c.cutoff[:10]+`'::timestamp + n * interval '15 minutes' FROM generate_series(0, 23) n`)
				older := `at AT TIME ZONE 'Europe/Paris' < '` + c.cutoff + `'`
				gone := b.Texts(t, `SELECT to_char(at, 'HH24:MI') FROM things WHERE `+older+` ORDER BY at`)
				if strings.Join(gone, " ") != c.gone {
					t.Errorf("PostgreSQL says %q are older, want %q", gone, c.gone)
				}
				stay := b.Texts(t, `SELECT to_char(at, 'HH24:MI') FROM things WHERE NOT (`+older+`) ORDER BY at`)
				b.purge()
				b.left(`SELECT to_char(at, 'HH24:MI') FROM things ORDER BY at`, stay...)
			}
		})
	}
}

// cutoffAt makes a retention with a known cutoff. now() is the start of the run only in its
// first transaction; the ledger has it in all of them.
func cutoffAt(moment string) string {
	return `CREATE FUNCTION age_of(int) RETURNS interval LANGUAGE sql AS
		$$ SELECT make_interval(secs => extract(epoch FROM coalesce((SELECT max(cutoff_base) FROM reaper.run), now()) - '` + moment + `')) $$`
}

// An integer age in the wrong unit would expire everything, or nothing.
func TestRule_WrongUnitIsRefused(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct{ unit, value string }{{"s", "1700000000000"}, {"ms", "1700000000"}, {"us", "1700000000000"}, {"s", "600000000"}} {
		t.Run(c.unit+c.value, func(t *testing.T) {
			b := ground.on(t, `CREATE TABLE things (id int PRIMARY KEY, at bigint); INSERT INTO things VALUES (1, 0), (2, -5), (3, NULL)`,
				"policies: [{name: things, table: things, age: {column: at, unit: "+c.unit+"}, tenant: none, retention: 30d}]")
			b.Exec(t, `INSERT INTO things VALUES (4, `+c.value+`)`)
			b.refuses("1990-2100", c.value)
		})
	}
}

// The earlier cutoff of --older-than and the retention applies; it never affects held, forever
// or skipped tenants.
func TestRule_OlderThan(t *testing.T) {
	t.Parallel()
	b := prepare(t, owners+`INSERT INTO owners VALUES (1, 7, NULL, false), (2, 50, NULL, false), (3, 7, NULL, true), (4, 0, NULL, false), (5, 7, NULL, false);`+hundredDays,
		ownersPolicy(`, retention: days, hold: held, overrides: {"5": forever}`, ""))
	d, err := policy.ParseDuration("20d")
	if err != nil {
		t.Fatal(err)
	}
	b.opts.OlderThan = &d
	b.purge().is(purge.Incomplete, "4 (zero or absurd)")
	b.left(`SELECT owner || ':' || count(*) FROM things GROUP BY owner ORDER BY owner`, "1:20", "2:50", "3:100", "4:100", "5:100")
	b.count(`SELECT count(*) FROM reaper.run WHERE success`, 0)
}

// --max-rows is a hard limit on roots.
func TestRule_MaxRows(t *testing.T) {
	for _, index := range []string{"SELECT 1", "DROP INDEX things_owner_at_id_idx"} {
		t.Run(index, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, owners+`INSERT INTO owners VALUES (1, 7), (2, 50), (3, 99);`+hundredDays+index, ownersPolicy(`, retention: days`, ""))
			b.opts.MaxRows = 57
			if o := b.purge().is(purge.Incomplete, "--max-rows"); *o.one().BacklogRows != 93+50+1-57 {
				t.Errorf("a backlog of %d rows, want %d", *o.one().BacklogRows, 93+50+1-57)
			}
			b.count(`SELECT count(*) FROM things`, 300-57)
			b.opts.MaxRows = 93 + 50 + 1 - 57
			b.purge().is(purge.Complete)
			b.count(`SELECT count(*) FROM things`, 7+50+99)
			b.opts.MaxRows = 1
			b.purge().is(purge.Complete)
		})
	}
}

// Keys of any type and collation order and find the same rows.
func TestRule_Keys(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, setup string
		columns     string // of the key
		values      string // n → the key, for n from 1 to 40
	}{
		{"bigint", "", "k bigint", "n"},
		{"smallint", "", "k smallint", "n"},
		{"numeric", "", "k numeric(10, 2)", "n / 4.0"},
		{"text", "", "k text", "chr(64 + n) || n"},
		{"odd text", "", "k text", `(ARRAY['', 'NULL', '"', '\', '{', '{}', ',', 'a b', 'ä', '''', '"a"', 'null'])[n % 12 + 1] || CASE WHEN n > 12 THEN n::text ELSE '' END`},
		{"text under ICU", "", `k text COLLATE "en-x-icu"`, "(ARRAY['a','A','ä','b','-b','B'])[n % 6 + 1] || n"},
		{"text under a nondeterministic collation", `CREATE COLLATION lax (provider = icu, locale = 'und-u-ks-level2', deterministic = false);`, `k text COLLATE lax`, "(ARRAY['a','B','ä','c','-d','E'])[n % 6 + 1] || n"},
		{"char(n)", "", "k char(8)", "'k' || n"},
		{"varchar(n)", "", "k varchar(8)", "'k' || n"},
		{"uuid", "", "k uuid", "md5(n::text)::uuid"},
		{"enum", `DO $$ BEGIN EXECUTE 'CREATE TYPE letters AS ENUM (' || (SELECT string_agg(quote_literal('l' || n), ',' ORDER BY md5(n::text)) FROM generate_series(1, 40) n) || ')'; END $$;`, "k letters", "('l' || n)::letters"},
		{"domain", `CREATE DOMAIN code AS text CHECK (VALUE <> '') NOT NULL;`, "k code", "'c' || n"},
		{"domain of a domain", `CREATE DOMAIN code AS int; CREATE DOMAIN codes AS code;`, "k codes", "n"},
		{"date", "", "k date", "'2020-01-01'::date + n"},
		{"timestamptz", "", "k timestamptz", "'2020-01-01'::timestamptz + n * interval '1.000001 s'"},
		{"bytea", "", "k bytea", `decode(md5(n::text), 'hex')`},
		{"float", "", "k float8", "1.0 / n"},
		{"inet", "", "k inet", "('10.0.0.' || n)::inet"},
		{"boolean and bigint", "", "b boolean, k bigint", "n % 2 = 0, n / 2"},
		{"three columns", "", "a text, b uuid, c int", "chr(64 + n % 3), md5((n % 4)::text)::uuid, n"},
		{"the age in the key", "", "at2 timestamptz, k int", "'2020-01-01', n"},
		{"with the tenant", "", "o int, k int", "n % 3, n"},
		{"a column called like one of ours", "", `age int, tenant int, "key" int`, "n, n, n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var names []string
			for _, column := range strings.Split(c.columns, ", ") {
				if name, _, ok := strings.Cut(column, " "); ok && !strings.HasSuffix(name, ")") {
					names = append(names, name)
				}
			}
			keys := strings.Join(names, ", ")
			b := ground.on(t, c.setup+`
				CREATE TABLE owners (id int PRIMARY KEY); INSERT INTO owners VALUES (0), (1), (2);
				CREATE TABLE things (`+c.columns+`, owner int, at timestamptz, n int, PRIMARY KEY (`+keys+`));
				CREATE TABLE parts (`+c.columns+`, id serial PRIMARY KEY, FOREIGN KEY (`+keys+`) REFERENCES things);
				CREATE INDEX ON parts (`+keys+`)`,
				`{version: 1, tenants: {table: owners, key: id, default: 30d}, policies: [{name: things, table: things, age: at, tenant: owner, undecided: delete, limits: {rows: 7}}]}`)
			for _, index := range []string{`SELECT 1`, `CREATE INDEX ON things (owner, at, ` + keys + `)`} {
				b.again()
				b.Exec(t, `DELETE FROM parts; DELETE FROM things;`+index+`;
					INSERT INTO things SELECT `+c.values+`, n % 3, now() - CASE WHEN n % 4 = 0 THEN interval '1 day' ELSE interval '50 days' END, n FROM generate_series(1, 40) n;
					INSERT INTO parts SELECT `+keys+` FROM things, generate_series(1, 2)`)
				b.purge().complete()
				b.left(`SELECT n FROM things ORDER BY n`, "4", "8", "12", "16", "20", "24", "28", "32", "36", "40")
				b.count(`SELECT count(*) FROM parts`, 20)
			}
		})
	}
}

// Tenant keys of any type, and columns that hold them in another type.
func TestRule_KeysOfTenants(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct{ name, setup, key, column, values string }{
		{"uuid", "", "uuid", "uuid", "md5(n::text)::uuid"},
		{"text", "", "text", "text", "'{T,\"' || n"},
		{"text and varchar", "", "text", "varchar(20)", "'t' || n"},
		{"numeric and int", "", "numeric(8, 2)", "int", "n"},
		{"int and bigint", "", "int", "bigint", "n"},
		{"bigint and int", "", "bigint", "int", "n"},
		{"enum", `CREATE TYPE plan AS ENUM ('p3', 'p1', 'p2');`, "plan", "plan", "('p' || n)::plan"},
		{"nondeterministic", `CREATE COLLATION lax (provider = icu, locale = 'und-u-ks-level2', deterministic = false);`, "text COLLATE lax", "text COLLATE lax", "chr((CASE WHEN turn THEN 64 ELSE 96 END) + n)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, c.setup+`
				CREATE TABLE owners (id `+c.key+` PRIMARY KEY, days int, n int);
				INSERT INTO owners SELECT `+strings.ReplaceAll(c.values, "turn", "true")+`, n * 10, n FROM generate_series(1, 3) n;
				CREATE TABLE things (id int PRIMARY KEY, owner `+c.column+`, at timestamptz, n int)`,
				`{version: 1, tenants: {table: owners, key: id, retention: days}, policies: [{name: things, table: things, age: at, tenant: owner, limits: {rows: 7}}]}`)
			for _, index := range []string{`SELECT 1`, `CREATE INDEX ON things (owner, at, id)`} {
				b.again()
				b.Exec(t, `DELETE FROM things;`+index+`;
					INSERT INTO things SELECT d * 3 + n, `+strings.ReplaceAll(c.values, "turn", "d % 2 = 0")+`, now() - d * interval '1 day' - interval '1 hour', n FROM generate_series(1, 3) n, generate_series(0, 49) d`)
				b.opts.Tenants = nil
				o := b.purge().complete()
				b.left(`SELECT n || ':' || count(*) FROM things GROUP BY n ORDER BY n`, "1:10", "2:20", "3:30")
				if c := o.one().Tenants; c.Due != 3 || c.Done != 3 {
					t.Errorf("tenants %+v, want 3 due and done", c)
				}
				// A single tenant, by its key as PostgreSQL prints it.
				b.Exec(t, `UPDATE things SET at = now() - interval '1 year'`)
				b.opts.Tenants = b.Texts(t, `SELECT id::text COLLATE "C" FROM owners WHERE n = 2`)
				b.purge().is(purge.Complete)
				b.left(`SELECT n || ':' || count(*) FROM things GROUP BY n ORDER BY n`, "1:10", "3:30")
			}
		})
	}
}

// A unique key that is nullable, deferrable, partial or an expression does not identify rows.
func TestRule_NoKey(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, index := range []string{
		`CREATE UNIQUE INDEX ON things (k)`,
		`CREATE UNIQUE INDEX ON things (id) WHERE k IS NULL`,
		`CREATE UNIQUE INDEX ON things ((id + 1))`,
		`ALTER TABLE things ADD UNIQUE (id) DEFERRABLE`,
		`CREATE INDEX ON things (id)`,
	} {
		t.Run(index, func(t *testing.T) {
			b := ground.on(t, `CREATE TABLE things (id int NOT NULL, k int, at timestamptz);`+index, "policies: [{name: things, table: things, age: at, tenant: none, retention: 30d}]")
			b.refuses("no key")
			b.Exec(t, `CREATE UNIQUE INDEX ON things (id, at) INCLUDE (k); ALTER TABLE things ALTER at SET NOT NULL; INSERT INTO things VALUES (1, 1, '2020-01-01'), (2, 2, now()), (3, NULL, '2020-01-01')`)
			b.purge().complete()
			b.left(`SELECT id FROM things`, "2")
		})
	}
}

// Names are exact everywhere.
func TestRule_OddNames(t *testing.T) {
	for _, index := range []string{`CREATE INDEX ON "Da.ta"."Task""Run" ("projectId", "created.At", "ID")`, `SELECT 1`} {
		t.Run(index, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, `
				CREATE SCHEMA "Da.ta"; CREATE SCHEMA other;
				CREATE TABLE other."Orgs" ("ID" int PRIMARY KEY, "select" int);
				CREATE TABLE "Da.ta"."Projects" ("ID" int PRIMARY KEY, "Org Id" int REFERENCES other."Orgs");
				CREATE TABLE "Da.ta"."Task""Run" ("ID" int PRIMARY KEY, "projectId" int, "created.At" timestamptz, "order" text);
				CREATE TABLE other."Task""Run" ("ID" serial PRIMARY KEY, "from" int REFERENCES "Da.ta"."Task""Run" ON DELETE CASCADE);
				INSERT INTO other."Orgs" VALUES (1, 30); INSERT INTO "Da.ta"."Projects" VALUES (5, 1);
				INSERT INTO "Da.ta"."Task""Run" VALUES (1, 5, '2020-01-01', 'x'), (2, 5, '2020-01-01', 'y'), (3, 5, now(), 'x');
				INSERT INTO other."Task""Run" ("from") VALUES (1), (2), (3);`+index,
				`version: 1
tenants: {table: other.Orgs, key: ID, retention: '"select"'}
policies:
  - name: odd
    table: '"Da.ta"."Task""Run"'
    age: '"created.At"'
    tenant: ['projectId -> "Da.ta".Projects.ID', Org Id]
    where: '"order" = ''x'''
`)
			b.purge().is(purge.Complete)
			b.left(`SELECT "ID" FROM "Da.ta"."Task""Run" ORDER BY 1`, "2", "3")
			b.left(`SELECT "from" FROM other."Task""Run" ORDER BY 1`, "2", "3")
			b.left(`SELECT table_name || ' ' || rows FROM reaper.deletions ORDER BY 1`, `"Da.ta"."Task""Run" 1`, `other."Task""Run" 1`)
		})
	}
}

// Anything that could hide rows is refused or, if explicitly allowed, ends incomplete without
// looping.
func TestPromise5_TriggersAndRules(t *testing.T) {
	const soft = `CREATE FUNCTION soft() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF OLD.id % 2 = 0 THEN RETURN OLD; END IF; RETURN NULL; END $$;`
	for _, c := range []struct{ name, schema, trap, word, reason string }{
		{"soft delete on the root", shop, soft + `CREATE TRIGGER soft BEFORE DELETE ON mails FOR EACH ROW EXECUTE FUNCTION soft()`, "trigger soft of public.mails", "not deleted"},
		{"soft delete on the root, by hand", noAction, soft + `CREATE TRIGGER soft BEFORE DELETE ON mails FOR EACH ROW EXECUTE FUNCTION soft()`, "trigger soft of public.mails", "not deleted"},
		{"a rule", shop, `CREATE RULE keep AS ON DELETE TO mails WHERE OLD.id % 2 = 1 DO INSTEAD NOTHING`, "rule keep of public.mails", "not deleted"},
		{"a trigger on a dependent", noAction, soft + `CREATE TRIGGER soft BEFORE DELETE ON clicks FOR EACH ROW EXECUTE FUNCTION soft()`, "trigger soft of public.clicks", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			policy := shopPolicy
			if c.schema == noAction {
				policy = ways[1].policy
			}
			b := prepare(t, c.schema+";"+c.trap, policy)
			b.refuses(c.word)
			b.policy = strings.Replace(policy, "age: at,", "age: at, triggers: allow,", 1)
			within(t, 40*time.Second, func() { b.purge().is(purge.Incomplete, c.reason) })
			b.ledgerIsTrue()
			b.count(`SELECT count(*) FROM mails WHERE id > 15`, 5)
			if strings.Contains(c.word, "mails") {
				b.left(`SELECT id FROM mails WHERE id <= 15 ORDER BY id`, "1", "3", "5", "7", "9", "11", "13", "15")
			}
		})
	}
	t.Run("other triggers", func(t *testing.T) {
		t.Parallel()
		b := prepare(t, shop+`;CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
			CREATE TRIGGER a AFTER DELETE ON mails FOR EACH ROW EXECUTE FUNCTION note();
			CREATE TRIGGER b BEFORE UPDATE ON mails FOR EACH ROW EXECUTE FUNCTION note();
			CREATE TRIGGER c BEFORE DELETE ON mails FOR EACH STATEMENT EXECUTE FUNCTION note();
			CREATE TRIGGER d BEFORE DELETE ON mails FOR EACH ROW EXECUTE FUNCTION note(); ALTER TABLE mails DISABLE TRIGGER d`, shopPolicy)
		b.purge().complete()
	})
}
