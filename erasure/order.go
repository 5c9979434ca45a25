package erasure

import (
	"cmp"
	"slices"

	"github.com/reaperdb/reaper/internal/components"
	"github.com/reaperdb/reaper/internal/pg"
)

// groups orders the tables whose rows go: those that reference others first, circles together.
func (c *compiler) groups() error {
	p := c.plan
	if c.hasErrors() {
		return nil
	}
	keeps := slices.ContainsFunc(p.Tables, func(t *Table) bool { return t.Action == Keep })
	var tables []*Table
	for _, t := range p.Tables {
		if t.Action == Delete || t.Action == Keep || t == p.Tenants && keeps {
			tables = append(tables, t)
		}
	}
	next := make([][]int, len(tables))
	for _, e := range p.edges {
		from, to := slices.Index(tables, e.child), slices.Index(tables, e.parent)
		if from >= 0 && to >= 0 && e.binds() && !slices.Contains(next[from], to) {
			next[from] = append(next[from], to)
		}
	}
	for i := range next {
		slices.Sort(next[i])
	}
	of, nodes := components.Of(next)
	for _, n := range arranged(next, of, nodes, slices.Index(tables, p.Tenants)) {
		g := &Group{}
		for _, i := range slices.Sorted(slices.Values(nodes[n])) {
			g.Tables = append(g.Tables, tables[i])
			g.Cyclic = g.Cyclic || len(nodes[n]) > 1 || slices.Contains(next[i], i)
		}
		p.Groups = append(p.Groups, g)
	}
	c.remember()
	p.makeSteps()
	p.sortTables()
	for _, e := range p.cleared() {
		for _, column := range e.clear {
			if !slices.Contains(e.child.Table.UpdateColumns, column) {
				c.missing("UPDATE ("+pg.Ident(column)+")", e.child.Table.Name)
			}
		}
	}
	return nil
}

// cleared are the references that may be emptied to open circles.
func (p *Plan) cleared() (edges []*edge) {
	for _, g := range p.Groups {
		for _, s := range g.clears {
			edges = append(edges, s.edge)
		}
	}
	return edges
}

// arranged orders components: those without any reference first, the one of the tenants as late as it
// can be; what only it references comes behind it.
func arranged(next [][]int, of []int, nodes [][]int, tenants int) (order []int) {
	linked, behind := make([]bool, len(nodes)), make([]bool, len(nodes))
	for i, targets := range next {
		for _, to := range targets {
			linked[of[i]], linked[of[to]] = true, true
		}
	}
	if tenants >= 0 {
		mark := []int{of[tenants]}
		for len(mark) > 0 {
			n := mark[len(mark)-1]
			mark = mark[:len(mark)-1]
			if behind[n] {
				continue
			}
			behind[n] = true
			for _, i := range nodes[n] {
				for _, to := range next[i] {
					mark = append(mark, of[to])
				}
			}
		}
	}
	rank := func(n int) int {
		switch {
		case behind[n]:
			return 2
		case linked[n]:
			return 1
		}
		return 0
	}
	for n := range nodes {
		order = append(order, n)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	return order
}

// remember marks the columns whose values tell, after their rows are gone, whose rows of other tables
// are that no foreign key guards.
func (c *compiler) remember() {
	for _, t := range c.plan.Tables {
		for _, w := range t.Ways {
			at := t
			for _, h := range w.hops {
				if !c.hasKey(at, h) && !slices.Contains(h.table.Remember, h.to) {
					h.table.Remember = append(h.table.Remember, h.to)
				}
				at = h.table
			}
		}
	}
}

// sortTables orders Tables as the plan works them off: global ones, redacted ones, then the groups.
func (p *Plan) sortTables() {
	place := map[*Table]int{}
	for i, g := range p.Groups {
		for _, t := range g.Tables {
			place[t] = i + 2
		}
	}
	place[p.Tenants] = len(p.Groups) + 2
	for _, t := range p.Tables {
		if t.Action == Redact && t != p.Tenants {
			place[t] = 1
		}
	}
	slices.SortStableFunc(p.Tables, func(a, b *Table) int { return cmp.Compare(place[a], place[b]) })
}
