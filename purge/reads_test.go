package purge_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// office keeps accounts that no role may read; only views lead to them.
const office = `
CREATE SCHEMA vault; CREATE SCHEMA crm; CREATE SCHEMA fn;
CREATE TABLE vault.accounts (id int PRIMARY KEY, plan text, secret text); INSERT INTO vault.accounts VALUES (1, 'short'), (2, 'long'), (3, 'short');
CREATE TABLE vault.limits (account int PRIMARY KEY, days int, secret text); INSERT INTO vault.limits VALUES (1, 10);
CREATE TABLE crm.holds (account int); INSERT INTO crm.holds VALUES (3);
CREATE VIEW crm.accounts AS SELECT id, plan FROM vault.accounts;
CREATE VIEW crm.inner_limits AS SELECT account, days FROM vault.limits;
CREATE VIEW crm.limits AS SELECT * FROM crm.inner_limits;
CREATE FUNCTION fn.days(plan text) RETURNS int LANGUAGE sql IMMUTABLE AS $$SELECT CASE plan WHEN 'short' THEN 20 ELSE 90 END$$;
REVOKE ALL ON FUNCTION fn.days(text) FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC;
CREATE TABLE public.things (id int PRIMARY KEY, account int, at timestamptz); CREATE INDEX ON things (account, at, id);
INSERT INTO things SELECT n, 1 + n % 3, now() - interval '30 days' FROM generate_series(1, 9) n; `

const officePolicy = `
tenants: {query: "SELECT a.id, coalesce(l.days, fn.days(a.plan)), EXISTS (SELECT FROM crm.holds h WHERE h.account = a.id) FROM crm.accounts a LEFT JOIN crm.limits l ON l.account = a.id"}
policies: [{name: things, table: public.things, age: at, tenant: account}]`

// checks returns the errors that a check finds.
func (b *bed) checks() (errors []string) {
	b.t.Helper()
	plans := b.compile()
	if err := preview.CheckTenantLists(b.t.Context(), b.pool, plans); err != nil {
		b.t.Fatal(err)
	}
	for _, p := range plans {
		for _, x := range p.Problems {
			if x.Level == plan.LevelError {
				errors = append(errors, x.Text+" => "+x.Fix)
			}
		}
	}
	return errors
}

// The privileges that grants prints cover what SQL of the policy file reads, by PostgreSQL's
// rules: a view, and the tables below it only if the view is security_invoker, even behind
// another view. None can be omitted.
func TestRule_GrantsCoverWhatSQLOfTheFileReads(t *testing.T) {
	const invoker = `ALTER VIEW crm.inner_limits SET (security_invoker = on); `
	table := func(settings string) string {
		return "tenants: {table: crm.accounts, key: id" + settings + "}\npolicies: [{name: things, table: public.things, age: at, tenant: account}]"
	}
	query := []string{
		`USAGE ON SCHEMA "crm"`, `USAGE ON SCHEMA "fn"`, `SELECT ON "crm"."accounts"`, `SELECT ON "crm"."holds"`, `SELECT ON "crm"."limits"`,
		`EXECUTE ON ROUTINE fn.days(plan text)`,
	}
	for _, c := range []struct {
		name, schema, policy string
		since                int // version
		want                 []string
		left                 string
	}{
		{"a query", office, officePolicy, 14, query, "2,3"},
		{"a query, a view that is invoked below another", office + invoker, officePolicy, 15, slices.Insert(slices.Clone(query), 5, `SELECT ON "vault"."limits"`), "2,3"},
		{"a query, a materialized view", strings.ReplaceAll(office, "VIEW crm.limits", "MATERIALIZED VIEW crm.limits"), officePolicy, 14, query, "2,3"},
		{"a query over a table with other names", office + `ALTER SCHEMA crm RENAME TO "C r""m"`, strings.ReplaceAll(officePolicy, `crm.`, `\"C r\"\"m\".`), 14, strings.Split(strings.ReplaceAll(strings.Join(query, "|"), `"crm"`, `"C r""m"`), "|"), "2,3"},
		{"a view", office, table(", retention: 20d"), 14, []string{`USAGE ON SCHEMA "crm"`, `SELECT ON "crm"."accounts"`}, ""},
		{
			"a view, invoked", office + `ALTER VIEW crm.accounts SET (security_invoker)`, table(", retention: fn.days(plan)"), 15,
			[]string{`USAGE ON SCHEMA "crm"`, `USAGE ON SCHEMA "fn"`, `SELECT ON "crm"."accounts"`, `SELECT ON "vault"."accounts"`, `EXECUTE ON ROUTINE fn.days(plan text)`},
			"2",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, "SELECT 1", c.policy)
			if b.Int(t, `SELECT current_setting('server_version_num')::int / 10000`) < c.since {
				return // no security_invoker views in that version
			}
			b.Exec(t, c.schema)
			role := b.Role(t, "reaper")
			var got []string
			for _, grant := range plan.Grants(b.plans(), role) {
				privilege, granted := strings.CutPrefix(grant, "GRANT ")
				if on, _, _ := strings.Cut(privilege, ` TO "`); granted && !strings.Contains(on, `"public"`) {
					got = append(got, on)
				}
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("grants, but for those on public (-want +got):\n%s", d)
			}
			b.Exec(t, strings.Join(b.grantsFor(role), "\n"))
			b.connect(b.As(role))
			if found := b.checks(); len(found) > 0 {
				t.Fatalf("with all that grants prints: %q", found)
			}
			for _, grant := range got {
				b.Exec(t, `REVOKE `+grant+` FROM `+role)
				found := strings.Join(b.checks(), "\n")
				if !strings.Contains(found, "GRANT "+grant+" TO ") {
					t.Errorf("without %s the check says %q", grant, found)
				}
				b.Exec(t, `GRANT `+grant+` TO `+role)
			}
			b.purge().complete()
			b.left(`SELECT coalesce(string_agg(DISTINCT account::text, ',' ORDER BY account::text), '') FROM things`, c.left)
		})
	}
}

// Privileges on the columns that a query reads are enough; if no view can be made of the query,
// grants says what it does not know.
func TestRule_GrantsOfColumnsAndOfUnknownReads(t *testing.T) {
	t.Parallel()
	b := prepare(t, office, officePolicy)
	role := b.Role(t, "reaper")
	b.Exec(t, strings.Join(b.grantsFor(role), "\n"))
	b.Exec(t, `REVOKE SELECT ON crm.accounts FROM `+role+`; GRANT SELECT (id, plan) ON crm.accounts TO `+role)
	b.connect(b.As(role))
	if found := b.checks(); len(found) > 0 {
		t.Errorf("with SELECT on the columns: %q", found)
	}
	b.Exec(t, `REVOKE SELECT (plan) ON crm.accounts FROM `+role)
	if found := b.checks(); len(found) == 0 || !containsAll(found[0], "lacks SELECT on crm.accounts") {
		t.Errorf("without SELECT on a column: %q", found)
	}
	b.Exec(t, `REVOKE TEMPORARY ON DATABASE `+b.Name()+` FROM PUBLIC; GRANT SELECT ON crm.accounts TO `+role)
	if grants := strings.Join(plan.Grants(b.plans(), role), "\n"); !containsAll(grants, "-- the tables that tenants.query reads are unknown") {
		t.Errorf("without TEMPORARY grants prints %s", grants)
	}
}

// Functions not executable by PUBLIC are granted and checked wherever SQL of the file calls
// them.
func TestRule_GrantsOfFunctions(t *testing.T) {
	t.Parallel()
	b := prepare(t, office, strings.Replace(officePolicy, "tenant: account", "tenant: account, where: fn.days('short') + id > 1", 1))
	role := b.Role(t, "reaper")
	b.Exec(t, strings.Join(b.grantsFor(role), "\n"))
	b.connect(b.As(role))
	b.plans()
	b.Exec(t, `REVOKE EXECUTE ON FUNCTION fn.days FROM `+role)
	want := []string{"role " + role + " lacks EXECUTE on fn.days(plan text) => GRANT EXECUTE ON ROUTINE fn.days(plan text) TO \"" + role + `";`}
	if d := cmp.Diff(want, b.problems(plan.LevelError)); d != "" {
		t.Errorf("errors (-want +got):\n%s", d)
	}
}

// A step of the tenant path needs USAGE on its schema too.
func TestRule_GrantsOfThePathAreChecked(t *testing.T) {
	t.Parallel()
	b := prepare(t, `CREATE SCHEMA far; CREATE TABLE orgs (id int PRIMARY KEY); INSERT INTO orgs VALUES (1);
		CREATE TABLE far.projects (id int PRIMARY KEY, org int NOT NULL REFERENCES orgs); CREATE TABLE things (id int PRIMARY KEY, project int NOT NULL REFERENCES far.projects, at timestamptz)`,
		"tenants: {table: orgs, key: id, default: 30d}\npolicies: [{name: things, table: things, age: at}]")
	role := b.Role(t, "reaper")
	b.Exec(t, strings.Join(b.grantsFor(role), "\n"))
	b.connect(b.As(role))
	b.plans()
	b.Exec(t, `REVOKE USAGE ON SCHEMA far FROM `+role)
	b.refuses("may not use schema far", `GRANT USAGE ON SCHEMA "far"`)
}
