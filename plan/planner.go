package plan

import (
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/planner"
	"github.com/reaperdb/reaper/schema"
)

// lookup is what the planner makes of finding the rows behind an edge.
type lookup struct {
	index    string // the index that serves; empty: none does, or the planner could not be asked
	analyzed bool   // the planner has statistics of the columns
}

// lookupSQL finds the rows that reference one row of the edge's parent, as PostgreSQL's
// own trigger does for each row that goes. ctid stands for the row itself, which is deleted or
// locked: an index-only scan would not do.
func lookupSQL(e *Edge) string {
	t := e.Child.Table
	return "SELECT " + pg.Ident(t.Name.Name) + ".ctid FROM " + schema.From(t) + " WHERE " + pg.And(len(e.Pairs), func(i int) string {
		return e.Pairs[i].FindTheirs(planner.Hidden(e.Pairs[i].Ours), schema.Col(t, e.ChildColumns[i]))
	}) + Parenthesized(e.Where)
}

// cheap is the plan of a statement that an index serves, under the search_path by which
// the policy reads; nil: none does.
func (c *compiler) cheap(sql string) (*planner.Node, error) {
	return planner.Cheap(c.ctx, c.conn, c.plan.ReadingPath(), sql)
}

// lookup asks the planner by which index it would find the rows behind an edge. Without
// statistics its answer is a guess, and not taken.
func (c *compiler) lookup(e *Edge) (l lookup, err error) {
	t := e.Child.Table
	if !t.CanSelect || t.RowSecurity || e.Where != "" && c.untrusted {
		return lookup{analyzed: true}, nil // an error stands elsewhere
	}
	if t.EstimatedRows < 0 {
		return lookup{}, nil
	}
	if l.analyzed, err = planner.Analyzed(c.ctx, c.conn, t.OID, e.ChildColumns); err != nil || !l.analyzed {
		return l, err
	}
	found, err := c.cheap(lookupSQL(e))
	if found != nil {
		l.index = found.IndexName()
	}
	return l, err
}

// searchIndex asks the planner for an index that leads from the group, which shares the lead
// columns, to the age of those rows alone that `where` means: with columns that `where` fixes
// before the age, or a partial one. Empty: there is none, or the table is not known to be large.
func (c *compiler) searchIndex() (string, error) {
	p := c.plan
	t := p.Root.Table
	if p.Where == "" || t.EstimatedRows <= unindexedRows {
		return "", nil
	}
	a := schema.Col(t, p.Age.Column.Name)
	conditions := []string{a + " < " + planner.Hidden(p.Age.Column)}
	for i, x := range p.leadPairs() {
		conditions = append(conditions, x.FindTheirs(planner.Hidden(x.Ours), schema.Col(t, p.Lead()[i])))
	}
	found, err := c.cheap("SELECT " + pg.Ident(t.Name.Name) + ".ctid FROM " + schema.From(t) + " WHERE " + strings.Join(conditions, " AND ") + Parenthesized(p.Where) +
		" ORDER BY " + a + " LIMIT 1")
	if found == nil || !found.Led() {
		return "", err
	}
	return found.IndexName(), nil
}
