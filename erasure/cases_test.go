package erasure_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/internal/dbtest"
)

const orgs = `CREATE TABLE orgs (id text PRIMARY KEY, name text, at timestamptz, closed_at timestamptz, legal bool);
	INSERT INTO orgs VALUES ('anna', 'A', now(), '2001-01-01', false), ('bert', 'B', now(), '2001-01-01', true), ('carl', 'C', now(), NULL, NULL);`

// TestAnotherTenant: a row of another tenant that references one of this tenant's stops the erasure,
// and is named; not even ON DELETE CASCADE takes it along.
func TestAnotherTenant(t *testing.T) {
	db := dbtest.New(t, orgs+`
		CREATE TABLE users (id int PRIMARY KEY, org_id text NOT NULL REFERENCES orgs ON DELETE CASCADE);
		CREATE TABLE docs (id int PRIMARY KEY, org_id text NOT NULL REFERENCES orgs ON DELETE CASCADE, author_id int NOT NULL CONSTRAINT written REFERENCES users ON DELETE CASCADE);
		CREATE TABLE notes (id int PRIMARY KEY, doc_id int NOT NULL REFERENCES docs ON DELETE CASCADE);
		INSERT INTO users VALUES (1, 'anna'), (2, 'anna'), (3, 'bert');
		INSERT INTO docs VALUES (1, 'anna', 1), (2, 'anna', 3), (3, 'bert', 2), (4, 'bert', 3);
		INSERT INTO notes VALUES (1, 1), (2, 2), (3, 3), (4, 4);`)
	conn := dbtest.Connect(t, db.DSN())
	p := settle(t, conn, &section{})
	if _, err := erase(t, conn, p, "anna", 2); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"docs": {"(3,bert,2)", "(4,bert,3)"}, "notes": {"(3,3)", "(4,4)"}, "users": {"(2,anna)", "(3,bert)"},
	}
	got := rows(t, db)
	if left := len(got["orgs"]); left != 3 {
		t.Errorf("%d tenants are left, want 3: a row still references anna", left)
	}
	delete(got, "orgs")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	blockers, err := p.Blockers(t.Context(), conn, "anna")
	if err != nil {
		t.Fatal(err)
	}
	if len(blockers) != 1 || blockers[0].Constraint != "written" || blockers[0].Child.Name() != "public.docs" || blockers[0].Rows != 1 {
		t.Errorf("blockers are %+v, want the one of docs", blockers)
	}
}

// TestCircles: circles without a nullable reference go in one statement, or not at all; others are
// opened first.
func TestCircles(t *testing.T) {
	for name, c := range map[string]struct {
		null string
		err  string
	}{
		"open":   {"", ""},
		"closed": {" NOT NULL", "reference each other in a circle"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t, orgs+`
				CREATE TABLE items (id int PRIMARY KEY, org_id text NOT NULL REFERENCES orgs, next_id int`+c.null+` REFERENCES items DEFERRABLE INITIALLY DEFERRED);
				INSERT INTO items SELECT i, 'anna', CASE i WHEN 20 THEN 1 ELSE i + 1 END FROM generate_series(1, 20) i;
				INSERT INTO items VALUES (21, 'bert', 21);`)
			conn := dbtest.Connect(t, db.DSN())
			p := settle(t, conn, &section{})
			_, err := erase(t, conn, p, "anna", 7)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("got error %v, want %q", err, c.err)
			}
			if c.err != "" {
				if _, err := erase(t, conn, p, "anna", 20); err != nil {
					t.Fatal(err)
				}
			}
			if got := db.Ints(t, "SELECT id FROM items"); !slices.Equal(got, []int{21}) {
				t.Errorf("%v are left, want 21", got)
			}
		})
	}
}

// TestProblems: what stands in the way is named, with a remedy.
func TestProblems(t *testing.T) {
	t.Parallel()
	users := orgs + "CREATE TABLE users (id int PRIMARY KEY, org_id text NOT NULL REFERENCES orgs, email text, code int UNIQUE, born date GENERATED ALWAYS AS (date '2001-01-01') STORED);"
	db := dbtest.New(t)
	conn := dbtest.Connect(t, db.DSN())
	for _, c := range []struct {
		name, setup string
		section     section
		text, fix   string // parts of the problem
	}{
		{"no foreign key", orgs + "CREATE TABLE jobs (id int, org_id text)", section{}, "public.jobs are: no foreign keys lead|jobs.org_id looks like the key of orgs", "{table: public.jobs, owner: org_id}"},
		{"of nobody", orgs + "CREATE TABLE countries (id int)", section{}, "public.countries", "global: [public.countries]"},
		{
			"two tenants", users + "CREATE TABLE mails (id int, sender_id int NOT NULL REFERENCES users, rcpt_id int NOT NULL REFERENCES users)",
			section{},
			"a row of public.mails can belong to two tenants, by rcpt_id -> public.users and by sender_id", "[{table: public.mails}] # its rows go along each of these keys; or with owner: [rcpt_id, org_id]",
		},
		{"only emptied", users + "CREATE TABLE log (id int, user_id int REFERENCES users ON DELETE SET NULL)", section{}, "public.log are|only until ON DELETE empties it", "owner: [user_id, org_id]"},
		{"kept", users, section{tables: []string{"{table: users, action: keep, for: forever, reason: law}"}}, "public.users are kept, and reference the tenant's row (users_org_id_fkey)", "tenant_row: redact"},
		{
			"polymorphic", users + "CREATE TABLE files (id int, record_type text, record_id int); INSERT INTO files VALUES (1, 'User', 1), (2, 'Plan', 1)",
			section{},
			"public.files are whose record_type is Plan, User", `{table: public.files, owner: none, where: 'record_type = ''Plan'''}, {table: public.files, owner: [`,
		},
		{
			"one value", users + "CREATE TABLE files (id int, record_type text, record_id int); INSERT INTO files VALUES (1, 'User', 1), (2, 'Plan', 1)",
			section{tables: []string{`{table: files, owner: [record_id -> users.id, org_id], where: "record_type = 'User'"}`}},
			"record_type is Plan", "owner: none",
		},
		{"unknown table", orgs, section{global: []string{"contries"}}, "there is no table contries", ""},
		{"trigger", users + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER no BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION f()", section{}, "trigger no of public.users runs BEFORE DELETE", "triggers: allow"},
		{"rule", users + "CREATE RULE no AS ON DELETE TO users DO INSTEAD NOTHING", section{}, "rule no of public.users", "DISABLE RULE"},
		{"disabled key", users + "ALTER TABLE users DISABLE TRIGGER ALL", section{}, "users_org_id_fkey of public.users does not act", "ENABLE TRIGGER"},
		{"foreign table", orgs + "CREATE EXTENSION IF NOT EXISTS postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw; CREATE FOREIGN TABLE far (id int) SERVER s", section{}, "public.far is a foreign table", "global: [public.far]"},
		{"redact a key", users, redacting("org_id: \"'x'\""), "public.users.org_id cannot be overwritten: it is part of a foreign key", ""},
		{"redact unique", users, redacting("code: 1"), "part of a unique index", ""},
		{"redact the primary key", users, redacting("id: 1"), "part of the primary key", ""},
		{"redact generated", users, redacting("born: \"NULL\""), "it is generated", ""},
		{"redact by chance", users, redacting("email: \"random()::text\""), "depends on function random()", ""},
		{"redact by time", users, redacting("email: \"now()::text\""), "depends on function now()", ""},
		{"redact by itself", users, redacting("email: \"email || 'x'\""), "depends on email, which is overwritten too", ""},
		{"redact by what is generated from it", orgs + "CREATE TABLE users (id int, org_id text NOT NULL REFERENCES orgs, email text, low text GENERATED ALWAYS AS (lower(email)) STORED)", redacting("email: low"), "depends on low, which is generated", ""},
		{"redact with NULL", orgs + "CREATE TABLE users (id int, org_id text NOT NULL REFERENCES orgs, email text NOT NULL)", redacting("email: \"NULL\""), "it is NOT NULL", ""},
		{
			"redact what references what goes", users + "CREATE TABLE log (id int, user_id int NOT NULL REFERENCES users, ip text)",
			section{tables: []string{`{table: log, action: redact, set: {ip: "NULL"}}`}},
			"public.log are redacted and stay, but reference rows of public.users", "redact rows of public.users too",
		},
	} {
		db.Exec(t, "DROP SCHEMA public CASCADE; DROP SERVER IF EXISTS s CASCADE; CREATE SCHEMA public; "+c.setup)
		_, problems := compile(t, conn, c.section.file())
		found := errorsOf(problems)
		ok := slices.ContainsFunc(found, func(p planProblem) bool {
			for part := range strings.SplitSeq(c.text, "|") {
				if !strings.Contains(p.Text, part) {
					return false
				}
			}
			return strings.Contains(p.Fix, c.fix)
		})
		if !ok {
			t.Errorf("%s: got %+v, want one of %q and %q", c.name, found, c.text, c.fix)
		}
	}
}

func redacting(set string) section {
	return section{tables: []string{"{table: users, action: redact, set: {" + set + "}}"}, more: []string{"tenant_row: redact", `redact: {name: "'x'"}`}}
}

// TestNewKey: a foreign key that the plan does not know could cascade anywhere, so nothing goes.
func TestNewKey(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, orgs+`CREATE TABLE users (id int PRIMARY KEY, org_id text NOT NULL REFERENCES orgs); INSERT INTO users VALUES (1, 'anna'), (2, 'bert');`)
	conn := dbtest.Connect(t, db.DSN())
	p := settle(t, conn, &section{})
	db.Exec(t, "CREATE TABLE docs (id int, user_id int REFERENCES users ON DELETE CASCADE); INSERT INTO docs VALUES (1, 1)")
	if _, err := erase(t, conn, p, "anna", 5); !errors.Is(err, erasure.ErrSchemaChanged) {
		t.Errorf("got error %v, want %v", err, erasure.ErrSchemaChanged)
	}
	if n := db.Int(t, "SELECT count(*) FROM users") + db.Int(t, "SELECT count(*) FROM docs"); n != 3 {
		t.Errorf("%d rows are left, want 3", n)
	}
}

// TestSilentTrigger: a trigger that keeps rows ends the walk instead of running it for ever.
func TestSilentTrigger(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, orgs+`CREATE TABLE users (id int PRIMARY KEY, org_id text NOT NULL REFERENCES orgs); INSERT INTO users VALUES (1, 'anna');
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER no BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION f();`)
	conn := dbtest.Connect(t, db.DSN())
	p := settle(t, conn, &section{more: []string{"triggers: allow"}})
	if _, err := erase(t, conn, p, "anna", 5); err == nil || !strings.Contains(err.Error(), "public.users are still there") {
		t.Errorf("got error %v, want that rows of users are still there", err)
	}
}

// TestTenant reads what the tenants' table says.
func TestTenant(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, orgs)
	conn := dbtest.Connect(t, db.DSN())
	s := &section{more: []string{"when: closed_at < now()"}}
	text := strings.Replace(s.file(), "key: id}", "key: id, hold: legal}", 1)
	p, problems := compile(t, conn, text)
	if found := errorsOf(problems); len(found) > 0 {
		t.Fatal(found)
	}
	for key, want := range map[string]erasure.Tenant{
		"anna": {Key: "anna", Exists: true, Due: true},
		"bert": {Key: "bert", Exists: true, Due: true, Held: true},
		"carl": {Key: "carl", Exists: true},
		"dora": {Key: "dora"},
	} {
		got, err := p.Look(t.Context(), conn, key)
		if err != nil || got != want {
			t.Errorf("%s is %+v (%v), want %+v", key, got, err, want)
		}
	}
	due, err := p.Due(t.Context(), conn, "", 10)
	if err != nil || !slices.Equal(due, []string{"anna"}) {
		t.Errorf("due are %v (%v), want anna", due, err)
	}
	for key, want := range map[string]bool{"anna": true, "dora": false} {
		if got, err := p.LockTenant(t.Context(), conn, key, false); err != nil || got != want {
			t.Errorf("locking %s: %v (%v), want %v", key, got, err, want)
		}
	}
}

// TestPropose writes a section that only lacks what nobody can know.
func TestPropose(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, helpdesk)
	conn := dbtest.Connect(t, db.DSN())
	text := propose(t, conn)
	for _, part := range []string{
		"- {table: public.jobs, owner: 'args->>''org_id'''}", "- {table: public.ticket_tags}", "- public.plans", "- public.people", "owner: CHOOSE, where: 'record_type = ''Plan'''",
	} {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in\n%s", part, text)
		}
	}
	db.Exec(t, "DELETE FROM attachments WHERE record_type = 'Plan'")
	text = propose(t, conn)
	file := "version: 1\ntenants: {table: orgs, key: id}\npolicies: [{name: x, table: orgs, age: at, tenant: none, retention: 1d}]\n" + text
	if _, problems := compile(t, conn, file); len(errorsOf(problems)) > 0 {
		t.Errorf("%+v\n%s", errorsOf(problems), file)
	}
	fmt.Fprintln(t.Output(), text)
}

// TestEmptiedOwner: ON DELETE SET NULL of a composite key would empty the column that says whose the row
// is; the row goes before that.
func TestEmptiedOwner(t *testing.T) {
	db := dbtest.New(t, orgs+`
		CREATE TABLE users (id int, org_id text NOT NULL REFERENCES orgs, PRIMARY KEY (org_id, id));
		CREATE TABLE tickets (id int PRIMARY KEY, org_id text REFERENCES orgs, user_id int, FOREIGN KEY (org_id, user_id) REFERENCES users (org_id, id) ON DELETE SET NULL);
		CREATE TABLE replies (id int PRIMARY KEY, ticket_id int NOT NULL REFERENCES tickets);
		INSERT INTO users VALUES (1, 'anna'), (1, 'bert');
		INSERT INTO tickets VALUES (1, 'anna', 1), (2, 'anna', NULL), (3, 'bert', 1);
		INSERT INTO replies VALUES (1, 1), (2, 3);`)
	conn := dbtest.Connect(t, db.DSN())
	if _, err := erase(t, conn, settle(t, conn, &section{}), "anna", 2); err != nil {
		t.Fatal(err)
	}
	got := rows(t, db)
	delete(got, "orgs")
	if diff := cmp.Diff(map[string][]string{"users": {"(1,bert)"}, "tickets": {"(3,bert,1)"}, "replies": {"(2,3)"}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestKeyOfTheRow: a key that equals the tenant's without being the same text is read from its row, as
// SQL of the file compares it as text.
func TestKeyOfTheRow(t *testing.T) {
	db := dbtest.New(t, `CREATE TABLE orgs (id numeric PRIMARY KEY); INSERT INTO orgs VALUES (7.0)`)
	conn := dbtest.Connect(t, db.DSN())
	found, err := settle(t, conn, &section{}).Look(t.Context(), conn, "7")
	if err != nil || !found.Exists || found.Key != "7.0" {
		t.Errorf("%+v, %v", found, err)
	}
}

// TestEmptiedOnPath: a path must not lead through a reference that is emptied in rows that stay, and one
// that would be emptied in rows that go is not before the path has served.
func TestEmptiedOnPath(t *testing.T) {
	db := dbtest.New(t, orgs+`
		CREATE TABLE users (id int PRIMARY KEY, org_id text NOT NULL REFERENCES orgs);
		CREATE TABLE docs (id int PRIMARY KEY, org text, user_id int REFERENCES users ON DELETE SET NULL, body text);
		CREATE TABLE marks (id int PRIMARY KEY, view_id int);
		CREATE TABLE views (id int PRIMARY KEY, doc_id int);
		ALTER TABLE marks ADD FOREIGN KEY (view_id) REFERENCES views;
		INSERT INTO users VALUES (1, 'anna'), (2, 'bert');
		INSERT INTO docs VALUES (1, 'anna', 1, 'a'), (2, 'bert', 2, 'b');
		INSERT INTO views VALUES (1, 1), (2, 2);
		INSERT INTO marks VALUES (1, 1), (2, 2);`)
	conn := dbtest.Connect(t, db.DSN())
	const file = "version: 1\ntenants: {table: orgs, key: id}\npolicies: [{name: x, table: orgs, age: at, tenant: none, retention: 1d}]\nerasure:\n  %s\n"
	const views = "tables: [{table: views, owner: ['doc_id -> docs.id', 'user_id -> users.id', org_id]}"
	for _, refused := range []string{views + "]\n  global: [docs]", views + ", {table: docs, owner: org, action: redact, set: {body: 'NULL'}}]"} {
		_, problems := compile(t, conn, fmt.Sprintf(file, refused))
		if found := errorsOf(problems); len(found) != 1 || !strings.Contains(found[0].Text, "leads through public.docs") {
			t.Errorf("%s: %+v", refused, found)
		}
	}
	p, problems := compile(t, conn, fmt.Sprintf(file, views+", {table: docs, owner: org}]"))
	if found := errorsOf(problems); len(found) > 0 {
		t.Fatalf("%+v", found)
	}
	if _, err := erase(t, conn, p, "anna", 2); err != nil {
		t.Fatal(err)
	}
	got := rows(t, db)
	delete(got, "orgs")
	if diff := cmp.Diff(map[string][]string{"users": {"(2,bert)"}, "docs": {"(2,bert,2,b)"}, "views": {"(2,2)"}, "marks": {"(2,2)"}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestPropose_TwoTenants leaves it to a person whether a message between two tenants goes with either.
func TestPropose_TwoTenants(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, orgs+`CREATE TABLE messages (id int PRIMARY KEY, sender text REFERENCES orgs, recipient text REFERENCES orgs)`)
	if text := propose(t, dbtest.Connect(t, db.DSN())); !strings.Contains(text, "{table: public.messages, owner: CHOOSE}") {
		t.Errorf("messages are decided in\n%s", text)
	}
}
