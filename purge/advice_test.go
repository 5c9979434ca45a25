package purge_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

// advice is what check reports for a policy without errors, each with its remedy.
func (b *bed) advice() (warnings, notes []string) {
	b.t.Helper()
	plans := b.plans()
	before := make([]int, len(plans))
	for i, p := range plans {
		before[i] = len(p.Problems)
	}
	found, err := preview.Advise(b.t.Context(), b.pool, plans)
	if err != nil {
		b.t.Fatal(err)
	}
	for i, p := range plans {
		for _, x := range p.Problems[before[i]:] {
			warnings = append(warnings, x.Text+" => "+x.Fix)
		}
	}
	for _, n := range found {
		notes = append(notes, strings.TrimSuffix(n.Text+" => "+n.Fix, " => "))
	}
	return warnings, notes
}

// warned wants one warning of Advise with these words; without words, none.
func (b *bed) warned(words ...string) {
	b.t.Helper()
	warnings, _ := b.advice()
	if len(words) == 0 && len(warnings) == 0 || len(warnings) == 1 && len(words) > 0 && containsAll(warnings[0], words...) {
		return
	}
	b.t.Errorf("the warnings are %q, want %q", warnings, words)
}

// noted wants a note of Advise with these words.
func (b *bed) noted(words ...string) {
	b.t.Helper()
	_, notes := b.advice()
	if !slices.ContainsFunc(notes, func(n string) bool { return containsAll(n, words...) }) {
		b.t.Errorf("no note says %q; there are %q", words, notes)
	}
}

// projects are two years old and in use: their events are from the last 70 days.
const projects = `
CREATE TABLE organizations (id bigint PRIMARY KEY, spend_threshold numeric);
CREATE TABLE projects (id bigint PRIMARY KEY, organization_id bigint NOT NULL REFERENCES organizations ON DELETE CASCADE, created_at timestamptz NOT NULL);
CREATE INDEX ON projects (organization_id, created_at, id);
CREATE TABLE events (id bigint PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, created_at timestamptz NOT NULL);
CREATE INDEX ON events (project_id, created_at);
CREATE TABLE api_keys (id bigint PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, token text);
CREATE INDEX ON api_keys (project_id);
INSERT INTO organizations SELECT n FROM generate_series(1, 5) n;
INSERT INTO projects SELECT n, n, now() - interval '730 days' FROM generate_series(1, 5) n;
INSERT INTO events SELECT n, 1 + n % 5, now() - (20000 - n) * interval '5 minutes' FROM generate_series(1, 20000) n;
INSERT INTO api_keys SELECT n, n, 'secret' FROM generate_series(1, 5) n;`

const projectsPolicy = `
tenants: {table: organizations, key: id, default: 365d}
policies:
  - {name: projects, table: projects, age: created_at}`

// A policy on projects, which were created long ago and are still in use, passed check silently
// and would have deleted this week's events.
func TestAdvise_YoungerDependents(t *testing.T) {
	t.Parallel()
	b := prepare(t, projects, projectsPolicy)
	b.warned("deleting rows of public.projects takes rows of public.events that are much younger than the retention of 365d: of its newest 200, 200 were created more than half the retention after",
		"(729 days after it on average, 730 days at most)", "=> if rows of public.events are what should expire")
	for _, p := range b.plans() {
		v, err := preview.Look(t.Context(), b.pool, p, plan.Selection{}, false)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(v.Problems, func(x plan.Problem) bool { return strings.Contains(x.Text, "public.events that are much younger") }) {
			t.Errorf("plan does not warn: %v", v.Problems)
		}
	}
}

// The newest rows of a dependent say the same about their roots, however they are found and
// whatever odd ages they have.
func TestAdvise_YoungerBy(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const base = `CREATE TABLE roots (id bigint PRIMARY KEY, at AGE NOT NULL, kind text DEFAULT 'a'); CREATE INDEX ON roots (at, id);
		INSERT INTO roots SELECT n, now() - interval '700 days' FROM generate_series(1, 3000) n;`
	const cascade = `root_id bigint REFERENCES roots ON DELETE CASCADE`
	const fill = ` SELECT n, n, now() - interval '1 day' - n * interval '1 second' FROM generate_series(1, 3000) n`
	for _, c := range []struct {
		name, age, schema, more string // more: of the policy
		words                   []string
	}{
		{"an index on the age", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, "createdAt" timestamptz); CREATE INDEX ON parts ("createdAt"); CREATE INDEX ON parts (root_id); INSERT INTO parts` + fill, "", []string{"newest 200, 200 were", "698 days"}},
		{"an index that descends, with NULLs last", "timestamp", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, inserted_at timestamp); CREATE INDEX ON parts (inserted_at DESC NULLS LAST); CREATE INDEX ON parts (root_id); INSERT INTO parts` + fill, "", []string{"newest 200, 200 were"}},
		{"dates", "date", `CREATE TABLE parts (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), ` + cascade + `, created_on date); CREATE INDEX ON parts (root_id); INSERT INTO parts (root_id, created_on) SELECT n, now() - n * interval '1 hour' FROM generate_series(1, 3000) n`, "", []string{"newest 200, 200 were"}},
		{"a large table without an index on the age", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, created_at timestamptz, filler text) WITH (fillfactor = 10); CREATE INDEX ON parts (root_id); INSERT INTO parts` + strings.Replace(fill, " FROM", ", repeat('x', 300) FROM", 1), "", []string{"newest 200, 200 were"}},
		{"a large table without a growing key", "timestamptz", `CREATE TABLE parts (id text PRIMARY KEY, ` + cascade + `, created_at timestamptz, filler text) WITH (fillfactor = 10); CREATE INDEX ON parts (root_id); INSERT INTO parts` + strings.Replace(fill, " FROM", ", repeat('x', 300) FROM", 1), "", []string{"newest 200, 200 were"}},
		{"partitions", "timestamptz", `CREATE TABLE parts (id bigint, ` + cascade + `, created_at timestamptz, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at); CREATE TABLE p1 PARTITION OF parts DEFAULT; CREATE INDEX ON parts (root_id); INSERT INTO parts` + fill, "", []string{"newest 200, 200 were"}},
		{"behind another, which has no age", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `); CREATE INDEX ON parts (root_id); INSERT INTO parts SELECT n, n FROM generate_series(1, 3000) n;
			CREATE TABLE bits (id bigint PRIMARY KEY, part_id bigint REFERENCES parts, created_at timestamptz); CREATE INDEX ON bits (part_id); INSERT INTO bits` + fill, ", undecided: delete", []string{"takes rows of public.bits"}},
		{"behind another that is warned of", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, created_at timestamptz); CREATE INDEX ON parts (root_id); INSERT INTO parts` + fill + `;
			CREATE TABLE bits (id bigint PRIMARY KEY, part_id bigint REFERENCES parts ON DELETE CASCADE, created_at timestamptz); CREATE INDEX ON bits (part_id); INSERT INTO bits` + fill, "", []string{"takes rows of public.parts"}},
		{
			"declared by match", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, root_id bigint, kind text, created_at timestamptz); CREATE INDEX ON parts (root_id); INSERT INTO parts SELECT n, n, CASE WHEN n % 2 = 0 THEN 'Root' ELSE 'Other' END, now() - interval '1 day' - n * interval '1 second' FROM generate_series(1, 3000) n`,
			`, dependents: [{table: parts, match: {root_id: id}, where: "kind = 'Root'", action: delete}]`,
			[]string{"newest 200, 200 were"},
		},
		{"only of roots that do not expire", "timestamptz", `UPDATE roots SET kind = 'b'; CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, created_at timestamptz); CREATE INDEX ON parts (root_id); INSERT INTO parts` + fill, `, where: "kind = 'a'"`, nil},
		{"kept", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, created_at timestamptz); CREATE INDEX ON parts (root_id); INSERT INTO parts` + fill, ", dependents: [{table: parts, action: keep}]", nil},
		{"an age that counts", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, created_at bigint); CREATE INDEX ON parts (root_id); INSERT INTO parts SELECT n, n, 1700000000 FROM generate_series(1, 3000) n`, "", nil},
		{"NULL, infinity, and what is to come", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, created_at timestamptz); CREATE INDEX ON parts (root_id);
			INSERT INTO parts SELECT n, n, (ARRAY[NULL, 'infinity', '-infinity', now() + interval '1 year', '1970-01-01 00:00+00'])[1 + n % 5] FROM generate_series(1, 3000) n`, "", nil},
		{"roots without an age", "timestamptz", `UPDATE roots SET at = 'infinity'; CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, created_at timestamptz); CREATE INDEX ON parts (root_id); INSERT INTO parts` + fill, "", nil},
		{"a handful", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, created_at timestamptz); CREATE INDEX ON parts (root_id); INSERT INTO parts SELECT n, n, now() - n * interval '1 hour' FROM generate_series(1, 4) n`, "", nil},
		{"ages that were filled in at once", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `); CREATE INDEX ON parts (root_id); INSERT INTO parts SELECT n, n FROM generate_series(1, 3000) n; ALTER TABLE parts ADD created_at timestamptz NOT NULL DEFAULT now()`, "", nil},
		{"few among many", "timestamptz", `CREATE TABLE parts (id bigint PRIMARY KEY, ` + cascade + `, created_at timestamptz); CREATE INDEX ON parts (root_id); INSERT INTO parts SELECT n, n, now() - interval '1 day' * CASE WHEN n <= 19 THEN n ELSE 700 END FROM generate_series(1, 3000) n`, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, strings.Replace(base, "AGE", c.age, 1)+c.schema, "policies: [{name: roots, table: roots, age: at, tenant: none, retention: 365d"+c.more+"}]")
			b.warned(c.words...)
		})
	}
}

// The retention that counts is the shortest in the file except forever, and at least min. One
// known only to SQL is taken as a month.
func TestAdvise_YoungerThanWhat(t *testing.T) {
	t.Parallel()
	b := prepare(t, `CREATE TABLE owners (id int PRIMARY KEY, days int);
		CREATE TABLE things (id int PRIMARY KEY, owner int NOT NULL REFERENCES owners, at timestamptz NOT NULL); CREATE INDEX ON things (owner, at, id);
		CREATE TABLE parts (id int PRIMARY KEY, thing int REFERENCES things ON DELETE CASCADE, at timestamptz NOT NULL); CREATE INDEX ON parts (thing);
		INSERT INTO owners VALUES (1, 10);
		INSERT INTO things SELECT n, 1, now() - interval '100 days' FROM generate_series(1, 50) n;
		INSERT INTO parts SELECT n, n, now() - interval '60 days' - n * interval '1 second' FROM generate_series(1, 50) n`, "")
	for tenants, want := range map[string]string{
		"default: 70d": "retention of 70d",
		"default: 90d": "",
		"default: 90d, overrides: {1: forever, 2: 30d}": "retention of 30d",
		"default: 90d, overrides: {1: 30d}, min: 60d":   "retention of 60d",
		"default: 90d, min: 85d, overrides: {1: 1d}":    "",
		"retention: days":              "retention of 30d",
		"retention: days, default: 1y": "",
		"default: forever":             "",
		"retention: days, default: forever, overrides: {1: 2mo}": "retention of 2mo",
	} {
		b.policy = "tenants: {table: owners, key: id, " + tenants + "}\npolicies: [{name: things, table: things, age: at}]"
		if want == "" {
			b.warned()
		} else {
			b.warned("newest 50, 50 were", want, "39 days after it")
		}
	}
}

// Rows that belong to a mail expire with it: no warning.
func TestAdvise_Mail(t *testing.T) {
	t.Parallel()
	var sql strings.Builder
	for _, name := range []string{"schema.sql", "fill.sql"} {
		text, err := os.ReadFile("../demo/mail/" + name)
		if err != nil {
			t.Fatal(err)
		}
		sql.WriteString(strings.ReplaceAll(string(text), "{{n}}", "2000"))
	}
	policy, err := os.ReadFile("../demo/mail.yaml")
	if err != nil {
		t.Fatal(err)
	}
	b := prepare(t, sql.String(), string(policy))
	b.warned()
	b.noted("deletes from outgoing_emails and 10 tables behind it")
}

// A look that takes too long is abandoned and reported.
func TestAdvise_TakesTooLong(t *testing.T) {
	t.Parallel()
	b := prepare(t, projects, projectsPolicy)
	s := b.session()
	plans := b.plans()
	s.do(`BEGIN; LOCK TABLE events`)
	notes, err := preview.Advise(t.Context(), b.pool, plans)
	if err != nil {
		t.Fatal(err)
	}
	s.do(`ROLLBACK`)
	if !slices.ContainsFunc(notes, func(n preview.Note) bool {
		return strings.HasPrefix(n.Text, "public.events was not compared with its roots")
	}) {
		t.Errorf("the notes are %v", notes)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	b := prepare(t, `
		CREATE TABLE events (id int PRIMARY KEY, at timestamptz); CREATE INDEX ON events (at, id);
		CREATE TABLE lines (id int PRIMARY KEY, event int REFERENCES events ON DELETE CASCADE); CREATE INDEX ON lines (event);
		CREATE TABLE invoices (id int PRIMARY KEY, event int REFERENCES events, line int REFERENCES lines); CREATE INDEX ON invoices (event); CREATE INDEX ON invoices (line);
		CREATE TABLE notes (id int PRIMARY KEY, event int REFERENCES events ON DELETE SET NULL, other int REFERENCES events); CREATE INDEX ON notes (event); CREATE INDEX ON notes (other);
		CREATE TABLE marks (id int PRIMARY KEY, event int DEFAULT 0 REFERENCES events ON DELETE SET DEFAULT); CREATE INDEX ON marks (event)`, "")
	for dependents, want := range map[string]string{
		"": "deletes from events and 3 tables behind it; empties 1 column; sets 1 column to the default",
		", dependents: [{table: invoices, via: event, action: keep}, {table: notes, via: other, action: nullify}]": "deletes from events and 2 tables behind it; keeps invoices; empties 2 columns; sets 1 column to the default",
	} {
		b.policy = "policies: [{name: events, table: events, age: at, tenant: none, retention: 90d, undecided: delete" + dependents + "}]"
		if got := preview.Summary(b.plans()[0]); got != want {
			t.Errorf("with %q the summary is %q, want %q", dependents, got, want)
		}
	}
	b.policy = "policies: [{name: marks, table: notes, age: at, tenant: none, retention: 90d}]"
	b.Exec(t, `ALTER TABLE notes ADD at timestamptz`)
	if got := preview.Summary(b.plans()[0]); got != "deletes from notes" {
		t.Errorf("the summary of one table is %q", got)
	}
}

// A policy whose rows reach no tenant ended as "complete, nothing was due".
func TestUnowned_MostRows(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const schema = `CREATE TABLE owners (id int PRIMARY KEY);
		CREATE TABLE groups (id int PRIMARY KEY, owner int NOT NULL);
		CREATE TABLE things (id int PRIMARY KEY, group_id int, at timestamptz NOT NULL DEFAULT now(), state text DEFAULT 'done', filler text) WITH (fillfactor = 10); CREATE INDEX ON things (group_id, at, id);
		INSERT INTO owners VALUES (1); INSERT INTO groups VALUES (1, 1), (2, 2);`
	const small = `INSERT INTO things SELECT n, CASE WHEN n <= %d THEN 1 WHEN n %% 2 = 0 THEN 2 END FROM generate_series(1, 100) n`
	const large = `INSERT INTO things SELECT n, CASE WHEN n %% 10 < %d THEN 1 ELSE 2 END, now(), 'done', repeat('x', 500) FROM generate_series(1, 4000) n`
	for _, c := range []struct{ name, fill, more, words string }{
		{"most", fmt.Sprintf(small, 49), "", "51 % of the rows reach no tenant and are never deleted (51 of 100)"},
		{"half", fmt.Sprintf(small, 50), "", ""},
		{"none", ``, "", ""},
		{"one", `INSERT INTO things VALUES (1, 2)`, "", "100 % of the rows reach no tenant and are never deleted (1 of 1)"},
		{"most of those that where means", fmt.Sprintf(small, 60) + `; UPDATE things SET state = 'new' WHERE id <= 50`, ", where: state = 'done'", "80 % of the rows"},
		{"none of those that where means", fmt.Sprintf(small, 40) + `; UPDATE things SET state = 'new' WHERE id > 40`, ", where: state = 'done'", ""},
		{"most of a large table", fmt.Sprintf(large, 2), "", "sampled)"},
		{"most of a large partitioned table", `DROP TABLE things; CREATE TABLE things (id int, group_id int, at timestamptz, state text, filler text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
			CREATE TABLE old PARTITION OF things FOR VALUES FROM (MINVALUE) TO ('2020-01-01') WITH (fillfactor = 10); CREATE TABLE new PARTITION OF things DEFAULT WITH (fillfactor = 10);` + fmt.Sprintf(large, 2), "", "sampled)"},
		{"few of a large table", fmt.Sprintf(large, 8), "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, schema+c.fill, `tenants: {table: owners, key: id, default: 30d}
policies: [{name: things, table: things, age: at, tenant: ["group_id -> groups.id", owner]`+c.more+`}]`)
			report := b.purge().complete().one()
			if c.words == "" {
				b.warned()
				if report.Reason != "" {
					t.Errorf("the report says %q", report.Reason)
				}
				return
			}
			b.warned("public.things: ", c.words, "=> see whether the tenant path, things.group_id -> groups.owner -> owners.id, is the right one")
			if !strings.Contains(report.Reason, c.words) || !report.Unowned.Most() {
				t.Errorf("the report says %q (%v)", report.Reason, report.Unowned)
			}
		})
	}
}

// Tenants may come from a query, which a run executes once however many tenants there are.
func TestUnowned_OneQueryARun(t *testing.T) {
	t.Parallel()
	asked := 0
	b := prepare(t, owners+`INSERT INTO owners SELECT n, 30 FROM generate_series(1, 100) n;
		INSERT INTO things (owner, at) SELECT 50 + n % 300, now() FROM generate_series(1, 1000) n`,
		`{version: 1, tenants: {query: "SELECT id, days FROM owners"}, policies: [{name: things, table: things, age: at, tenant: owner}]}`,
		beforeEvery("reaper_m AS MATERIALIZED", func() { asked++ }))
	plans := b.plans()
	b.purgeWith(plans).is(purge.Complete, "79 % of the rows reach no tenant and are never deleted (797 of 1,000)")
	if asked != 1 {
		t.Errorf("a run has sampled %d times", asked)
	}
	b.warned("public.things: 79 % of the rows")
}

// A sample that fails is a note and does not end the run.
func TestUnowned_NotSampled(t *testing.T) {
	t.Parallel()
	b := prepare(t, owners+`INSERT INTO owners VALUES (1, 30); INSERT INTO things (owner, at) SELECT 2, now() FROM generate_series(1, 10) n`,
		ownersPolicy(", retention: days", ", where: 1 / (id - 5) < 2"))
	b.warned()
	b.noted("sampling the tenants of rows of policy things: division by zero")
	if report := b.purge().one(); report.Unowned != nil || report.Status != purge.Complete || report.Reason != "" {
		t.Errorf("the report is %s, %q, %v", report.Status, report.Reason, report.Unowned)
	}
}
