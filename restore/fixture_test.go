package restore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/restore"
)

// fixture is a database, an archive, and what was put into it.
type fixture struct {
	*dbtest.DB
	t       *testing.T
	archive *archive.Archive
	folder  string
	sent    []archive.Object
	// conditions are those of the edges that were copied, as the policy file would have them.
	conditions []restore.Condition
	tables     []archive.Name // that were copied
}

func newFixture(t *testing.T, schema string) *fixture {
	t.Helper()
	folder := t.TempDir()
	a, err := archive.Open(archive.Config{URL: "file://" + folder, Spool: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return &fixture{DB: dbtest.New(t, schema), t: t, archive: a, folder: folder}
}

const runID = "01a22226-run"

// part is what a segment has of one table: rows that satisfy a condition.
type part struct {
	table   string // in public
	where   string
	key     string   // columns, with commas
	columns []string // nil: all that are not generated
	emptied []archive.Left
	ddl     string
}

// edge says which of these went with which.
type edge struct {
	parent, parentColumn, child, childColumn, where string
	emptied                                         []string
}

func (f *fixture) name(table string) archive.Name { return archive.Name{Schema: "public", Name: table} }

// copy writes a segment, as the purge does it: parts as they are now.
func (f *fixture) copy(root string, edges []edge, parts []part, change ...func(*archive.Manifest)) archive.Object {
	f.t.Helper()
	m := archive.Manifest{Run: runID, Policy: "p", Root: f.name(root), RootKey: strings.Split(parts[0].key, ","), Started: time.Now().UTC(), Database: f.Name(), ServerVersion: "15"}
	for _, e := range edges {
		x := archive.Edge{
			Parent: f.name(e.parent), ParentColumns: strings.Split(e.parentColumn, ","), Child: f.name(e.child), ChildColumns: strings.Split(e.childColumn, ","),
			Where: e.where, Kind: archive.Deleted, Emptied: e.emptied,
		}
		if e.emptied != nil {
			x.Kind = archive.Emptied
		}
		for i := range x.ParentColumns {
			x.Compare = append(x.Compare, "p."+pg.Ident(x.ParentColumns[i])+" OPERATOR(pg_catalog.=) c."+pg.Ident(x.ChildColumns[i]))
		}
		m.Edges = append(m.Edges, x)
		f.conditions = append(f.conditions, restore.Condition{Table: x.Child, SQL: x.Where})
	}
	for _, c := range change {
		c(&m)
	}
	s, err := f.archive.Begin(m)
	f.check(err)
	defer s.Discard()
	tx, err := f.Pool(f.t).Begin(f.t.Context())
	f.check(err)
	defer pg.Rollback(tx)
	for _, set := range archive.Settings {
		_, err := tx.Exec(f.t.Context(), "SELECT set_config($1, $2, true)", set.Name, set.Value)
		f.check(err)
	}
	for _, p := range parts {
		f.copyPart(tx, s, p)
	}
	o, err := s.Send(f.t.Context())
	f.check(err)
	f.sent = append(f.sent, o)
	return o
}

func (f *fixture) copyPart(tx pgx.Tx, s *archive.Segment, p part) {
	f.t.Helper()
	t := archive.Table{Name: f.name(p.table), Kind: archive.Deleted, Emptied: p.emptied, DDL: p.ddl}
	if p.key != "" {
		t.Key = strings.Split(p.key, ",")
	}
	if p.emptied != nil {
		t.Kind = archive.Emptied
	}
	rows, err := tx.Query(f.t.Context(), `SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = ('public.' || quote_ident($1))::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`, p.table)
	f.check(err)
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[archive.Column])
	f.check(err)
	for _, c := range all {
		if p.columns == nil || slices.Contains(p.columns, c.Name) {
			t.Columns = append(t.Columns, c)
		}
	}
	f.tables = append(f.tables, t.Name)
	w, err := s.Table(t)
	f.check(err)
	_, err = tx.Conn().PgConn().CopyTo(f.t.Context(), w, fmt.Sprintf("COPY (SELECT %s FROM public.%s WHERE %s) TO STDOUT", pg.List(len(t.Columns), func(i int) string { return pg.Ident(t.Columns[i].Name) }), pg.Ident(p.table), p.where))
	f.check(err)
}

func (f *fixture) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// list says that these roots were deleted.
func (f *fixture) list(o archive.Object, seq int64, roots ...archive.Root) {
	f.t.Helper()
	f.check(f.archive.WriteList(f.t.Context(), o, archive.List{Run: runID, Policy: "p", Seq: seq, At: time.Now().UTC(), Roots: roots}))
}

func root(key ...string) archive.Root { return archive.Root{Key: key} }

// restore restores what was selected of the run.
func (f *fixture) restore(o restore.Options) (*restore.Report, error) {
	f.t.Helper()
	o.Run = runID
	if o.Conditions == nil {
		o.Conditions = f.conditions
	}
	if o.Tables == nil {
		o.Tables = f.tables
	}
	found, err := restore.Select(f.t.Context(), f.archive, o.Selection, nil)
	f.check(err)
	f.check(found.Check(o.Selection))
	return restore.Run(f.t.Context(), f.archive, f.Pool(f.t), found.Chosen, o)
}

// rows are those of all tables, sorted, as text.
func (f *fixture) rows() map[string][]string {
	f.t.Helper()
	found := map[string][]string{}
	for _, table := range f.Texts(f.t, "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition") {
		found[table] = f.Texts(f.t, "SELECT x::text FROM "+pg.Ident("public", table)+" x ORDER BY 1")
	}
	return found
}

func (f *fixture) same(want map[string][]string) {
	f.t.Helper()
	if d := cmp.Diff(want, f.rows()); d != "" {
		f.t.Error(d)
	}
}
