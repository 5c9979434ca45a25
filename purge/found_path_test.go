package purge_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// A tenant path that the file omits is reported, in words and as the file would write it. A
// path over a nullable column or of more than two steps used to be accepted silently: rows
// without a value were never deleted, and nobody had reviewed the path. It is now an error at
// the policy's table, with a remedy that passes.
func TestFoundPath(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const accounts = `CREATE TABLE accounts (id int PRIMARY KEY, code text NOT NULL UNIQUE, area int NOT NULL DEFAULT 1, UNIQUE (area, id));`
	const things = `CREATE TABLE things (id int PRIMARY KEY, at timestamptz NOT NULL, `
	for _, c := range []struct {
		name, schema string
		refused      string // why; empty: accepted
		text, yaml   string
	}{
		{"one step", accounts + things + `account_id int NOT NULL REFERENCES accounts)`, "", "things.account_id -> accounts.id", "[account_id]"},
		{
			"two steps", accounts + `CREATE TABLE shops (id int PRIMARY KEY, account_id int NOT NULL REFERENCES accounts);` + things + `shop_id int NOT NULL REFERENCES shops)`, "",
			"things.shop_id -> shops.account_id -> accounts.id", "[shop_id, account_id]",
		},
		{
			"two steps, of which the key of the tenants is one", accounts + things + `account text NOT NULL REFERENCES accounts (code))`, "",
			"things.account -> accounts.id", "[account, id]",
		},
		{
			"names that YAML or the file reads in another way", `CREATE SCHEMA "a.b"; CREATE TABLE "a.b".accounts (id int PRIMARY KEY);` + accounts + `DROP TABLE accounts; ALTER TABLE "a.b".accounts SET SCHEMA public;
			CREATE TABLE "a.b".shops (id int PRIMARY KEY, "none" int NOT NULL REFERENCES accounts);` + things + `"odd.name ""->""" int NOT NULL REFERENCES "a.b".shops)`, "",
			`things."odd.name ""->""" -> "a.b".shops.none -> accounts.id`, `['"odd.name ""->"""', 'none']`,
		},
		{
			"a composite key", accounts + `CREATE TABLE shops (area int, id int, account_id int NOT NULL REFERENCES accounts, PRIMARY KEY (area, id));` + things + `area int NOT NULL, shop_id int NOT NULL, FOREIGN KEY (area, shop_id) REFERENCES shops)`, "",
			"things.shop_id -> shops.account_id -> accounts.id", "[shop_id, account_id]",
		},
		{
			"a composite key to the tenants", accounts + things + `area int NOT NULL, account_id int NOT NULL, FOREIGN KEY (area, account_id) REFERENCES accounts (area, id))`, "",
			"things.account_id -> accounts.id", "[account_id]",
		},
		{
			"a composite key of which one column is another key's", accounts + `CREATE TABLE areas (id int PRIMARY KEY); CREATE TABLE shops (area int, id int, account_id int NOT NULL REFERENCES accounts, PRIMARY KEY (area, id));` +
				things + `area int NOT NULL REFERENCES areas, shop_id int NOT NULL, FOREIGN KEY (area, shop_id) REFERENCES shops)`, "",
			"things.shop_id -> shops.account_id -> accounts.id", "[shop_id, account_id]",
		},
		{
			"a column that leads to two tables", accounts + `CREATE TABLE others (id int PRIMARY KEY); CREATE TABLE shops (id int PRIMARY KEY, account_id int NOT NULL REFERENCES accounts);` +
				things + `shop_id int NOT NULL REFERENCES shops REFERENCES others)`, "",
			"things.shop_id -> shops.account_id -> accounts.id", "['shop_id -> public.shops.id', account_id]",
		},
		{
			"a column that can be NULL", accounts + things + `account_id int REFERENCES accounts)`, "things.account_id can be NULL",
			"things.account_id -> accounts.id", "[account_id]",
		},
		{
			"a step that can be NULL", accounts + `CREATE TABLE "Shops" (id int PRIMARY KEY, "accountId" int REFERENCES accounts);` + things + `shop_id int NOT NULL REFERENCES "Shops")`, "Shops.accountId can be NULL",
			"things.shop_id -> Shops.accountId -> accounts.id", "[shop_id, accountId]",
		},
		{
			"half of a composite key that can be NULL", accounts + `CREATE TABLE shops (area int, id int, account_id int NOT NULL REFERENCES accounts, PRIMARY KEY (area, id));` + things + `area int NOT NULL, shop_id int, FOREIGN KEY (area, shop_id) REFERENCES shops)`, "things.shop_id can be NULL",
			"things.shop_id -> shops.account_id -> accounts.id", "[shop_id, account_id]",
		},
		{
			"three steps", accounts + `CREATE TABLE shops (id int PRIMARY KEY, account_id int NOT NULL REFERENCES accounts); CREATE TABLE orders (id int PRIMARY KEY, "shop" int NOT NULL REFERENCES shops);` + things + `"order" int NOT NULL REFERENCES orders)`,
			"it has more than 2 steps", "things.order -> orders.shop -> shops.account_id -> accounts.id", "[order, shop, account_id]",
		},
		{"a line break in a name", accounts + things + `"account` + "\n" + `id" int REFERENCES accounts)`, "things.account\nid can be NULL", "things.account\nid -> accounts.id", `["account\u000aid"]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, c.schema, "tenants: {table: accounts, key: id, default: 30d}\npolicies:\n  - name: things\n    table: things\n    age: at\n")
			fix := "write tenant: " + c.yaml
			if c.refused != "" {
				errors := b.problems(plan.LevelError)
				if len(errors) != 1 || !containsAll(errors[0], "reaper.yaml:5:12: the inferred tenant path, "+c.text+", must be written in the policy: "+c.refused) || !strings.HasSuffix(errors[0], " => "+fix) {
					t.Errorf("the errors are %q", errors)
				}
				b.policy += "    " + strings.TrimPrefix(fix, "write ") + "\n"
				if got := b.plans()[0].TenantPath(); got == nil || got.Inferred {
					t.Errorf("the pasted path is %+v", got)
				}
				return
			}
			p := b.plans()[0]
			path := p.TenantPath()
			if path == nil || !path.Inferred || path.Text != c.text || path.YAML != c.yaml {
				t.Fatalf("the path is %+v, want %s, %s", path, c.text, c.yaml)
			}
			b.noted("tenant path (inferred): " + c.text + " => " + fix)
			view, err := preview.Look(t.Context(), b.pool, p, plan.Selection{}, true)
			if err != nil || view.TenantPath == nil || !view.TenantPath.Inferred {
				t.Errorf("plan shows the path %+v (%v)", view.TenantPath, err)
			}
			b.policy += "    " + strings.TrimPrefix(fix, "write ") + "\n"
			written := b.plans()[0].TenantPath()
			if written.Inferred || !slices.Equal(written.Columns, path.Columns) {
				t.Errorf("the path reads back as %+v, want %+v", written, path)
			}
		})
	}
}

// Columns of a composite key were joined by +, which is invalid in a policy file.
func TestFoundPath_Several(t *testing.T) {
	t.Parallel()
	b := prepare(t, `CREATE TABLE accounts (area int, id int UNIQUE, PRIMARY KEY (area, id));
		CREATE TABLE things (id int PRIMARY KEY, at timestamptz, area int, buyer int, seller int NOT NULL REFERENCES accounts (id), FOREIGN KEY (area, buyer) REFERENCES accounts)`,
		"tenants: {table: accounts, key: id, default: 30d}\npolicies:\n  - name: things\n    table: things\n    age: at\n")
	errors := b.problems(plan.LevelError)
	want := []string{"reaper.yaml:5:12: several shortest paths lead from public.things to public.accounts: [buyer] or [seller] => write tenant: [buyer] # choose the one that says who owns the rows: [buyer] or [seller]"}
	if diff := cmp.Diff(want, errors); diff != "" {
		t.Errorf("errors (-want +got):\n%s", diff)
	}
	for _, fix := range []string{"tenant: [buyer]", "tenant: [seller]"} {
		policy := b.policy
		b.policy += "    " + fix + "\n"
		b.plans()
		b.policy = policy
	}
}

// A path that cannot be written is not proposed.
func TestFoundPath_Unwritable(t *testing.T) {
	t.Parallel()
	b := prepare(t, `CREATE TABLE accounts (id int PRIMARY KEY); CREATE TABLE areas (id int PRIMARY KEY); CREATE TABLE owners (id int PRIMARY KEY);
		CREATE TABLE shops (area int, owner int, account_id int NOT NULL REFERENCES accounts, PRIMARY KEY (area, owner));
		CREATE TABLE things (id int PRIMARY KEY, at timestamptz, area int REFERENCES areas, owner int REFERENCES owners, FOREIGN KEY (area, owner) REFERENCES shops)`,
		"tenants: {table: accounts, key: id, default: 30d}\npolicies: [{name: things, table: things, age: at}]")
	b.refuses("things.area -> shops.account_id -> accounts.id, must be written", "=> write another path under tenant")
}
