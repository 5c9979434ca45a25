package plan

import (
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/planner"
	"github.com/reaperdb/reaper/schema"
)

// lookup is how the planner would find the rows behind an edge.
type lookup struct {
	index    string // the index used; empty if none is, or the planner could not be asked
	analyzed bool   // the columns have statistics
}

// lookupSQL finds the rows that reference one parent row, as PostgreSQL's own trigger does for each
// deleted row. It selects ctid, since the row itself is then deleted or locked: an index-only scan
// would not do.
func lookupSQL(e *Edge) string {
	t := e.Child.Table
	return "SELECT " + pg.Ident(t.Name.Name) + ".ctid FROM " + schema.From(t) + " WHERE " + pg.And(len(e.Pairs), func(i int) string {
		return e.Pairs[i].FindTheirs(planner.Hidden(e.Pairs[i].Ours), schema.Col(t, e.ChildColumns[i]))
	}) + Parenthesized(e.Where)
}

// cheapPlan is the plan of a statement that an index serves, under the policy's reading search_path;
// nil if none does.
func (c *compiler) cheapPlan(sql string) (*planner.Node, error) {
	return planner.Cheap(c.ctx, c.conn, c.plan.ReadingPath(), sql)
}

// lookup asks the planner which index finds the rows behind an edge. Without statistics the answer
// would be a guess and is not used.
func (c *compiler) lookup(e *Edge) (l lookup, err error) {
	t := e.Child.Table
	if !t.CanSelect || t.RowSecurity || e.Where != "" && c.untrusted {
		return lookup{analyzed: true}, nil // reported elsewhere as an error
	}
	if t.EstimatedRows < 0 {
		return lookup{}, nil
	}
	if l.analyzed, err = planner.Analyzed(c.ctx, c.conn, t.OID, e.ChildColumns); err != nil || !l.analyzed {
		return l, err
	}
	found, err := c.cheapPlan(lookupSQL(e))
	if found != nil {
		l.index = found.IndexName()
	}
	return l, err
}

// searchIndex asks the planner for an index that leads from the group (the rows that share the lead
// columns) to the ages of rows that satisfy `where`: a partial index, or one with the columns that
// `where` fixes before the age. Empty if there is none, or the table is not known to be large.
func (c *compiler) searchIndex() (string, error) {
	p := c.plan
	t := p.Root.Table
	if p.Where == "" || t.EstimatedRows <= schema.UnindexedRows {
		return "", nil
	}
	a := p.Age.Of(t)
	conditions := []string{a + " < " + planner.Hidden(p.Age.Column)}
	for i, x := range p.LeadPairs() {
		conditions = append(conditions, x.FindTheirs(planner.Hidden(x.Ours), schema.Col(t, p.Lead()[i])))
	}
	found, err := c.cheapPlan("SELECT " + pg.Ident(t.Name.Name) + ".ctid FROM " + schema.From(t) + " WHERE " + strings.Join(conditions, " AND ") + Parenthesized(p.Where) +
		" ORDER BY " + a + " LIMIT 1")
	if found == nil || !found.Led() {
		return "", err
	}
	return found.IndexName(), nil
}
