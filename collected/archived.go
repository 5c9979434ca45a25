package collected

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// The statements of this file are those of a batch whose rows are copied before they go. What the
// copy has read is compared with what the batch has locked by prints: the number of the rows, and a
// digest of them.

// printed selects number and digest of the values of one column, of type text.
func printed(column, rows string) string {
	return "SELECT pg_catalog.count(*), pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(pg_catalog.string_agg(" + column + ", ' ' ORDER BY " + column +
		" COLLATE \"C\"), ''), 'UTF8')), 'hex')\n  FROM (" + rows + ") reaper_x"
}

// Locking is whether a statement locks the rows that it reads.
type Locking string

// A statement waits for rows that others have locked, or skips them.
const (
	Unlocked   Locking = ""
	Locked     Locking = "\n   FOR UPDATE OF "
	SkipLocked Locking = " SKIP LOCKED" // Locked, and skips
)

func (l Locking) of(t *schema.Table) string {
	switch name := pg.Ident(t.Name.Name); l {
	case Locked:
		return string(Locked) + name
	case SkipLocked:
		return string(Locked) + name + string(SkipLocked)
	}
	return ""
}

// VersionsSQL prints the versions of rows by location: tableoid, ctid and xmin. It leaves rows out
// that are there no more, or have moved.
func VersionsSQL(r *Rows, l Locking) *pg.Statement {
	s := &pg.Statement{}
	t := r.Node.Table
	name := pg.Ident(t.Name.Name)
	version := fmt.Sprintf("(ROW(%[1]s.tableoid, %[1]s.ctid, %[1]s.xmin))::%[2]s AS v", name, pg.TextType)
	return s.Add(printed("v", "SELECT "+version+" FROM "+schema.From(t)+"\n WHERE "+located(s, t, r)+l.of(t)))
}

// EmptiedSQL prints the rows behind a clearing edge whose references ClearSQL clears: their keys, and
// what they reference now.
func EmptiedSQL(e *plan.Edge, m *plan.Traversal, known map[*plan.Node]*Rows, l Locking) *pg.Statement {
	s := &pg.Statement{}
	t := e.Child.Table
	values := "(ROW(" + strings.Join(schema.Cols(t, e.EmptiedColumns()), ", ") + "))::" + pg.TextType + " AS v"
	return s.Add(printed("v", "SELECT "+values+" FROM "+schema.From(t)+"\n WHERE "+clearing(s, e, m, known)+l.of(t)))
}

// ReadEmptiedSQL gathers the locations of those rows (tableoid, ctid, referenced columns…).
func ReadEmptiedSQL(e *plan.Edge, m *plan.Traversal, known map[*plan.Node]*Rows, limit int) *pg.Statement {
	s := &pg.Statement{}
	selected, names := plan.Locations(e.Child.Table, e.Child.Refs, nil)
	return s.Add(pg.Gathered("SELECT "+selected+"\n  FROM "+schema.From(e.Child.Table)+"\n WHERE "+clearing(s, e, m, known)+fmt.Sprintf("\n LIMIT %d", limit), names))
}

// StrangersSQL counts, for each deleting edge, the rows behind it that were not collected. It is nil
// if there is no such edge.
func StrangersSQL(m *plan.Traversal, known map[*plan.Node]*Rows, edges []*plan.Edge) (s *pg.Statement, counted []*plan.Edge) {
	s = &pg.Statement{}
	var counts []string
	for _, e := range edges {
		r := known[e.Parent]
		if r == nil || r.Len() == 0 || !e.Action.Deletes() || !m.Walks(e) {
			continue
		}
		condition := behind(s, e, r)
		if going := known[e.Child]; going != nil && going.Len() > 0 {
			condition += "\n   AND (" + located(s, e.Child.Table, going) + ") IS NOT TRUE"
		}
		counts, counted = append(counts, "(SELECT pg_catalog.count(*) FROM "+schema.From(e.Child.Table)+" WHERE "+condition+")"), append(counted, e)
	}
	if counts == nil {
		return nil, nil
	}
	return s.Add("SELECT ", strings.Join(counts, ",\n       ")), counted
}

// CopySQL writes columns of rows, by location, in PostgreSQL's COPY text format. COPY takes no
// parameters.
func CopySQL(r *Rows, columns []string) string {
	t := r.Node.Table
	name := pg.Ident(t.Name.Name)
	where := name + ".ctid OPERATOR(pg_catalog.=) ANY (" + pg.Literal(r.CTIDs.Text()) + "::pg_catalog.tid[])"
	if t.Kind == schema.Partitioned {
		where += " AND (" + name + ".tableoid, " + name + ".ctid) IN (SELECT * FROM unnest(" +
			pg.Literal(r.Tables.Text()) + "::pg_catalog.oid[], " + pg.Literal(r.CTIDs.Text()) + "::pg_catalog.tid[]))"
	}
	return "COPY (SELECT " + strings.Join(schema.Cols(t, columns), ", ") + " FROM " + schema.From(t) + " WHERE " + where + ") TO STDOUT"
}
