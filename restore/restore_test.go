package restore_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/restore"
)

// A schema with what makes restoring hard: a cycle, a self-reference, composite keys, generated and
// identity columns, rows without a key, and references that are emptied.
const hard = `
CREATE TABLE mails (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, at timestamptz NOT NULL DEFAULT now(), subject text,
	upper text GENERATED ALWAYS AS (upper(subject)) STORED, parent bigint REFERENCES mails ON DELETE CASCADE, latest bigint);
CREATE TABLE versions (id bigint PRIMARY KEY, mail bigint NOT NULL REFERENCES mails);
ALTER TABLE mails ADD FOREIGN KEY (latest) REFERENCES versions;
CREATE TABLE lines (mail bigint NOT NULL REFERENCES mails, n int, body text, PRIMARY KEY (mail, n));
CREATE TABLE notes (mail bigint NOT NULL REFERENCES mails, body text);
CREATE TABLE marks (line_mail bigint, line_n int, label text, FOREIGN KEY (line_mail, line_n) REFERENCES lines);
CREATE TABLE threads (id bigint PRIMARY KEY, last bigint REFERENCES mails ON DELETE SET NULL, first bigint DEFAULT 0 REFERENCES mails ON DELETE SET DEFAULT);
INSERT INTO mails (id, subject, parent) OVERRIDING SYSTEM VALUE VALUES (0, 'nothing', NULL), (1, 'one', NULL), (2, NULL, 1), (3, '', 2), (4, E'tab\t\\N', NULL), (5, 'five', NULL), (6, 'six', NULL);
INSERT INTO versions VALUES (10, 1), (11, 1), (40, 4), (50, 5);
UPDATE mails SET latest = 11 WHERE id = 1; UPDATE mails SET latest = 40 WHERE id = 4;
INSERT INTO lines VALUES (1, 1, 'a'), (1, 2, NULL), (2, 1, E'\\.'), (4, 1, E'x\ny'), (5, 1, 'five'), (6, 1, 'six');
INSERT INTO notes VALUES (1, 'same'), (1, 'same'), (1, 'other'), (4, NULL), (6, 'six');
INSERT INTO marks VALUES (1, 1, 'm'), (1, 1, 'm'), (4, 1, 'n'), (6, 1, 's');
INSERT INTO threads VALUES (100, 1, 1), (101, 4, 4), (102, 5, 5), (103, 2, 6)`

var hardEdges = []edge{
	{parent: "mails", parentColumn: "id", child: "mails", childColumn: "parent"},
	{parent: "mails", parentColumn: "id", child: "versions", childColumn: "mail"},
	{parent: "versions", parentColumn: "id", child: "mails", childColumn: "latest"},
	{parent: "mails", parentColumn: "id", child: "lines", childColumn: "mail"},
	{parent: "mails", parentColumn: "id", child: "notes", childColumn: "mail", where: "notes.body IS DISTINCT FROM 'never'"},
	{parent: "lines", parentColumn: "mail,n", child: "marks", childColumn: "line_mail,line_n"},
	{parent: "mails", parentColumn: "id", child: "threads", childColumn: "last", emptied: []string{"last"}},
	{parent: "mails", parentColumn: "id", child: "threads", childColumn: "first", emptied: []string{"first"}},
}

var zero = "0"

// hardParts are roots 1, 4, 5 and 6, and what goes with them.
func hardParts() []part {
	return []part{
		{table: "mails", where: "id > 0", key: "id"},
		{table: "versions", where: "true", key: "id"},
		{table: "lines", where: "true", key: "mail,n"},
		{table: "notes", where: "true"},
		{table: "marks", where: "true"},
		{table: "threads", where: "last IS NOT NULL", key: "id", columns: []string{"id", "last"}, emptied: []archive.Left{{Column: "last"}}},
		{table: "threads", where: "first <> 0", key: "id", columns: []string{"id", "first"}, emptied: []archive.Left{{Column: "first", Value: &zero}}},
	}
}

// deleteMails deletes roots and what goes with them.
const deleteMails = `WITH RECURSIVE gone AS (SELECT id FROM mails WHERE id = ANY ($1::bigint[]) UNION SELECT m.id FROM mails m JOIN gone ON m.parent = gone.id),
	c1 AS (DELETE FROM marks WHERE line_mail IN (SELECT id FROM gone)), c2 AS (DELETE FROM lines WHERE mail IN (SELECT id FROM gone)),
	c3 AS (DELETE FROM notes WHERE mail IN (SELECT id FROM gone)), c4 AS (DELETE FROM versions WHERE mail IN (SELECT id FROM gone))
	DELETE FROM mails WHERE id IN (SELECT id FROM gone)`

func TestRestore(t *testing.T) {
	t.Parallel()
	f := newFixture(t, hard)
	before := f.rows()
	o := f.copy("mails", hardEdges, hardParts())
	f.Exec(t, deleteMails, []int64{1, 4})
	f.Exec(t, deleteMails, []int64{5})
	f.list(o, 1, root("1"), root("4"))
	f.list(o, 2, root("5"))
	// Root 6 was copied and lived on: it changes, and loses what must not come back.
	f.Exec(t, "UPDATE mails SET subject = 'lived' WHERE id = 6")
	f.Exec(t, "DELETE FROM marks WHERE label = 's'")
	f.Exec(t, "UPDATE threads SET first = 0 WHERE id = 103")
	before["mails"][slices.IndexFunc(before["mails"], func(s string) bool { return strings.Contains(s, "six") })] = f.Text(t, "SELECT m::text FROM mails m WHERE id = 6")
	before["marks"] = slices.DeleteFunc(before["marks"], func(s string) bool { return strings.Contains(s, ",s)") })
	before["threads"] = slices.Concat(before["threads"][:3], []string{"(103,2,0)"})

	r, err := f.restore(restore.Options{})
	f.check(err)
	f.same(before)
	// Roots 1 and 4 share nothing; 2 and 3 go with 1.
	if r.Restored != 3 || r.Present != 0 || !r.Complete() || r.References != 7 || r.Changed != 0 || r.Rows["public.mails"] != 5 || r.Rows["public.notes"] != 4 {
		t.Errorf("report: %+v", r)
	}
	r, err = f.restore(restore.Options{})
	f.check(err)
	f.same(before)
	if r.Restored != 0 || r.Present != 3 || !r.Complete() || r.RowsTotal != 0 || r.References != 0 {
		t.Errorf("again: %+v", r)
	}
}

// What stands against a root keeps all of it from coming back, and nothing else.
func TestRestore_Left(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change string
		left   string // root
		reason string
	}{
		"different":         {"INSERT INTO mails (id, subject) OVERRIDING SYSTEM VALUE VALUES (4, 'new')", "4", "there, and different"},
		"dependent differs": {"INSERT INTO mails (id, subject, at) OVERRIDING SYSTEM VALUE VALUES (9, '', now()); INSERT INTO versions VALUES (40, 9)", "4", "there, and different"},
		"taken":             {"CREATE UNIQUE INDEX ON mails (subject) WHERE subject <> ''; INSERT INTO mails (id, subject) OVERRIDING SYSTEM VALUE VALUES (9, E'tab\\t\\\\N')", "4", "23505"},
		"excluded":          {"ALTER TABLE lines ADD EXCLUDE USING btree (body WITH =); INSERT INTO lines VALUES (6, 2, 'five')", "5", "23P01"},
		"check":             {"ALTER TABLE lines ADD CHECK (body <> E'x\\ny')", "4", "23514"},
		"parent gone":       {"CREATE TABLE labels (label text PRIMARY KEY); INSERT INTO labels VALUES ('m'); ALTER TABLE marks ADD FOREIGN KEY (label) REFERENCES labels NOT VALID", "4", "23503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, hard)
			o := f.copy("mails", hardEdges, hardParts())
			f.Exec(t, deleteMails, []int64{1, 4, 5})
			f.list(o, 1, root("1"), root("4"), root("5"))
			if name == "parent gone" {
				f.Exec(t, "DELETE FROM marks")
			}
			for s := range strings.SplitSeq(c.change, "; ") {
				f.Exec(t, s)
			}
			untouched := f.rows()
			r, err := f.restore(restore.Options{})
			f.check(err)
			if r.Restored != 2 || r.Complete() || len(r.Left) != 1 || !slices.Equal(r.Left[0].Root, []string{c.left}) || !strings.Contains(r.Left[0].Reason, c.reason) {
				t.Fatalf("report: %+v", r)
			}
			for table, column := range map[string]string{"mails": "id", "lines": "mail", "notes": "mail", "versions": "mail", "marks": "line_mail"} {
				if got := f.Int(t, "SELECT count(*) FROM "+table+" WHERE "+column+" = $1", c.left); got != count(untouched[table], c.left, table) {
					t.Errorf("%s of root %s came back: %d", table, c.left, got)
				}
			}
			if n := f.Int(t, "SELECT count(*) FROM lines WHERE mail = 1"); n != 2 {
				t.Errorf("%d lines of root 1", n)
			}
		})
	}
}

// count counts the rows of a root among texts of rows of a table.
func count(rows []string, id, table string) (n int) {
	for _, r := range rows {
		fields := strings.Split(strings.Trim(r, "()"), ",")
		at := 0
		if table == "versions" {
			at = 1
		}
		if fields[at] == id {
			n++
		}
	}
	return n
}

func TestRestore_Narrowed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, hard)
	o := f.copy("mails", hardEdges, hardParts())
	f.Exec(t, deleteMails, []int64{1, 4, 5})
	acme, other := "acme", "other"
	f.list(o, 1, archive.Root{Key: []string{"1"}, Tenant: &acme}, archive.Root{Key: []string{"4"}, Tenant: &other}, archive.Root{Key: []string{"5"}, Tenant: &other})
	ids := func() []int { return f.Ints(t, "SELECT id::int FROM mails WHERE id NOT IN (0, 6) ORDER BY 1") }

	r, err := f.restore(restore.Options{Selection: restore.Selection{Tenants: []string{"other"}, Root: "4"}})
	f.check(err)
	if got := ids(); !slices.Equal(got, []int{4}) || r.Restored != 1 {
		t.Errorf("by root: %v, %+v", got, r)
	}
	r, err = f.restore(restore.Options{Selection: restore.Selection{Tenants: []string{"other"}}})
	f.check(err)
	if got := ids(); !slices.Equal(got, []int{4, 5}) || r.Restored != 1 || r.Present != 1 {
		t.Errorf("by tenant: %v, %+v", got, r)
	}
	found, err := restore.Select(t.Context(), f.archive, restore.Selection{Run: runID, Tenants: []string{"nobody"}}, nil)
	f.check(err)
	if err := found.Check(restore.Selection{Run: runID}); !errors.Is(err, restore.ErrNothing) {
		t.Errorf("of nobody: %v", err)
	}
}

// Without a list nothing comes back.
func TestRestore_Unlisted(t *testing.T) {
	t.Parallel()
	f := newFixture(t, hard)
	o := f.copy("mails", hardEdges, hardParts())
	f.Exec(t, deleteMails, []int64{1})
	for _, s := range []restore.Selection{{Run: runID}, {Run: "unknown"}} {
		found, err := restore.Select(t.Context(), f.archive, s, nil)
		f.check(err)
		if err := found.Check(s); err == nil || len(found.Chosen) > 0 {
			t.Errorf("%+v: %+v, %v", s, found, err)
		}
	}
	// A ledger may know the list.
	found, err := restore.Select(t.Context(), f.archive, restore.Selection{Run: runID}, func(context.Context, string) ([]archive.List, error) {
		return []archive.List{{Run: runID, Policy: "p", Seq: 1, Segment: o, Roots: []archive.Root{root("1")}}}, nil
	})
	f.check(err)
	r, err := restore.Run(t.Context(), f.archive, f.Pool(t), found.Chosen, restore.Options{Conditions: f.conditions, Tables: f.tables})
	f.check(err)
	if r.Restored != 1 || f.Int(t, "SELECT count(*) FROM mails WHERE id IN (1, 2, 3)") != 3 {
		t.Errorf("report: %+v", r)
	}
}

func TestRestore_Triggers(t *testing.T) {
	t.Parallel()
	for name, trigger := range map[string]string{
		"insert": "CREATE TRIGGER send BEFORE INSERT ON lines FOR EACH ROW EXECUTE FUNCTION send()",
		"update": "CREATE TRIGGER send BEFORE UPDATE ON threads FOR EACH ROW EXECUTE FUNCTION send()",
		"rule":   "CREATE RULE send AS ON INSERT TO notes DO ALSO INSERT INTO sent VALUES ('rule')",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, hard)
			o := f.copy("mails", hardEdges, hardParts())
			f.Exec(t, deleteMails, []int64{1})
			f.list(o, 1, root("1"))
			f.Exec(t, "CREATE TABLE sent (what text)")
			f.Exec(t, "CREATE FUNCTION send() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO sent VALUES (TG_OP); RETURN NEW; END'")
			f.Exec(t, trigger)
			before := f.rows()
			_, err := f.restore(restore.Options{})
			if fires, is := errors.AsType[*restore.FiresError](err); !is || !strings.Contains(fires.Error(), "--triggers fire") {
				t.Fatalf("got %v", err)
			}
			f.same(before)
			if name == "rule" {
				return // a statement with several inserts cannot go through such a rule
			}
			r, err := f.restore(restore.Options{Fire: true})
			f.check(err)
			if r.Restored != 1 || f.Int(t, "SELECT count(*) FROM sent") == 0 {
				t.Errorf("report: %+v", r)
			}
		})
	}
}

// References that somebody has set since stay.
func TestRestore_Changed(t *testing.T) {
	t.Parallel()
	f := newFixture(t, hard)
	o := f.copy("mails", hardEdges, hardParts())
	f.Exec(t, deleteMails, []int64{1, 4})
	f.list(o, 1, root("1"), root("4"))
	f.Exec(t, "UPDATE threads SET last = 6 WHERE id = 100")
	f.Exec(t, "DELETE FROM threads WHERE id = 101")
	r, err := f.restore(restore.Options{})
	f.check(err)
	if got := f.Texts(t, "SELECT t::text FROM threads t ORDER BY id"); !slices.Equal(got, []string{"(100,6,1)", "(102,5,5)", "(103,2,6)"}) {
		t.Errorf("threads: %v", got)
	}
	if r.References != 2 || r.Changed != 3 || !r.Complete() {
		t.Errorf("report: %+v", r)
	}
}

func TestRestore_Holds(t *testing.T) {
	t.Parallel()
	f := newFixture(t, hard)
	o := f.copy("mails", hardEdges, hardParts())
	f.Exec(t, deleteMails, []int64{1, 4})
	f.list(o, 1, root("1"), root("4"))
	var held [][]string
	hold := func(_ context.Context, _ pgx.Tx, keys [][]string) error {
		held = append(held, keys...)
		return nil
	}
	options := restore.Options{Holds: []restore.Holds{{Table: f.name("mails"), Columns: []string{"id"}, Hold: hold}}}
	_, err := f.restore(options)
	f.check(err)
	slices.SortFunc(held, slices.Compare)
	if len(held) != 4 || held[0][0] != "1" || held[3][0] != "4" {
		t.Errorf("held: %v", held)
	}
	held = nil
	_, err = f.restore(options)
	f.check(err)
	if len(held) != 0 {
		t.Errorf("what was there was held: %v", held)
	}
}

func TestRestore_Into(t *testing.T) {
	t.Parallel()
	f := newFixture(t, hard)
	before := f.rows()
	o := f.copy("mails", hardEdges, hardParts())
	f.Exec(t, deleteMails, []int64{1})
	f.list(o, 1, root("1"))
	f.Exec(t, "INSERT INTO mails (id, subject) OVERRIDING SYSTEM VALUE VALUES (2, 'taken')")
	living := f.rows()
	r, err := f.restore(restore.Options{Into: "look here"})
	f.check(err)
	f.same(living)
	if got := f.Ints(t, `SELECT id::int FROM "look here".mails ORDER BY 1`); !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("mails: %v", got)
	}
	if got, want := f.Texts(t, `SELECT l::text FROM "look here".lines l ORDER BY 1`), before["lines"][:3]; !slices.Equal(got, want) {
		t.Errorf("lines: %v, want %v", got, want)
	}
	if r.Restored != 1 || !r.Complete() {
		t.Errorf("report: %+v", r)
	}
	if _, err := f.restore(restore.Options{Into: "look here"}); !errors.Is(err, restore.ErrTaken) {
		t.Errorf("again: %v", err)
	}
	if _, err := f.restore(restore.Options{Into: "public"}); !errors.Is(err, restore.ErrTaken) {
		t.Errorf("into public: %v", err)
	}
	f.same(living)
}

// A migration that makes a segment unloadable is named with its column; the others go on.
func TestRestore_Migrated(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "CREATE TYPE state AS ENUM ('new', 'old'); CREATE TABLE things (id int PRIMARY KEY, state state, price numeric(10, 3)); INSERT INTO things VALUES (1, 'new', 1), (2, 'old', 2.125), (3, 'new', 3)")
	for i, key := range []string{"1", "2", "3"} {
		o := f.copy("things", nil, []part{{table: "things", where: "id = " + key, key: "id"}})
		f.list(o, int64(i), root(key))
	}
	f.Exec(t, "DELETE FROM things")
	f.Exec(t, "ALTER TYPE state RENAME VALUE 'old' TO 'ancient'")
	r, err := f.restore(restore.Options{})
	f.check(err)
	if len(r.Failed) != 1 || !strings.Contains(r.Failed[0], "column state") || !strings.Contains(r.Failed[0], f.sent[1].Name) || r.Restored != 2 {
		t.Errorf("report: %+v", r)
	}
	f.Exec(t, "ALTER TYPE state RENAME VALUE 'ancient' TO 'old'")
	f.Exec(t, "ALTER TABLE things ALTER price TYPE numeric(10, 2)")
	r, err = f.restore(restore.Options{})
	f.check(err)
	if r.LeftCount != 1 || !strings.Contains(r.Left[0].Reason, "would come out other than it went") || f.Int(t, "SELECT count(*) FROM things WHERE id = 2") != 0 {
		t.Errorf("report: %+v", r)
	}
	f.Exec(t, "ALTER TABLE things DROP state")
	r, err = f.restore(restore.Options{Selection: restore.Selection{Root: "2"}})
	f.check(err)
	if len(r.Failed) != 1 || !strings.Contains(r.Failed[0], "column \"state\" is gone") {
		t.Errorf("report: %+v", r)
	}
}

// Pieces of a drained root come back after it, each in its own transaction; one whose parent comes
// from a later segment waits for it.
func TestRestore_Pieces(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "CREATE TABLE r (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY, r int NOT NULL REFERENCES r); INSERT INTO r VALUES (1), (2); INSERT INTO c SELECT i, 1 FROM generate_series(1, 10) i; INSERT INTO c VALUES (11, 2)")
	before := f.rows()
	piece := func(m *archive.Manifest) { m.Piece, m.RootKey = []string{"1"}, []string{"id"} }
	for i, where := range []string{"id <= 5", "id BETWEEN 6 AND 10"} {
		o := f.copy("r", nil, []part{{table: "c", where: where, key: "id"}}, piece)
		f.list(o, int64(i), root("1"))
		f.Exec(t, "DELETE FROM c WHERE "+where)
	}
	edges := []edge{{parent: "r", parentColumn: "id", child: "c", childColumn: "r"}}
	o := f.copy("r", edges, []part{{table: "r", where: "true", key: "id"}, {table: "c", where: "true", key: "id"}})
	f.list(o, 2, root("1"), root("2"))
	f.Exec(t, "DELETE FROM c")
	f.Exec(t, "DELETE FROM r")
	r, err := f.restore(restore.Options{})
	f.check(err)
	f.same(before)
	if !r.Complete() || r.RowsTotal != 13 {
		t.Errorf("report: %+v", r)
	}
	// A piece of a root that is there holds it: it has expired, and would go again.
	f.Exec(t, "DELETE FROM c WHERE id = 7")
	var held [][]string
	r, err = f.restore(restore.Options{Holds: []restore.Holds{{Table: f.name("r"), Columns: []string{"id"}, Hold: func(_ context.Context, _ pgx.Tx, keys [][]string) error {
		held = append(held, keys...)
		return nil
	}}}})
	f.check(err)
	f.same(before)
	if r.RowsTotal != 1 || len(held) != 1 || held[0][0] != "1" {
		t.Errorf("held: %v; report: %+v", held, r)
	}
}

// A partition that was dropped whole is made again, with all its rows, of which no list names one.
func TestRestore_Partition(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "CREATE TABLE logs (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); CREATE TABLE logs_a PARTITION OF logs FOR VALUES FROM ('2026-01-01') TO ('2026-02-01'); CREATE TABLE logs_b PARTITION OF logs FOR VALUES FROM ('2026-02-01') TO ('2026-03-01'); INSERT INTO logs SELECT i, '2026-01-02' FROM generate_series(1, 20) i; INSERT INTO logs VALUES (1, '2026-02-02')")
	before := f.rows()
	bound := f.Text(t, "SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'logs_a'")
	o := f.copy("logs", nil, []part{{table: "logs", where: "at < '2026-02-01'", key: "id,at"}}, func(m *archive.Manifest) {
		m.Partition = &archive.Partition{Name: f.name("logs_a"), Parent: f.name("logs"), Bound: bound}
	})
	f.Exec(t, "DROP TABLE logs_a")
	f.check(f.archive.WriteList(t.Context(), o, archive.List{Run: runID, Policy: "p", Seq: 1, All: true}))
	r, err := f.restore(restore.Options{})
	f.check(err)
	f.same(before)
	if n := f.Int(t, "SELECT count(*) FROM logs_a"); n != 20 || r.Restored != 20 || !r.Complete() {
		t.Errorf("%d rows, report %+v", n, r)
	}
}
