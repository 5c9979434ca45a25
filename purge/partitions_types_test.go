package purge_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// ageKind is a type of age and its notation.
type ageKind struct{ name, typ, moment, spec string }

var ageKinds = []ageKind{
	{"timestamptz", "timestamptz", "%s", "at"},
	{"timestamp", "timestamp", "(%s AT TIME ZONE 'UTC')", "at"},
	{"timestamp of Paris", "timestamp", "(%s AT TIME ZONE 'Europe/Paris')", "{column: at, time_zone: Europe/Paris}"},
	{"date", "date", "(%s AT TIME ZONE 'UTC')::date", "at"},
	{"date of Kiritimati", "date", "(%s AT TIME ZONE 'Pacific/Kiritimati')::date", "{column: at, time_zone: Pacific/Kiritimati}"},
	{"milliseconds", "bigint", "(extract(epoch FROM %s) * 1000)::bigint", "{column: at, unit: ms}"},
	{"seconds", "int", "extract(epoch FROM %s)::int", "{column: at, unit: s}"},
}

// tenantKind is a path from a row to its tenant. key writes the n-th tenant's key.
type tenantKind struct{ name, typ, key, path, table string }

var tenantKinds = []tenantKind{
	{"int", "int", "%d", "owner", ""},
	{"text", "text", "'tenant %d'", "owner", ""},
	{"uuid", "uuid", "md5('%d')::uuid", "owner", ""},
	{"a path", "int", "%d", "[project, owner]", "CREATE TABLE projects (id int PRIMARY KEY, owner int REFERENCES orgs); INSERT INTO projects SELECT n, 1 + n % 5 FROM generate_series(1, 10) n;"},
	{"none", "int", "%d", "none", ""},
}

// partitionedCase creates a table with a partition for every ten days, most of which hold rows
// of few tenants, and a policy for it.
func partitionedCase(r *rand.Rand, a ageKind, k tenantKind) (schema, policyFile string) {
	var s strings.Builder
	some := func(list ...string) string { return list[r.IntN(len(list))] }
	fmt.Fprintf(&s, "CREATE TABLE orgs (id %s PRIMARY KEY, days int, held bool);\n", k.typ)
	for n := 1; n <= 5; n++ {
		fmt.Fprintf(&s, "INSERT INTO orgs VALUES (%s, %s, %s);\n", fmt.Sprintf(k.key, n), some("15", "25", "40", "70", "NULL"), some("NULL", "false", "false", "false", "true"))
	}
	owner := "owner " + k.typ
	if k.table != "" {
		owner = "project int REFERENCES projects"
		s.WriteString(k.table + "\n")
	}
	fmt.Fprintf(&s, "CREATE TABLE events (id int, %s, at %s, state text, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);\n", owner, a.typ)
	day := func(n int) string {
		return fmt.Sprintf(a.moment, fmt.Sprintf("(date_trunc('day', now()) - interval '%d days')", n))
	}
	for n := range 12 {
		fmt.Fprintf(&s, "DO $$ BEGIN EXECUTE format('CREATE TABLE p%d PARTITION OF events FOR VALUES FROM (%%L) TO (%%L)', %s, %s); END $$;\n", n, day(10*n+9), day(10*n-map[bool]int{true: 3, false: 1}[n == 0]))
		owners := []int{1 + r.IntN(5), 1 + r.IntN(5)}
		for range 10 {
			id := r.IntN(1_000_000_000)
			tenant := owners[r.IntN(2)]
			value := fmt.Sprintf(k.key, tenant)
			if r.IntN(150) == 0 {
				value = "NULL"
			}
			state := some("'sent'", "'sent'", "'sent'", "'sent'", "'sent'", "'sent'", "'sent'", "'sent'", "'sent'", "'sent'", "'sent'", "'queued'", "NULL")
			at := fmt.Sprintf(a.moment, fmt.Sprintf("(date_trunc('day', now()) - interval '%d days' + interval '%d hours')", 10*n+8-r.IntN(9), 1+r.IntN(22)))
			fmt.Fprintf(&s, "INSERT INTO events VALUES (%d, %s, %s, %s) ON CONFLICT DO NOTHING;\n", id, value, at, state)
		}
	}
	if r.IntN(2) == 0 && k.path != "none" {
		fmt.Fprintf(&s, "CREATE INDEX ON events (%s, at, id);\n", map[bool]string{true: "owner", false: "project"}[k.table == ""])
	}
	// No age is within hours of a cutoff, so that a second run has the same result.
	where, hold := some("", "", ", where: state <> 'queued'"), some("", ", hold: held")
	if k.path == "none" {
		return s.String(), fmt.Sprintf("policies: [{name: events, table: events, age: %s, tenant: none, retention: %s%s}]", a.spec, some("15d", "40d", "70d"), where)
	}
	return s.String(), fmt.Sprintf("tenants: {table: orgs, key: id, retention: days, default: 25d%s}\npolicies: [{name: events, table: events, age: %s, tenant: %s%s}]", hold, a.spec, k.path, where)
}

// Dropping partitions whole deletes exactly the rows that batches would delete, and the ledger
// agrees for each tenant: for every type of age and tenant, with and without an index, with
// remaining rows in between.
func TestPartitionDrop_SameAsRowByRow(t *testing.T) {
	t.Parallel()
	for _, a := range ageKinds {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			b := ground(t)
			dropped := 0
			for _, k := range tenantKinds {
				seed := rand.Uint64()
				schema, policyFile := partitionedCase(rand.New(rand.NewPCG(seed, 0)), a, k)
				b.fresh("SET TIME ZONE 'UTC';"+schema, strings.Replace(policyFile, "{name: events,", "{name: events, partitions: delete,", 1))
				b.Exec(t, `CREATE TABLE copy AS SELECT * FROM events`)
				status := b.endsAsItCan().Status
				want := b.remains()
				b.again()
				b.Exec(t, `TRUNCATE events; INSERT INTO events SELECT * FROM copy`)
				b.policy = policyFile
				o := b.endsAsItCan()
				b.ledgerIsTrue()
				if o.one().Strategy != plan.PartitionDrop || o.Status != status {
					t.Errorf("the strategy is %s (%s), the end %s, want %s", o.one().Strategy, o.one().Reason, o.Status, status)
				}
				if got := b.remains(); !slices.Equal(want, got) {
					t.Fatalf("seed %d, %s: rows left and ledger (-row by row, +whole partitions):\n%s\n%s\n%s", seed, k.name, cmp.Diff(want, got), schema, policyFile)
				}
				if total := b.Int(t, `SELECT coalesce(sum(rows), 0)::int FROM reaper.deletions`); o.one().RowsTotal != int64(total) {
					t.Errorf("the report has %d rows, the ledger %d", o.one().RowsTotal, total)
				}
				dropped += len(o.one().Partitions)
			}
			if dropped == 0 {
				t.Error("in all cases together no partition was dropped")
			}
		})
	}
}

// endsAsItCan purges; the case may have skipped tenants.
func (b *bed) endsAsItCan() *outcome {
	b.t.Helper()
	b.connect(b.DSN())
	b.before = nil
	return b.purgeWith(b.plans())
}

// remains returns the remaining rows and the ledger's sums by tenant.
func (b *bed) remains() []string {
	b.t.Helper()
	return b.Texts(b.t, `SELECT id::text FROM events UNION ALL SELECT concat_ws(' ', coalesce(tenant, 'null'), table_name, rows) FROM reaper.deletions ORDER BY 1`)
}

// The end of a range of local times is certain only some hours later, because local time runs
// backwards once a year.
func TestPartitionDrop_LocalTimesNearTheCutoff(t *testing.T) {
	t.Parallel()
	b := ground(t)
	for hours, dropped := range map[int]bool{1: false, 2: false, 4: true} {
		b.fresh(fmt.Sprintf(`
			CREATE TABLE events (id int, at timestamp, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
			DO $$ BEGIN
				EXECUTE format('CREATE TABLE p1 PARTITION OF events FOR VALUES FROM (MINVALUE) TO (%%L)', (now() - interval '10 days %d hours') AT TIME ZONE 'Europe/Paris');
				EXECUTE format('CREATE TABLE p0 PARTITION OF events FOR VALUES FROM (%%L) TO (MAXVALUE)', (now() - interval '10 days %[1]d hours') AT TIME ZONE 'Europe/Paris');
			END $$;
			INSERT INTO events SELECT n, (now() - interval '20 days') AT TIME ZONE 'Europe/Paris' FROM generate_series(1, 10) n`, hours),
			"policies: [{name: events, table: events, age: {column: at, time_zone: Europe/Paris}, tenant: none, retention: 240h}]")
		b.connect(b.DSN())
		o := b.purge().complete().rows(map[string]int64{"public.events": 10})
		if got := len(o.one().Partitions) > 0; got != dropped {
			t.Errorf("a range that ended %d hours before the cutoff: dropped %t, want %t", hours, got, dropped)
		}
	}
}

// Names that need quoting, a path over a composite key, and one that mentions the table by
// name.
func TestPartitionDrop_OddNames(t *testing.T) {
	t.Parallel()
	b := prepare(t, `
		CREATE SCHEMA "Odd.one"; CREATE SCHEMA parts;
		CREATE TABLE orgs (id text PRIMARY KEY); INSERT INTO orgs VALUES ('a "b"');
		CREATE TABLE spaces (a int, b text, org text REFERENCES orgs, PRIMARY KEY (a, b)); INSERT INTO spaces VALUES (1, 'x', 'a "b"');
		CREATE TABLE "Odd.one"."Say ""hi""" ("The at" date, id int, sa int, "s b" text, state text, PRIMARY KEY ("The at", id), FOREIGN KEY (sa, "s b") REFERENCES spaces) PARTITION BY RANGE ("The at");
		CREATE TABLE parts."19.99" PARTITION OF "Odd.one"."Say ""hi""" FOR VALUES FROM (MINVALUE) TO ('2000-01-01');
		CREATE TABLE parts."Next" PARTITION OF "Odd.one"."Say ""hi""" FOR VALUES FROM ('2000-01-01') TO (MAXVALUE);
		INSERT INTO "Odd.one"."Say ""hi""" SELECT '1999-01-01', n, 1, 'x', 'k' FROM generate_series(1, 5) n`, `
tenants: {table: orgs, key: id, default: 30d}
policies: [{name: odd, table: '"Odd.one"."Say ""hi"""', age: The at, tenant: [s b, org], where: '"Say ""hi""".state = ''k'' AND id > 0'}]`)
	b.purge().is(purge.Complete).dropped(`parts."19.99"`)
	b.left(`SELECT concat_ws('|', tenant, table_name, rows) FROM reaper.deletions`, `a "b"|"Odd.one"."Say ""hi"""|5`)
}
