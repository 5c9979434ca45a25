package plan_test

import (
	"strings"
	"testing"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/plantest"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// The whole SQL of representative plans, the statements of a drain included,
// as the builder writes it.
func TestGoldenSQL(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, schema, policy string }{
		{"cascade", `
			CREATE TABLE orgs (id int PRIMARY KEY, days int, held bool);
			CREATE TABLE domains (id int PRIMARY KEY, org_id int REFERENCES orgs);
			CREATE TABLE mails (id bigint PRIMARY KEY, domain_id int REFERENCES domains, at timestamptz, state text);
			CREATE INDEX ON mails (domain_id, at, id);
			CREATE TABLE parts (id bigint PRIMARY KEY, mail_id bigint REFERENCES mails ON DELETE CASCADE);
			CREATE INDEX ON parts (mail_id)`, `
version: 1
tenants: {table: orgs, key: id, retention: days, hold: held, default: 30d, min: 1d, overrides: {"42": forever}}
policies: [{name: mails, table: mails, age: at, tenant: [domain_id, org_id], where: state <> 'queued'}]`},
		{"by_hand", `
			CREATE SCHEMA "Da.ta";
			CREATE TABLE "Da.ta"."Root" (a text COLLATE "C", b uuid, "At" bigint, org uuid, PRIMARY KEY (a, b));
			CREATE TABLE "Da.ta"."Child" (id int PRIMARY KEY, ra text COLLATE "C", rb uuid, up int REFERENCES "Da.ta"."Child" ON DELETE CASCADE,
				FOREIGN KEY (ra, rb) REFERENCES "Da.ta"."Root");
			CREATE TABLE "Da.ta"."Kept" (child int REFERENCES "Da.ta"."Child");
			CREATE TABLE "Da.ta"."Loose" (kind text, ref text, child int REFERENCES "Da.ta"."Child" ON DELETE SET NULL);
			CREATE TABLE "Da.ta"."Orgs" (id uuid PRIMARY KEY)`, `
version: 1
tenants: {table: Da.ta.Orgs, key: id, default: 1y6mo}
policies:
  - name: root
    table: '"Da.ta".Root'
    age: {column: At, unit: ms}
    tenant: org
    dependents: [{table: '"Da.ta".Child', action: delete}, {table: '"Da.ta".Kept', action: keep}, {table: '"Da.ta".Loose', match: {ref: a}, where: kind = 'Root', action: nullify}]`},
		{"together", `
			CREATE TABLE orgs (id int PRIMARY KEY, days int);
			CREATE TABLE domains (id int PRIMARY KEY, org_id int REFERENCES orgs);
			CREATE TABLE mails (id bigint PRIMARY KEY, domain_id int REFERENCES domains, at timestamptz);
			CREATE INDEX ON mails (domain_id, at, id);
			CREATE TABLE parts (id bigint PRIMARY KEY, mail_id bigint REFERENCES mails);
			CREATE INDEX ON parts (mail_id);
			CREATE TABLE views (part_id bigint REFERENCES parts);
			CREATE INDEX ON views (part_id);
			CREATE TABLE drafts (mail_id bigint REFERENCES mails ON DELETE SET NULL);
			CREATE INDEX ON drafts (mail_id)`, `
version: 1
tenants: {table: orgs, key: id, retention: days}
policies: [{name: mails, table: mails, age: at, tenant: [domain_id, org_id], undecided: delete}]`},
		{"query_of_tenants", `
			CREATE TABLE orgs (id text PRIMARY KEY, days int);
			CREATE TABLE logs (id bigint PRIMARY KEY, day date, org text) PARTITION BY HASH (id);
			CREATE TABLE logs_0 PARTITION OF logs FOR VALUES WITH (MODULUS 1, REMAINDER 0);
			CREATE TABLE lines (log bigint REFERENCES logs ON DELETE CASCADE)`, `
version: 1
tenants: {query: "SELECT id, days FROM orgs CROSS JOIN (SELECT) AS besides WHERE id <> ''", default: 30d}
policies: [{name: logs, table: logs, age: {column: day, time_zone: Pacific/Kiritimati}, tenant: org}]`},
		{"redact", `
			CREATE TABLE mails (id bigint PRIMARY KEY, at timestamptz);
			CREATE TABLE audit (id int PRIMARY KEY, mail_id bigint REFERENCES mails, ip inet, "Who" varchar(40) NOT NULL, note text);
			CREATE TABLE lookups (mail text, hint varchar(20))`, `
version: 1
policies:
  - name: mails
    table: mails
    age: at
    tenant: none
    retention: 90d
    dependents: [{table: audit, redact: {ip: "NULL", '"Who"': "coalesce('mail ' || note, 'gone')"}}, {table: lookups, match: {mail: id}, action: redact, redact: {hint: "'gone'"}}]`},
		{"no_tenant", `
			CREATE TABLE events (id int PRIMARY KEY, at timestamp);
			CREATE INDEX ON events (at)`, `
version: 1
policies: [{name: events, table: events, age: {column: at, time_zone: Europe/Paris}, tenant: none, retention: 1mo}]`},
		{"partitions", `
			CREATE TABLE orgs (id uuid PRIMARY KEY, days int, held bool);
			CREATE TABLE domains (id int PRIMARY KEY, org_id uuid REFERENCES orgs);
			CREATE TABLE visits (id bigint, domain_id int REFERENCES domains, at timestamp, state text, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
			CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
			CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)`, `
version: 1
tenants: {table: orgs, key: id, retention: days, hold: held}
policies: [{name: visits, table: visits, age: {column: at, time_zone: Europe/Paris}, tenant: [domain_id, org_id], where: state <> 'queued'}]`},
		{"partitions_no_tenant", `
			CREATE TABLE visits (id bigint, at int, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
			CREATE TABLE visits_1 PARTITION OF visits FOR VALUES FROM (MINVALUE) TO (1500000000);
			CREATE TABLE visits_2 PARTITION OF visits FOR VALUES FROM (1500000000) TO (MAXVALUE)`, `
version: 1
policies: [{name: visits, table: visits, age: {column: at, unit: s}, tenant: none, retention: 90d}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			policyFile := strings.Replace(c.policy, "table: Da.ta.Orgs", `table: '"Da.ta".Orgs'`, 1)
			p := plantest.Compile(t, c.schema, policyFile)
			plantest.Golden(t, c.name, preview.SQL(p, plan.Selection{}, `"reaper".cutoff`)+drainSQL(p))
		})
	}
}

// drainSQL are the statements that a root larger than a batch also needs.
func drainSQL(p *plan.Plan) string {
	const key, limit = "KEY", 20000
	var b strings.Builder
	section := func(title string, s *pg.Statement) { b.WriteString("-- " + title + "\n" + s.String() + ";\n\n") }
	one := func(n *plan.Node) *collected.Rows {
		r := collected.NewRows(n)
		refs := make([]*string, len(n.Refs))
		for i := range refs {
			refs[i] = new(string)
			*refs[i] = key
		}
		r.Add("0", "(0,0)", refs)
		return r
	}
	for _, e := range p.Edges {
		switch {
		case e.Action.Clears():
			section("drain: empty some references by "+e.Label(), collected.ClearCheckedSQL(e, nil, map[*plan.Node]*collected.Rows{e.Parent: one(e.Parent)}, limit))
		case e.Internal():
			section("drain: lock rows on a cycle by "+e.Label(), collected.LockAtSQL(one(e.Child)))
		case e.Action.Deletes():
			section("drain: count rows behind "+e.Label(), collected.CountBehindSQL(e, one(e.Parent), limit))
			section("drain: delete some rows behind "+e.Label(), collected.DeleteBehindSQL(e, one(e.Parent), limit))
		}
	}
	return b.String()
}
