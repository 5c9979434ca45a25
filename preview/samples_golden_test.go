package preview

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/internal/plantest"
)

// The statements that sample rows for check, plan and report, for small and for large tables.
func TestGoldenSamples(t *testing.T) {
	t.Parallel()
	p := plantest.Compile(t, `
		CREATE TABLE orgs (id int PRIMARY KEY, days int);
		CREATE TABLE domains (id int PRIMARY KEY, org_id int REFERENCES orgs);
		CREATE TABLE mails (region text COLLATE "C", id bigint, domain_id int REFERENCES domains, at timestamp, state text, PRIMARY KEY (region, id));
		CREATE INDEX ON mails (domain_id, at, region, id);
		CREATE TABLE parts (id bigint PRIMARY KEY, mail_region text COLLATE "C", mail_id bigint, inserted_at timestamptz NOT NULL, FOREIGN KEY (mail_region, mail_id) REFERENCES mails ON DELETE CASCADE);
		CREATE INDEX ON parts (mail_region, mail_id);
		CREATE INDEX ON parts (inserted_at DESC NULLS LAST);
		CREATE TABLE "Clicks" (id bigint PRIMARY KEY, kind text, part text, "createdOn" date)`, `
version: 1
tenants: {table: orgs, key: id, retention: days, default: 90d}
policies:
  - name: mails
    table: mails
    age: at
    tenant: [domain_id, org_id]
    where: state <> 'queued'
    dependents: [{table: Clicks, parent: parts, match: {part: id}, where: kind = 'Part', action: delete}]`)
	var b strings.Builder
	for _, size := range []string{"small", "large"} {
		fmt.Fprintf(&b, "-- %s tables: rows without a tenant\n%s;\n\n", size, unownedSQL(p))
		for _, way := range pathsUp(p) {
			n := way[0].Child
			own, ok := youngAge(n.Table)
			if !ok {
				t.Fatalf("%s has no age", n.Table.Name)
			}
			fmt.Fprintf(&b, "-- %s tables: the newest rows of %s, and their roots\n%s;\n\n", size, n.Table.Name, youngSQL(p, way, own, shortestRetention(p)))
		}
		for _, n := range p.Nodes {
			n.Table.Bytes = 1 << 30
		}
	}
	plantest.Golden(t, "samples", b.String())
}
