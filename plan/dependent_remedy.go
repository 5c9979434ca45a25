package plan

import (
	"slices"
	"strings"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// A Fix can be applied as printed. SQL is one or more statements for psql, each with its semicolon.
// A change to the policy file is `write` followed by YAML. Remarks are comments, after `--` or `#`.
// Where a person has to decide, the Fix is prose.

// entryFix suggests the entry that decides an edge.
func (c *compiler) entryFix(e *Edge, action policy.Action) string {
	return "write an entry under dependents: " + c.entryText(e.Child.Table, e.Parent.Table, e.Key, action)
}

// entryText is an entry of the policy file that matches exactly one key.
func (c *compiler) entryText(child, parent *schema.Table, k *schema.ForeignKey, action policy.Action) string {
	entry := "{table: " + policy.YAMLTable(child.Name.Schema, child.Name.Name)
	if c.ambiguousColumns(k) {
		entry += ", parent: " + policy.YAMLTable(parent.Name.Schema, parent.Name.Name)
	}
	return entry + ", via: " + policy.YAMLColumns(k.ChildColumns) + ", action: " + string(action) + "}"
}

// ambiguousColumns reports whether another key uses the same columns to reference another table, so
// that the columns alone do not identify the key.
func (c *compiler) ambiguousColumns(k *schema.ForeignKey) bool {
	columns := func(k *schema.ForeignKey) []string { return slices.Sorted(slices.Values(k.ChildColumns)) }
	return slices.ContainsFunc(c.graph.Outgoing(k.Child), func(o schema.ForeignKey) bool {
		return o.Parent != k.Parent && slices.Equal(columns(&o), columns(k))
	})
}

// proposal is an entry to suggest for an undecided edge.
type proposal struct {
	edge    *Edge
	of      schema.Relation
	problem int // index in plan.Problems
}

// markUndecided records an undecided edge. Its Fix is filled in once all such edges are known.
func (c *compiler) markUndecided(e *Edge, r schema.Relation, text string) {
	e.Action = undecided
	c.proposed = append(c.proposed, proposal{e, r, len(c.plan.Problems)})
	c.plan.AddProblem(LevelError, text, "")
}

// proposals suggests an action for each undecided edge: delete if nothing else prevents that,
// otherwise keep, which is always possible.
func (c *compiler) proposals() error {
	if err := c.loadBelow(); err != nil {
		return err
	}
	for _, x := range c.proposed {
		action := policy.Keep
		if allows(x.of, policy.Delete) && c.deletable(x.edge.Child.Table.OID, map[uint32]bool{}) {
			action = policy.Delete
		}
		c.plan.Problems[x.problem].Fix = c.entryFix(x.edge, action) + " # " + c.otherActions(x.edge, x.of, action)
	}
	return nil
}

// maxProposalTables limits how many more tables the proposals load. Edges into tables beyond the
// limit get the proposal keep.
const maxProposalTables = 200

// loadBelow loads the tables below the proposed edges that deletion would cascade to, one level at
// a time.
func (c *compiler) loadBelow() error {
	seen := map[uint32]bool{}
	var level []uint32
	for _, x := range c.proposed { // already loaded
		level = append(level, x.edge.Child.Table.OID)
	}
	for most := len(c.graph.Tables) + maxProposalTables; len(level) > 0; {
		missing := slices.DeleteFunc(slices.Clone(level), func(oid uint32) bool { return c.graph.Tables[oid] != nil })
		if len(c.graph.Tables)+len(missing) > most {
			return nil
		}
		if err := c.graph.Load(c.ctx, c.conn, missing...); err != nil {
			return err
		}
		var next []uint32
		for _, oid := range level {
			if !seen[oid] && c.onlyCascades(oid) {
				for _, k := range c.graph.References(oid) {
					next = append(next, k.Child)
				}
			}
			seen[oid] = true
		}
		level = slices.DeleteFunc(next, func(oid uint32) bool { return seen[oid] })
	}
	return nil
}

// onlyCascades reports whether every foreign key that references a table is ON DELETE CASCADE.
func (c *compiler) onlyCascades(oid uint32) bool {
	return !slices.ContainsFunc(c.graph.References(oid), func(k schema.ForeignKey) bool { return k.OnDelete != schema.Cascade })
}

// otherActions lists the other possible actions.
func (c *compiler) otherActions(e *Edge, r schema.Relation, action policy.Action) string {
	var others []string
	for _, a := range []policy.Action{policy.Delete, policy.Nullify, policy.Keep} {
		may := allows(r, a)
		switch a {
		case policy.Delete:
			may = may && !c.leadsToTenants(e.Child)
		case policy.Nullify:
			may = may && nullable(e, e.ChildColumns, e.Key.MatchFull) != nil
		}
		if may && a != action {
			others = append(others, "or "+string(a))
		}
	}
	if len(others) == 0 {
		return "none of its rows may be deleted"
	}
	return strings.Join(others, ", ")
}

// deletable reports whether deleting from a table needs no other decision and no other grant. It
// errs on the side of false. loadBelow has loaded what it needs.
func (c *compiler) deletable(oid uint32, seen map[uint32]bool) bool {
	if seen[oid] {
		return true
	}
	seen[oid] = true
	t := c.graph.Tables[oid]
	if t == nil || t.Kind != schema.Ordinary && t.Kind != schema.Partitioned || !t.CanDelete || t == c.tenant || c.onSomePath(oid) {
		return false
	}
	if len(t.Triggers)+len(t.Rules)+len(t.Refusing) > 0 || maybeLarge(t) || !c.onlyCascades(oid) {
		return false
	}
	return !slices.ContainsFunc(c.graph.References(oid), func(k schema.ForeignKey) bool { return !c.deletable(k.Child, seen) })
}

// maybeLarge reports whether a table may have enough rows to require an index on an edge into it. A
// table that was never analyzed has a size but no row estimate.
func maybeLarge(t *schema.Table) bool {
	const leastBytes = 28 // of a row: header and line pointer
	return t.EstimatedRows > schema.UnindexedRows || t.Bytes > schema.UnindexedRows*leastBytes
}

// onSomePath reports whether rows of any policy find their tenant through a table.
func (c *compiler) onSomePath(oid uint32) bool {
	if c.leadsToTenant == nil {
		c.leadsToTenant = map[uint32]bool{}
		for i := range c.file.Policies {
			for _, x := range c.tenantPathOf(&c.file.Policies[i]) {
				for _, table := range c.graph.Family(x.table) {
					c.leadsToTenant[table] = c.leadsToTenant[table] || x.rows
				}
			}
		}
	}
	return c.leadsToTenant[oid]
}

// keepFix suggests to change the edge's entry, which is at pos, to keep, or to add such an entry.
// The alternatives are a comment.
func (c *compiler) keepFix(e *Edge, alternatives string) (pos policy.Pos, fix string) {
	if e.Entry != nil {
		return e.Entry.Pos, "write action: keep # " + alternatives
	}
	return pos, c.entryFix(e, policy.Keep) + " # " + alternatives
}

// orNullify is the alternative to keep when rows behind an edge must not be deleted.
func orNullify(e *Edge) string {
	may := e.Key == nil || slices.ContainsFunc(e.Keys, func(k schema.ForeignKey) bool { return allowedFor(k.OnDelete, policy.Nullify) })
	if may && nullable(e, e.ChildColumns, e.Key != nil && e.Key.MatchFull) != nil {
		return "or nullify"
	}
	return "none of its rows may be deleted"
}

// actionFix corrects an entry whose action none of the relation's keys allows.
func actionFix(r schema.Relation, asked policy.Action) string {
	own := map[schema.OnDelete]policy.Action{schema.Cascade: policy.Delete, schema.SetNull: policy.Nullify}
	switch onDelete, agreed := r.Agreed(); {
	case agreed && own[onDelete] == asked:
		return "remove the entry: the schema already decides this"
	case allows(r, policy.Delete):
		return "write action: keep # or delete, or remove the entry: the schema already decides this"
	}
	return "write action: keep # or remove the entry: the schema already decides this"
}

// viaFix replaces an ambiguous entry with one entry per relation, including the relations to other
// tables of the plan that it decides.
func (c *compiler) viaFix(e *entry) string {
	var entries []string
	for _, r := range schema.Relations(c.graph.Outgoing(e.ambiguous[0].First().Child)) {
		k := r.First()
		ambiguous := slices.ContainsFunc(e.ambiguous, func(o schema.Relation) bool { return schema.SameColumns(*o.First(), *k) })
		for _, n := range c.plan.Nodes {
			if slices.Contains(c.graph.Family(k.Parent), n.Table.OID) && (ambiguous || n.Deleted && r.Open() != nil && !e.spec.Parent.IsSet()) {
				entries = append(entries, c.entryText(c.graph.Tables[k.Child], n.Table, k, e.spec.Action))
			}
		}
	}
	return "write in its place: [" + strings.Join(entries, ", ") + "]"
}

// nullable are the columns that clearing an edge sets to NULL. nil: none can be NULL, or together
// is set and some cannot.
func nullable(e *Edge, columns []string, together bool) (can []string) {
	for _, n := range columns {
		if k, ok := e.Child.Table.Column(n); ok && !k.NotNull && !k.Generated {
			can = append(can, n)
		}
	}
	if together && len(can) < len(columns) {
		return nil
	}
	return can
}
