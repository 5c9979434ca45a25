package drift_test

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/drift"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/plantest"
)

var hashes = regexp.MustCompile(`[0-9a-f]{32}`)

const tables = `
	CREATE TABLE orgs (id bigint PRIMARY KEY, days int, legal bool);
	CREATE TABLE users (id bigint PRIMARY KEY, org_id bigint NOT NULL REFERENCES orgs);
	CREATE TABLE emails (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users, at timestamptz NOT NULL, status text, note text);
	CREATE TABLE invoices (id bigint PRIMARY KEY, email_id bigint CONSTRAINT invoices_email_id_fkey REFERENCES emails ON DELETE CASCADE);
	CREATE TABLE lines (id bigint PRIMARY KEY, invoice_id bigint REFERENCES invoices);
	CREATE TABLE replies (id bigint PRIMARY KEY, email_id bigint REFERENCES emails ON DELETE SET NULL);
	CREATE TABLE tags (id bigint PRIMARY KEY, kind text, record bigint);
	CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
	CREATE TRIGGER audited AFTER DELETE ON invoices FOR EACH ROW EXECUTE FUNCTION audit();
	CREATE VIEW lasting AS SELECT id, days FROM orgs;
	CREATE FUNCTION days_of(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1';`

const file = `version: 1
tenants: {table: orgs, key: id, retention: days_of(days), default: 30d, min: 7d, overrides: {"42": 90d}}
policies:
  - name: emails
    table: emails
    age: at
    tenant: [user_id, org_id]
    where: status <> 'queued'
    dependents:
      - {table: lines, action: delete}
      - {table: tags, match: {record: id}, where: kind = 'Email', action: delete}
`

// take takes the print of the one policy of a file.
func take(t *testing.T, dsn, text string) *drift.Print {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	taken, err := drift.Take(t.Context(), conn, plantest.CompileAs(t, dsn, text))
	if err != nil {
		t.Fatal(err)
	}
	return taken[0]
}

// Whatever a file's SQL holds, what Lock writes is read again as it was.
func TestLock(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a = 'x'\tAND b", "\n  x\r\n  ", "- x: {y}", "# no", "'\"\\", "ünï\u2028", "", " ", "<<<<<<< HEAD", "null", "1e3", "a\x01b"} {
		p := &drift.Print{Policy: "emails", Root: "public." + text, Version: drift.Version, Server: 15, Facts: []drift.Fact{{What: "policy where", Is: text, Table: text, Keeps: true}}}
		written, err := drift.Lock([]*drift.Print{p})
		if err != nil {
			t.Fatal(err)
		}
		read, err := drift.Unlock("reaper.lock", written)
		if err != nil {
			t.Errorf("%q: %v\n%s", text, err, written)
		} else if diff := cmp.Diff(p, read["emails"]); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// A role that may not make temporary views cannot tell what SQL of the file relies on: no alarm.
func TestUnread(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, tables)
	before := take(t, db.DSN(), file)
	role := db.Role(t, "blind")
	db.Exec(t, `REVOKE TEMPORARY ON DATABASE `+pgx.Identifier{db.Name()}.Sanitize()+` FROM PUBLIC; GRANT USAGE ON SCHEMA public TO `+role+`; GRANT ALL ON ALL TABLES IN SCHEMA public TO `+role)
	after := take(t, db.As(role), file)
	for _, d := range append(drift.Compare(before, after), drift.Compare(after, before)...) {
		if !d.Harmless {
			t.Error(d.Text)
		}
	}
	if !after.Unread || before.Unread {
		t.Errorf("unread: %v, then %v", before.Unread, after.Unread)
	}
}

// texts are the differences, one a line, the harmless ones in brackets.
func texts(all []drift.Difference) string {
	var lines []string
	for _, d := range all {
		if d.Harmless {
			d.Text = "(" + d.Text + ")"
		}
		lines = append(lines, d.Text)
	}
	return strings.Join(lines, "\n")
}

func TestCompare(t *testing.T) {
	t.Parallel()
	edit := func(old, now string) string {
		if !strings.Contains(file, old) {
			t.Fatalf("the file has no %q", old)
		}
		return strings.Replace(file, old, now, 1)
	}
	for name, c := range map[string]struct {
		sql, file string
		want      string
	}{
		"nothing":              {},
		"an index":             {sql: `CREATE INDEX ON emails (at)`},
		"an unused column":     {sql: `ALTER TABLE emails ADD extra text; ALTER TABLE emails DROP note; ALTER TABLE tags ADD tenant int`},
		"an unrelated table":   {sql: `CREATE TABLE other (id int PRIMARY KEY, org bigint REFERENCES orgs)`},
		"another role":         {sql: `CREATE ROLE drift_role; DROP ROLE drift_role; ANALYZE`},
		"limits and schedules": {file: edit("    where:", "    limits: {rows: 10}\n    schedule: \"@daily\"\n    triggers: allow\n    where:")},
		"a new table": {
			sql:  `CREATE TABLE parcels (id bigint PRIMARY KEY, email_id bigint CONSTRAINT parcels_email REFERENCES emails ON DELETE CASCADE)`,
			want: `+ table public.parcels through parcels_email, ON DELETE CASCADE (email_id references public.emails.id)`,
		},
		"a new table that is kept": {
			sql:  `CREATE TABLE parcels (id bigint PRIMARY KEY, email_id bigint CONSTRAINT parcels_email REFERENCES emails)`,
			file: edit("    dependents:", "    dependents:\n      - {table: parcels, action: keep}"),
			want: `(+ table public.parcels through parcels_email, ON DELETE NO ACTION, keep (email_id references public.emails.id))`,
		},
		"another ON DELETE": {
			sql:  `ALTER TABLE replies DROP CONSTRAINT replies_email_id_fkey, ADD FOREIGN KEY (email_id) REFERENCES emails ON DELETE CASCADE`,
			want: `~ table public.replies through replies_email_id_fkey: ON DELETE SET NULL (email_id references public.emails.id), sets email_id → ON DELETE CASCADE (email_id references public.emails.id)`,
		},
		"a key is gone": {
			sql:  `ALTER TABLE invoices DROP CONSTRAINT invoices_email_id_fkey`,
			file: edit("      - {table: lines, action: delete}\n", ""),
			want: "- table public.invoices through invoices_email_id_fkey, ON DELETE CASCADE (email_id references public.emails.id)\n" +
				"- table public.lines through lines_invoice_id_fkey, ON DELETE NO ACTION, delete (invoice_id references public.invoices.id)\n" +
				"- trigger audited of public.invoices: CREATE TRIGGER audited AFTER DELETE ON public.invoices FOR EACH ROW EXECUTE FUNCTION public.audit()\n" +
				"- trigger-function public.audit(): HASH",
		},
		"an edge becomes keep": {
			file: strings.Replace(edit("      - {table: lines, action: delete}\n", ""), "    dependents:", "    dependents:\n      - {table: invoices, action: keep}", 1),
			want: "(~ table public.invoices through invoices_email_id_fkey: ON DELETE CASCADE (email_id references public.emails.id) → ON DELETE CASCADE, keep (email_id references public.emails.id))\n" +
				"(- table public.lines through lines_invoice_id_fkey, ON DELETE NO ACTION, delete (invoice_id references public.invoices.id))\n" +
				"(- trigger audited of public.invoices: CREATE TRIGGER audited AFTER DELETE ON public.invoices FOR EACH ROW EXECUTE FUNCTION public.audit())\n" +
				"(- trigger-function public.audit(): HASH)",
		},
		"a type":     {sql: `DROP VIEW lasting; ALTER TABLE emails ALTER id TYPE numeric`, want: `~ column public.emails.id: bigint → numeric`},
		"where":      {file: edit("status <> 'queued'", "status <> 'sent'"), want: `~ policy where: status <> 'queued' → status <> 'sent'`},
		"no where":   {file: edit("    where: status <> 'queued'\n", ""), want: `- policy where: status <> 'queued'`},
		"match":      {file: edit("kind = 'Email'", "kind <> 'Email'"), want: `~ table public.tags by match (record references public.emails.id): delete where kind = 'Email' → delete where kind <> 'Email'`},
		"longer":     {file: edit("default: 30d", "default: 60d"), want: `(~ tenants default: 30d → 60d)`},
		"shorter":    {file: edit("default: 30d", "default: 29d"), want: `~ tenants default: 30d → 29d`},
		"a month":    {file: edit("default: 30d", "default: 1mo"), want: `~ tenants default: 30d → 1mo`},
		"two months": {file: edit("default: 30d", "default: 2mo"), want: `(~ tenants default: 30d → 2mo)`},
		"forever":    {file: edit(`"42": 90d`, `"42": forever`), want: `(~ tenants override of 42: 90d → forever)`},
		"override":   {file: edit(`"42": 90d`, `"42": 90d, "43": forever, "44": 1y`), want: "+ tenants override of 44: 1y\n(+ tenants override of 43: forever)"},
		"no min":     {file: edit(", min: 7d", ""), want: `- policy min: 7d`},
		"a hold":     {file: edit("key: id,", "key: id, hold: legal,"), want: `(+ tenants hold: legal)`},
		"a constant": {file: edit("retention: days_of(days)", "retention: 10y"), want: "- function public.days_of(integer): HASH\n~ tenants retention: days_of(days) → 10y"},
		"the path": {
			sql:  `ALTER TABLE emails ADD org_id bigint REFERENCES orgs`,
			file: edit("tenant: [user_id, org_id]", "tenant: org_id"),
			want: `~ policy tenant: user_id references public.users.id; public.users.org_id holds the tenant's key → public.emails.org_id holds the tenant's key`,
		},
		"a function": {
			sql:  `CREATE OR REPLACE FUNCTION days_of(int) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1 / 2'`,
			want: `~ function public.days_of(integer): its definition has changed`,
		},
		"an overload": {
			sql:  `CREATE FUNCTION days_of(bigint) RETURNS int LANGUAGE sql STABLE AS 'SELECT 1'; ALTER TABLE orgs ALTER days TYPE bigint`,
			want: "", // set below: the view stands in the way
		},
		"a trigger": {
			sql:  `CREATE TRIGGER more AFTER DELETE ON emails EXECUTE FUNCTION audit(); CREATE TRIGGER inserted AFTER INSERT ON emails EXECUTE FUNCTION audit()`,
			want: `+ trigger more of public.emails: CREATE TRIGGER more AFTER DELETE ON public.emails FOR EACH STATEMENT EXECUTE FUNCTION public.audit()`,
		},
		"a disabled trigger": {
			sql:  `ALTER TABLE invoices DISABLE TRIGGER audited`,
			want: "- trigger audited of public.invoices: CREATE TRIGGER audited AFTER DELETE ON public.invoices FOR EACH ROW EXECUTE FUNCTION public.audit()\n- trigger-function public.audit(): HASH",
		},
		"a trigger's function":        {sql: `CREATE OR REPLACE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM orgs; RETURN NULL; END'`, want: `~ trigger-function public.audit(): its definition has changed`},
		"a shorter min of the policy": {file: edit("    where:", "    min: 1d\n    where:"), want: `~ policy min: 7d → 1d`},
		"a default argument": {
			sql:  `DROP FUNCTION days_of; CREATE FUNCTION days_of(int, int DEFAULT 1) RETURNS int LANGUAGE sql STABLE AS 'SELECT $1'`,
			want: "- function public.days_of(integer): HASH\n+ function public.days_of(integer, integer): HASH",
		},
		"a strict function":  {sql: `ALTER FUNCTION days_of STRICT`, want: `~ function public.days_of(integer): its definition has changed`},
		"a collation":        {sql: `CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false); ALTER TABLE emails ALTER status TYPE text COLLATE folding`, want: `~ column public.emails.status: text → text COLLATE public.folding, which is not deterministic`},
		"another match":      {file: edit("      - {table: tags,", "      - {table: tags, match: {record: id}, where: kind = 'Mail', action: delete}\n      - {table: tags,"), want: `~ table public.tags by match (record references public.emails.id): delete where kind = 'Email' → delete where kind = 'Email'; or delete where kind = 'Mail'`},
		"row-level security": {sql: `ALTER TABLE invoices ENABLE ROW LEVEL SECURITY`, want: `+ row-level security of public.invoices: enabled`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "an overload" {
				c.sql = "DROP VIEW lasting; " + c.sql
				c.want = "~ column public.orgs.days: integer → bigint\n- function public.days_of(integer): HASH\n+ function public.days_of(bigint): HASH"
			}
			db := dbtest.New(t, tables)
			before := take(t, db.DSN(), file)
			if c.sql != "" {
				db.Exec(t, c.sql)
			}
			if c.file == "" {
				c.file = file
			}
			after := take(t, db.DSN(), c.file)
			if diff := cmp.Diff(c.want, hashes.ReplaceAllString(texts(drift.Compare(before, after)), "HASH")); diff != "" {
				t.Error(diff)
			}
			if (c.want == "") != (before.Digest() == after.Digest()) {
				t.Errorf("digests %s and %s", before.Digest(), after.Digest())
			}
		})
	}
}
