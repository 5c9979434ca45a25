package erasure

import (
	"cmp"
	"math"
	"slices"

	"github.com/reaperdb/reaper/internal/components"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// edges are the foreign keys from a table to other tables of the plan that are not global; several on
// the same columns count once.
func (c *compiler) edges(t *Table) (keys []schema.ForeignKey) {
	for _, r := range schema.Relations(c.graph.Outgoing(t.Table.OID)) {
		k := *r.First()
		if p := c.table(k.Parent); p != nil && p.Action != Global {
			keys = append(keys, k)
		}
	}
	return keys
}

// inferWays finds the ways of all tables: those that the file names, then those along foreign keys,
// the tenants' table first, so that a table's parents have theirs before it.
func (c *compiler) inferWays() error {
	for _, t := range c.plan.Tables {
		if err := c.namedWays(t); err != nil {
			return err
		}
	}
	levels := c.levels()
	for _, t := range c.byReference(levels) {
		if t != c.plan.Tenants && t.Action != Global {
			c.keyWays(t, levels)
		}
		t.Guarded = t.Ways != nil && !slices.ContainsFunc(t.Ways, func(w *Way) bool { return !w.guarded() })
	}
	return nil
}

// anchored reports whether the file alone says whose the rows of a table are.
func (c *compiler) anchored(t *Table) bool { return len(t.Ways) > 0 }

// levels are how far tables are from one whose owner is known by itself, along references. Those that
// every row has count first: one that a row may lack is farther than any of them. Tables that none lead
// from are not in it.
func (c *compiler) levels() map[*Table]int {
	levels := map[*Table]int{c.plan.Tenants: 0}
	open := []*Table{c.plan.Tenants}
	for _, t := range c.plan.Tables {
		if c.anchored(t) {
			levels[t] = 1
			open = append(open, t)
		}
	}
	open = c.spread(levels, open, 0, func(t *Table, k *schema.ForeignKey) bool { return !nullable(t.Table, k.ChildColumns) })
	c.spread(levels, open, len(c.plan.Tables), func(*Table, *schema.ForeignKey) bool { return true })
	return levels
}

// spread gives levels to tables whose keys lead to tables that have one, and returns all that have.
func (c *compiler) spread(levels map[*Table]int, open []*Table, more int, counts func(*Table, *schema.ForeignKey) bool) []*Table {
	for i := 0; i < len(open); i++ {
		for _, k := range c.graph.References(open[i].Table.OID) {
			child := c.byOID[k.Child]
			if child == nil || child.Action == Global || soft(&k) || !counts(child, &k) {
				continue
			}
			if _, seen := levels[child]; !seen {
				levels[child] = levels[open[i]] + more + 1
				open = append(open, child)
			}
		}
	}
	return open
}

// byReference orders tables: referenced ones first; in a circle, those nearer to the tenants first.
func (c *compiler) byReference(levels map[*Table]int) []*Table {
	of := c.knots()
	sorted := slices.Clone(c.plan.Tables)
	level := func(t *Table) int {
		if n, ok := levels[t]; ok {
			return n
		}
		return math.MaxInt
	}
	slices.SortStableFunc(sorted, func(a, b *Table) int { return cmp.Or(cmp.Compare(of[b], of[a]), cmp.Compare(level(a), level(b))) })
	return sorted
}

// knots numbers the circles of references: those with higher numbers are referenced by lower ones. The
// tenants' own references do not count: rows are not a tenant's because the tenant's row names them.
func (c *compiler) knots() map[*Table]int {
	if c.circles != nil {
		return c.circles
	}
	place := map[*Table]int{}
	for i, t := range c.plan.Tables {
		place[t] = i
	}
	next := make([][]int, len(c.plan.Tables))
	for i, t := range c.plan.Tables {
		if t == c.plan.Tenants {
			continue
		}
		for _, k := range c.edges(t) {
			next[i] = append(next[i], place[c.table(k.Parent)])
		}
	}
	of, _ := components.Of(next)
	c.circles = map[*Table]int{}
	for i, t := range c.plan.Tables {
		c.circles[t] = of[i]
	}
	return c.circles
}

// keyWays finds the ways of a table along its foreign keys, unless the file names all of them.
func (c *compiler) keyWays(t *Table, levels map[*Table]int) {
	if c.hasOwner(t) {
		return
	}
	strong, weak := c.candidates(t, levels)
	chosen, decided := c.choose(t, strong)
	switch {
	case t.Entry == nil || decided:
	case len(strong) > 0:
		chosen, decided = strong, true // the file has decided
	default:
		chosen, decided = weak, true
	}
	if len(chosen) == 0 && len(strong) == 0 {
		return // coverage says so
	}
	if !decided {
		c.ambiguous(t, strong)
		return
	}
	for i := range chosen {
		t.Ways = append(t.Ways, c.keyWay(t, &chosen[i]))
	}
	if t.Action == Undecided {
		t.Action = Delete
	}
}

// candidates are the keys along which rows of a table can be a tenant's: strong ones, and those that
// ON DELETE empties. Inside a circle only those count that lead nearer to the tenants.
func (c *compiler) candidates(t *Table, levels map[*Table]int) (strong, weak []schema.ForeignKey) {
	of := c.knots()
	for _, k := range c.edges(t) {
		p := c.table(k.Parent)
		if p == t || p != c.plan.Tenants && len(p.Ways) == 0 {
			continue
		}
		if p != c.plan.Tenants && of[p] == of[t] && levels[p] >= levels[t] {
			continue
		}
		if soft(&k) {
			weak = append(weak, k)
		} else {
			strong = append(strong, k)
		}
	}
	return strong, weak
}

// choose picks the keys that say whose a row is, if they cannot disagree: the only one; the only one
// to the tenants themselves, if every row has it; or several that compare the same column of the table
// with the tenant's key.
func (c *compiler) choose(t *Table, keys []schema.ForeignKey) (chosen []schema.ForeignKey, decided bool) {
	if len(keys) <= 1 {
		return keys, len(keys) == 1
	}
	var direct []schema.ForeignKey
	for _, k := range keys {
		if c.table(k.Parent) == c.plan.Tenants && !nullable(t.Table, k.ChildColumns) {
			direct = append(direct, k)
		}
	}
	if len(direct) == 1 {
		return direct, true
	}
	first := c.ownerColumn(&keys[0])
	for i := range keys {
		if column := c.ownerColumn(&keys[i]); column == "" || column != first || nullable(t.Table, []string{column}) {
			return nil, false
		}
	}
	i := slices.IndexFunc(keys, func(k schema.ForeignKey) bool { return !nullable(t.Table, k.ChildColumns) })
	return []schema.ForeignKey{keys[max(i, 0)]}, i >= 0
}

// ownerColumn is the column of a table that, by a foreign key, equals the key of the tenant whose the
// referenced row is; empty if no single column does.
func (c *compiler) ownerColumn(k *schema.ForeignKey) string {
	p := c.table(k.Parent)
	want := c.plan.Key.Name
	if p != c.plan.Tenants {
		if len(p.Ways) != 1 {
			return ""
		}
		w := p.Ways[0]
		switch {
		case w.Key != nil:
			want = c.ownerColumn(w.Key)
		case len(w.hops) == 0 && w.last.column != "" && w.where == "":
			want = w.last.column
		default:
			return ""
		}
	}
	if i := slices.Index(k.ParentColumns, want); i >= 0 && want != "" {
		return k.ChildColumns[i]
	}
	return ""
}

func (c *compiler) keyWay(t *Table, k *schema.ForeignKey) *Way {
	p := c.table(k.Parent)
	return &Way{Key: k, Parent: p, Text: keyText(k), pairs: c.graph.Comparisons(k, t.Table, c.graph.Tables[k.Parent]), columns: k.ChildColumns}
}

// hasOwner reports whether an entry of the file says whose the rows of a table are.
func (c *compiler) hasOwner(t *Table) bool {
	return slices.ContainsFunc(c.entries[t], func(e *policy.ErasureTable) bool { return e.Owner.IsSet() })
}
