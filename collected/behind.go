package collected

import (
	"fmt"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// located is the condition that a row is at one of these locations.
func located(s *pg.Statement, t *schema.Table, r *Rows) string {
	c := pg.Ident(t.Name.Name) + ".ctid = ANY(" + s.Array(r.CTIDs, "tid") + ")"
	if t.Kind == schema.Partitioned {
		c += " AND (" + pg.Ident(t.Name.Name) + ".tableoid, " + pg.Ident(t.Name.Name) + ".ctid) IN (SELECT * FROM unnest(" +
			s.Array(r.Tables, "oid") + ", " + s.Array(r.CTIDs, "tid") + "))"
	}
	return c
}

// behind is the condition that a row of the edge's child references one of these parent rows.
func behind(s *pg.Statement, e *plan.Edge, r *Rows) string {
	return schema.Among(s, e.Pairs, schema.Cols(e.Child.Table, e.ChildColumns), r.referenced(e), e.Index != "") + plan.Parenthesized(e.Where)
}

// ReadBehindSQL gathers the child rows that reference these parent rows (tableoid, ctid, referenced
// columns…), and locks them if lock is set. Where the parent rows have owners, so have the child
// rows, behind the columns; tableoid is left out then where the table stores all of them itself.
func ReadBehindSQL(e *plan.Edge, r *Rows, limit int, lock bool) *pg.Statement {
	s := &pg.Statement{}
	t := e.Child.Table
	selected, names := plan.Locations(t, e.Child.Refs, nil)
	if r.Owners != nil {
		selected, names = columns(e.Child)
		selected += ", " + referencesOf(e)
	}
	inner := "SELECT " + selected + "\n  FROM " + schema.From(t) + "\n WHERE " + behind(s, e, r) + fmt.Sprintf("\n LIMIT %d", limit)
	if lock {
		inner += "\n   FOR UPDATE OF " + pg.Ident(t.Name.Name)
	}
	if r.Owners == nil {
		return s.Add(pg.Gathered(inner, names))
	}
	with, from := ownersBehind(s, e, r, "reaper_r", inner)
	return s.Add(with, pg.Gathered("SELECT reaper_r.*, reaper_v."+owner+"::text"+from, names))
}

// LockAtSQL locks rows at their known locations. It returns no row that has moved.
func LockAtSQL(r *Rows) *pg.Statement {
	s := &pg.Statement{}
	t := r.Node.Table
	s.Add("SELECT ", pg.Ident(t.Name.Name), ".ctid::text\n  FROM ", schema.From(t), "\n WHERE ", located(s, t, r), "\n   FOR UPDATE OF ", pg.Ident(t.Name.Name))
	return s
}

// CountBehindSQL counts the rows behind an edge that are to be deleted or cleared, up to a limit.
func CountBehindSQL(e *plan.Edge, r *Rows, limit int) *pg.Statement {
	s := &pg.Statement{}
	s.Add("SELECT count(*) FROM (SELECT FROM ", schema.From(e.Child.Table), " WHERE ", uncleared(s, e, r), fmt.Sprintf(" LIMIT %d) x", limit))
	return s
}
