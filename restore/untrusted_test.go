package restore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/restore"
)

// Whoever can write to the store can write manifests: what they say must not run as SQL.
func TestRestore_Untrusted(t *testing.T) {
	t.Parallel()
	const schema = "CREATE TABLE mails (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE mails_b PARTITION OF mails FOR VALUES IN (1, 2); CREATE TABLE notes (id int PRIMARY KEY, mail int, kind text); CREATE TABLE hit (n int); " +
		"CREATE FUNCTION hit() RETURNS boolean LANGUAGE sql AS 'INSERT INTO public.hit VALUES (1) RETURNING true'; " +
		"INSERT INTO mails VALUES (1), (2); INSERT INTO notes VALUES (1, 1, 'a'), (2, 2, 'a')"
	for name, c := range map[string]struct {
		change func(*archive.Manifest)
		reason string
	}{
		"comparison": {func(m *archive.Manifest) {
			m.Edges[0].Compare = []string{`p."id" OPERATOR(pg_catalog.=) c."mail" AND public.hit()`}
		}, "no comparison of two columns"},
		"cast": {func(m *archive.Manifest) {
			m.Edges[0].Compare = []string{`p."id"::pg_catalog.int4 OPERATOR(pg_catalog.=) c."mail"::"int4" IS NOT NULL AND public.hit()`}
		}, "no comparison of two columns"},
		"condition": {func(m *archive.Manifest) { m.Edges[0].Where = "kind = 'a' AND public.hit()" }, "the policy file does not have"},
		"bound": {func(m *archive.Manifest) {
			m.Partition = &archive.Partition{Name: archive.Name{Schema: "public", Name: "mails_a"}, Parent: m.Root, Bound: "DEFAULT; SELECT public.hit(); COMMIT"}
		}, "a bound of a partition that is none"},
		"bound's literal": {func(m *archive.Manifest) {
			m.Partition = &archive.Partition{Name: archive.Name{Schema: "public", Name: "mails_a"}, Parent: m.Root, Bound: "FOR VALUES IN ('9'); SELECT public.hit(); COMMIT; SELECT ('9')"}
		}, "a bound of a partition that is none"},
		"another table's partition": {func(m *archive.Manifest) {
			m.Partition = &archive.Partition{Name: archive.Name{Schema: "public", Name: "notes_a"}, Parent: archive.Name{Schema: "public", Name: "notes"}, Bound: "DEFAULT"}
		}, "is none of table"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, schema)
			o := f.copy("mails", []edge{{parent: "mails", parentColumn: "id", child: "notes", childColumn: "mail"}},
				[]part{{table: "mails", where: "true", key: "id"}, {table: "notes", where: "true", key: "id"}}, c.change)
			f.Exec(t, "DELETE FROM notes")
			f.Exec(t, "DELETE FROM mails")
			f.list(o, 1, root("1"))
			r, err := f.restore(restore.Options{Conditions: []restore.Condition{{Table: f.name("notes"), SQL: "kind = 'a'"}}})
			f.check(err)
			if len(r.Failed) != 1 || !strings.Contains(r.Failed[0], c.reason) || r.RowsTotal != 0 {
				t.Errorf("report: %+v", r)
			}
			if n := f.Int(t, "SELECT count(*) FROM hit"); n != 0 {
				t.Error("SQL of the manifest was run")
			}
			if n := f.Int(t, "SELECT count(*) FROM mails"); n != 0 {
				t.Errorf("%d mails came back", n)
			}
		})
	}
}

// A condition of the policy file is evaluated under the path that the file's SQL is read under.
func TestRestore_Condition(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "CREATE TABLE mails (id int PRIMARY KEY); CREATE TABLE notes (id int PRIMARY KEY, mail int, kind text); CREATE FUNCTION is_mail(text) RETURNS boolean LANGUAGE sql AS $$SELECT $1 = 'mail'$$; "+
		"INSERT INTO mails VALUES (1), (2); INSERT INTO notes VALUES (1, 1, 'mail'), (2, 1, 'other'), (3, 2, 'mail')")
	o := f.copy("mails", []edge{{parent: "mails", parentColumn: "id", child: "notes", childColumn: "mail", where: "is_mail(kind)"}},
		[]part{{table: "mails", where: "true", key: "id"}, {table: "notes", where: "true", key: "id"}})
	before := f.rows()
	f.Exec(t, "DELETE FROM notes WHERE kind = 'mail'")
	f.Exec(t, "DELETE FROM mails")
	f.list(o, 1, root("1"), root("2"))
	r, err := f.restore(restore.Options{Conditions: []restore.Condition{{Table: f.name("notes"), SQL: "is_mail(kind)", Path: "public"}}})
	f.check(err)
	f.same(before)
	if r.Restored != 2 || !r.Complete() {
		t.Errorf("report: %+v", r)
	}
}

// Rows of PostgreSQL's own tables are none of reaper's.
func TestRestore_Catalog(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "CREATE TABLE mails (id int PRIMARY KEY)")
	own := archive.Name{Schema: "pg_catalog", Name: "pg_description"}
	s, err := f.archive.Begin(archive.Manifest{Run: runID, Policy: "p", Root: own, RootKey: []string{"objoid"}, Started: time.Now()})
	f.check(err)
	defer s.Discard()
	w, err := s.Table(archive.Table{Name: own, Kind: archive.Deleted, Columns: []archive.Column{{Name: "objoid", Type: "oid"}, {Name: "classoid", Type: "oid"}, {Name: "objsubid", Type: "integer"}, {Name: "description", Type: "text"}}})
	f.check(err)
	_, err = w.Write([]byte("1\t1\t1\tx\n"))
	f.check(err)
	o, err := s.Send(t.Context())
	f.check(err)
	f.list(o, 1, root("1"))
	r, err := f.restore(restore.Options{Tables: []archive.Name{own}})
	f.check(err)
	if len(r.Failed) != 1 || !strings.Contains(r.Failed[0], "PostgreSQL's own") {
		t.Errorf("report: %+v", r)
	}
}

// Rows come back only to tables of the policy file's plans: a manifest may name any other.
func TestRestore_OtherTable(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "CREATE TABLE mails (id int PRIMARY KEY); CREATE TABLE admins (id int PRIMARY KEY, mail int); INSERT INTO mails VALUES (1), (2); INSERT INTO admins VALUES (1, 1)")
	o := f.copy("mails", []edge{{parent: "mails", parentColumn: "id", child: "admins", childColumn: "mail"}},
		[]part{{table: "mails", where: "true", key: "id"}, {table: "admins", where: "true", key: "id"}})
	before := f.rows()
	f.Exec(t, "DELETE FROM admins; DELETE FROM mails")
	f.list(o, 1, root("1"), root("2"))
	mails := []archive.Name{f.name("mails")}
	found, err := restore.Select(t.Context(), f.archive, restore.Selection{Run: runID}, nil)
	f.check(err)
	err = restore.Check(t.Context(), f.archive, f.Pool(t), found.Chosen, restore.Options{Tables: mails})
	if err == nil || !strings.Contains(err.Error(), `"admins"`) || !strings.Contains(err.Error(), "--allow-table") {
		t.Errorf("the check says %v", err)
	}
	r, err := f.restore(restore.Options{Tables: mails})
	f.check(err)
	if len(r.Failed) != 1 || r.RowsTotal != 0 || f.Int(t, "SELECT count(*) FROM mails") != 0 {
		t.Errorf("report: %+v", r)
	}
	c, err := f.archive.Fetch(t.Context(), o)
	f.check(err)
	f.check(restore.Load(t.Context(), f.Pool(t), c)) // it leaves nothing
	f.check(c.Close())
	if _, err := f.restore(restore.Options{Tables: mails, Into: "look"}); err != nil {
		t.Error(err)
	}
	r, err = f.restore(restore.Options{Tables: append(mails, f.name("admins"))})
	f.check(err)
	if !r.Complete() {
		t.Errorf("report: %+v", r)
	}
	f.Exec(t, "DROP SCHEMA look CASCADE")
	f.same(before)
}
