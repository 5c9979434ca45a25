package plan

import (
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// manyGroups is the number of rows in the first table of a tenant path from which most may have few
// roots; then one sweep is cheaper than a walk per group.
const manyGroups = 10_000

func (c *compiler) strategy() error {
	p := c.plan
	t := p.Root.Table
	lead := p.Lead()
	usual := TenantKeyset
	if p.NoTenant {
		usual = AgeKeyset
	}
	best, withKey := bestIndex(t, p.LeadPairs(), p.Age.Column.Name, p.OrderKey())
	few := len(p.Hops) == 0 || p.Hops[0].Table.EstimatedRows < manyGroups || p.Hops[0].Table.EstimatedRows*50 < t.EstimatedRows
	if best == "" && few {
		served, err := c.searchIndex()
		if err != nil {
			return err
		}
		if served != "" {
			p.Strategy, p.Index, p.WhereLeads = usual, served, true
			p.Reason = fmt.Sprintf("the planner goes from %s and where to the age by %s", leadText(lead), served)
			return nil
		}
	}
	switch {
	case best != "" && few:
		p.Strategy, p.Index, p.KeyInIndex = usual, best, withKey
		p.Reason = fmt.Sprintf("index %s leads from %s to the age", best, leadText(lead))
		return nil
	case best != "":
		p.Reason = fmt.Sprintf("%s has about %.0f rows, few roots each: one sweep reads less than a search for each", p.Hops[0].Table.Name, p.Hops[0].Table.EstimatedRows)
		c.sweep()
	default:
		c.sweep()
		p.Reason = fmt.Sprintf("no index starts with %s and the age: %s", leadText(lead), map[string]string{
			AgeSweep: "every row that is old enough for some tenant is read along " + p.Index, KeySweep: "every row is read along the key",
		}[p.Strategy])
		fix, err := c.graph.IndexFix(c.ctx, c.conn, t, p.LeadPairs(), slices.Concat([]string{p.Age.Column.Name}, p.OrderKey()))
		if err != nil {
			return err
		}
		p.AddMissingIndex(nil, LevelWarning, fmt.Sprintf("no index serves the search for expired rows of %s: %s", t.Name, p.Reason), fix)
	}
	return nil
}

// sweep chooses the order of a sweep: the age if an index begins with it, otherwise the key.
func (c *compiler) sweep() {
	p := c.plan
	t := p.Root.Table
	key := slices.DeleteFunc(ColumnNames(p.Key), func(n string) bool { return n == p.Age.Column.Name })
	if index, _ := bestIndex(t, nil, p.Age.Column.Name, key); index != "" && !p.NoTenant {
		p.Strategy, p.Index = AgeSweep, index
		return
	}
	p.Strategy = KeySweep
	for _, x := range t.Indexes {
		if t.Identifies(&x) && slices.Equal(x.ColumnNames(), ColumnNames(p.Key)) {
			p.Index = x.Name
		}
	}
}

// MissingIndex reports whether no index leads from the tenant to the age.
func (p *Plan) MissingIndex() bool {
	return slices.ContainsFunc(p.Problems, func(x Problem) bool { return x.MissingIndex != nil && x.MissingIndex.Edge == nil })
}

func leadText(lead []string) string {
	if len(lead) == 0 {
		return "the table"
	}
	return pg.List(len(lead), func(i int) string { return lead[i] })
}

// Lead are the root's columns that identify a tenant's rows.
func (p *Plan) Lead() []string {
	switch {
	case p.NoTenant:
		return nil
	case len(p.Hops) > 0:
		return p.Hops[0].From
	}
	return []string{p.Last.Name}
}

// OrderKey are the key columns that order rows of the same lead and age.
func (p *Plan) OrderKey() []string {
	return slices.DeleteFunc(ColumnNames(p.Key), func(n string) bool {
		return n == p.Age.Column.Name || slices.Contains(p.Lead(), n)
	})
}

// ColumnNames returns the names of columns.
func ColumnNames(columns []schema.Column) []string {
	names := make([]string, len(columns))
	for i, k := range columns {
		names[i] = k.Name
	}
	return names
}

// bestIndex finds an index on (lead…, age, key…), or else on (lead…, age).
func bestIndex(t *schema.Table, lead []schema.Comparison, age string, key []string) (name string, withKey bool) {
	implied := []string{age}
	for _, x := range lead {
		implied = append(implied, x.Theirs.Name)
	}
	for _, x := range t.Indexes {
		n := len(lead)
		if !x.Valid || x.Method != "btree" || len(x.Columns) <= n || !impliedByEquality(x.Predicate, implied) {
			continue
		}
		if !servesAll(x.Columns[:n], lead) || !servesOrder(x.Columns[n:n+1], []string{age}) {
			continue
		}
		full := len(x.Columns) >= n+1+len(key) && servesOrder(x.Columns[n:n+1+len(key)], append([]string{age}, key...))
		if name == "" || full && !withKey {
			name, withKey = x.Name, full
		}
	}
	return name, withKey
}

// servesOrder reports whether index columns provide ORDER BY names, forwards or backwards: all in
// one direction, with NULLs in that direction's default place.
func servesOrder(columns []schema.IndexColumn, names []string) bool {
	for i, c := range columns {
		if c.Name != names[i] || !c.OwnCollation || !c.DefaultOrder || c.Desc != columns[0].Desc || c.NullsFirst != c.Desc {
			return false
		}
	}
	return true
}

// LeadPairs compare the lead columns with what they reference.
func (p *Plan) LeadPairs() []schema.Comparison {
	switch {
	case p.NoTenant:
		return nil
	case len(p.Hops) > 0:
		return p.Hops[0].Pairs
	}
	return []schema.Comparison{p.Owner}
}
