package preview

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
	"github.com/reaperdb/reaper/search"
)

// countSQL counts, in one statement, the rows to delete of every node, and the rows that stay
// behind every other edge.
func (l *previewer) countSQL(s *pg.Statement) (nodes []*plan.Node, others []*plan.Edge) {
	p := l.plan
	number := func(n *plan.Node) int { return slices.Index(p.Nodes, n) }
	s.Add("WITH RECURSIVE reaper_r0 AS MATERIALIZED (", search.ExpiredSQL(l.plan, s, l.scope), ")")
	groups := map[int][]*plan.Node{}
	for _, n := range p.Nodes {
		if n.Deleted {
			groups[n.Component] = append(groups[n.Component], n)
		}
	}
	for scc := range len(p.Nodes) {
		group := groups[scc]
		switch {
		case len(group) == 0:
		case plan.Cyclic(group):
			l.cycleCTE(s, scc, group)
		case group[0] == p.Root:
			s.Add(fmt.Sprintf(",\nreaper_n%d AS (SELECT * FROM reaper_r0)", number(p.Root)))
		default:
			n := group[0]
			s.Add(fmt.Sprintf(",\nreaper_n%d AS MATERIALIZED (SELECT %s FROM %s WHERE ", number(n), refList(n), schema.From(n.Table)))
			first := true
			for _, e := range n.In {
				if e.Action.Deletes() {
					if !first {
						s.Add(" OR ")
					}
					first = false
					s.Add("(", l.referencing(e), plan.Parenthesized(e.Where), ")")
				}
			}
			s.Add(")")
		}
	}
	var selects []string
	for _, n := range p.Nodes {
		if n.Deleted {
			nodes = append(nodes, n)
			selects = append(selects, fmt.Sprintf("(SELECT count(*) FROM reaper_n%d)", number(n)))
		}
	}
	for _, e := range p.Edges {
		if !e.Action.Deletes() {
			others = append(others, e)
			selects = append(selects, "(SELECT count(*) FROM "+schema.From(e.Child.Table)+" WHERE "+l.referencing(e)+plan.Parenthesized(e.Where)+l.remaining(e.Child)+")")
		}
	}
	s.Add("\nSELECT ", strings.Join(selects, ", "))
	return nodes, others
}

// remaining is the condition that a row of a node is not deleted itself.
func (l *previewer) remaining(n *plan.Node) string {
	if !n.Deleted {
		return ""
	}
	name := pg.Ident(n.Table.Name.Name)
	return fmt.Sprintf(" AND NOT EXISTS (SELECT FROM reaper_n%d reaper_g WHERE reaper_g.tab = %s.tableoid::text AND reaper_g.tid = %s.ctid::text)",
		slices.Index(l.plan.Nodes, n), name, name)
}

// refList selects the location of a node's row (tab and tid) and its referenced columns r0, r1, ….
func refList(n *plan.Node) string {
	name := pg.Ident(n.Table.Name.Name)
	return name + ".tableoid::text AS tab, " + name + ".ctid::text AS tid" +
		pg.Prefixed(len(n.Refs), func(i int) string { return schema.Uncollated(n.Table, n.Refs[i]) + fmt.Sprintf(" AS r%d", i) })
}

// referencing is the condition that a row of the edge's child references a deleted row of the
// parent.
func (l *previewer) referencing(e *plan.Edge) string {
	theirs := schema.Cols(e.Child.Table, e.ChildColumns)
	ours := func(i int) string {
		return fmt.Sprintf("reaper_v.r%d", slices.Index(e.Parent.Refs, e.ParentColumns[i]))
	}
	rows := fmt.Sprintf("reaper_n%d reaper_v", slices.Index(l.plan.Nodes, e.Parent))
	within := ""
	if e.Within != nil {
		within = "reaper_v.tab = ANY('{" + strings.Join(e.Within, ",") + "}') AND "
	}
	if x := e.Pairs[0]; len(e.Pairs) == 1 && x.Op.Commutator != nil && x.Collation(x.Theirs) == "" {
		// PostgreSQL can hash such a list, even along with other conditions.
		return fmt.Sprintf("%s %s ANY (SELECT %s FROM %s WHERE %strue)", x.TheirsAs(theirs[0]), x.Op.Commutator, x.OursAs(ours(0)), rows, within)
	}
	return "EXISTS (SELECT FROM " + rows + " WHERE " + within + pg.And(len(e.Pairs), func(i int) string { return e.Pairs[i].FindTheirs(ours(i), theirs[i]) }) + ")"
}

// cycleCTE counts a cyclic component by recursion, and gives each node's rows
// with typed columns again.
func (l *previewer) cycleCTE(s *pg.Statement, scc int, group []*plan.Node) {
	p, name := l.plan, fmt.Sprintf("reaper_c%d", scc)
	var seeds []string
	for _, n := range group {
		if n == p.Root {
			seeds = append(seeds, search.RootSeed(p, "reaper_r0"))
		}
		for _, e := range n.In {
			if e.Action.Deletes() && !e.Internal() {
				seeds = append(seeds, "SELECT "+search.ClosureRow(p, n)+" FROM "+schema.From(n.Table)+" WHERE "+l.referencing(e)+plan.Parenthesized(e.Where))
			}
		}
	}
	s.Add(",\n", search.Closure(name, seeds, search.CycleSteps(p, name, group)))
	for _, n := range group {
		columns := "tab, tid" + pg.Prefixed(len(n.Refs), func(i int) string {
			k, _ := n.Table.Column(n.Refs[i])
			return fmt.Sprintf("refs[%d]::%s AS r%d", i+1, k.SQLType, i)
		})
		s.Add(fmt.Sprintf(",\nreaper_n%d AS (SELECT %s FROM reaper_c%d WHERE node = %d)", slices.Index(p.Nodes, n), columns, scc, slices.Index(p.Nodes, n)))
	}
}

// estimatedCutoffs is how many distinct cutoffs an estimate asks the planner about, most frequent
// first.
const estimatedCutoffs = 50

// tenantsOf is how many tenants with anything due have a cutoff.
type tenantsOf struct {
	Cutoff  string `json:"cutoff"`
	Tenants int64  `json:"tenants"`
}

// estimates uses the planner's estimates: the roots below each cutoff, weighted by the share of
// tenants that have it, and the mean number of dependents per root.
func (l *previewer) estimates(ctx context.Context) error {
	p := l.plan
	if !p.Sweeps() { // a sweep has already counted the roots
		if err := l.estimateRoots(ctx); err != nil {
			return fmt.Errorf("estimating: %w", err)
		}
	}
	l.eachTable(func(t *TablePreview, e *plan.Edge) {
		n := l.view.ExpiredRows
		if e != nil {
			n = share(e.Child.Table, p.Root.Table, n)
		}
		t.ExpiredRows = &n
	})
	return nil
}

func (l *previewer) estimateRoots(ctx context.Context) error {
	p := l.plan
	var tenants int64
	for _, n := range l.view.TenantStates {
		tenants += n
	}
	var rows float64
	for _, c := range l.cutoffs {
		s := &pg.Statement{}
		a := p.Age.Of(p.Root.Table)
		s.Add("EXPLAIN (FORMAT JSON) SELECT FROM ", schema.From(p.Root.Table), " WHERE ", p.Age.Expired(a, s.Cast(c.Cutoff, "timestamptz")), plan.Parenthesized(p.Where))
		var raw []byte
		if err := l.tx.QueryRow(ctx, s.String(), s.Args...).Scan(&raw); err != nil {
			return err
		}
		var plans []struct {
			Plan struct {
				Rows float64 `json:"Plan Rows"`
			} `json:"Plan"`
		}
		if err := json.Unmarshal(raw, &plans); err != nil {
			return err
		}
		if len(plans) > 0 {
			rows += plans[0].Plan.Rows * float64(c.Tenants) / float64(tenants)
		}
	}
	l.view.ExpiredRows = int64(rows)
	return nil
}

// share is the average number of rows of a table that depend on n roots.
func share(t, root *schema.Table, n int64) int64 {
	if t.EstimatedRows <= 0 || root.EstimatedRows <= 0 {
		return 0
	}
	return int64(float64(n) * t.EstimatedRows / root.EstimatedRows)
}
