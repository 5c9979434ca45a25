package plan

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// dependents walks the references to the root, to any depth along deleting edges, and decides the
// action of each.
func (c *compiler) dependents() error {
	entries, err := c.entries()
	if err != nil {
		return err
	}
	err = c.walk(entries)
	if err == nil || errors.Is(err, errStop) {
		err = errors.Join(c.proposals(), err)
	}
	if err != nil {
		return err
	}
	c.unusedEntries(entries)
	return nil
}

// walk expands every table that rows may be deleted from, the root first.
func (c *compiler) walk(entries []*entry) error {
	p := c.plan
	expanded := map[*Node]bool{}
	for {
		i := slices.IndexFunc(p.Nodes, func(n *Node) bool { return n.Deleted && !expanded[n] && !c.leadsToTenants(n) })
		if i < 0 {
			return nil
		}
		expanded[p.Nodes[i]] = true
		if err := c.expand(p.Nodes[i], entries); err != nil {
			return err
		}
	}
}

// unusedEntries refuses entries that decide no foreign key, or an ambiguous one.
func (c *compiler) unusedEntries(entries []*entry) {
	for _, e := range entries {
		if len(e.ambiguous) > 0 {
			k := e.ambiguous[0].First()
			c.fail(e.spec.Pos, c.viaFix(e), "%s references %s more than once", k.ChildName, k.ParentName)
		}
		switch {
		case e.used:
		case c.unreachable(e.spec):
			c.plan.AddProblem(LevelWarning, fmt.Sprintf("the entry for %s is not needed: no row that it references is deleted", e.spec.Table), "")
		default:
			c.fail(e.spec.Pos, "remove the entry, correct its table, via or parent, or declare the reference with match",
				"no foreign key of the plan leads from %s%s to %s", e.spec.Table, viaText(e.spec), c.parentText(e.spec))
		}
	}
}

// unreachable reports whether an entry names an existing foreign key that the plan never reaches,
// because an edge above it does not delete.
func (c *compiler) unreachable(d *policy.Dependent) bool {
	if len(d.Match) > 0 || !d.Parent.IsSet() || c.names(d.Parent, c.plan.Root.Table.OID) {
		return false
	}
	if slices.ContainsFunc(c.plan.Nodes, func(n *Node) bool { return n.Deleted && c.names(d.Parent, n.Table.OID) }) {
		return false
	}
	return slices.ContainsFunc(c.graph.Outgoing(c.resolve(d.Table)), func(k schema.ForeignKey) bool {
		return c.names(d.Parent, k.Parent) && !slices.ContainsFunc(d.Via, func(v policy.Text) bool { return !slices.Contains(k.ChildColumns, v.Value) })
	})
}

func viaText(d *policy.Dependent) string {
	if len(d.Via) == 0 {
		return ""
	}
	return " by " + pg.List(len(d.Via), func(i int) string { return d.Via[i].Value })
}

func (c *compiler) parentText(d *policy.Dependent) string {
	if d.Parent.IsSet() {
		return d.Parent.String()
	}
	return c.plan.Root.Table.Name.String() + " or its dependents"
}

// expand adds the edges into a table that rows may be deleted from.
func (c *compiler) expand(n *Node, entries []*entry) error {
	siblings := schema.Relations(c.graph.References(n.Table.OID))
	var children []uint32
	for _, r := range siblings {
		children = append(children, r.First().Child)
	}
	if err := c.graph.Load(c.ctx, c.conn, children...); err != nil {
		return err
	}
	for _, r := range siblings {
		if err := c.addEdge(n, r, entries, siblings); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if len(e.spec.Match) > 0 {
			if err := c.addMatch(n, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// node returns the plan's node of a table, creating it if needed.
func (c *compiler) node(oid uint32) (*Node, error) {
	if err := c.graph.Load(c.ctx, c.conn, oid); err != nil {
		return nil, err
	}
	t := c.graph.Tables[oid]
	for _, n := range c.plan.Nodes {
		if n.Table == t {
			return n, nil
		}
	}
	n := &Node{Table: t}
	c.plan.Nodes = append(c.plan.Nodes, n)
	return n, nil
}

func (c *compiler) link(e *Edge) {
	c.plan.Edges = append(c.plan.Edges, e)
	e.Parent.Out = append(e.Parent.Out, e)
	e.Child.In = append(e.Child.In, e)
	e.Index = servingIndex(e.Child.Table, e.Pairs)
	if e.Action.Deletes() {
		e.Child.Deleted = true
	}
}

func (c *compiler) addEdge(parent *Node, r schema.Relation, entries []*entry, siblings []schema.Relation) error {
	k := r.First()
	child, err := c.node(k.Child)
	if err != nil {
		return err
	}
	e := &Edge{Parent: parent, Child: child, ParentColumns: k.ParentColumns, ChildColumns: k.ChildColumns, Key: k, Keys: r.Keys, Pairs: c.graph.Comparisons(k, child.Table, parent.Table)}
	if k.Parent != parent.Table.OID {
		for _, oid := range c.graph.Family(k.Parent) {
			e.Within = append(e.Within, strconv.FormatUint(uint64(oid), 10))
		}
	}
	decided := c.entryFor(parent, r, entries, siblings)
	c.decide(e, r, decided, slices.ContainsFunc(entries, func(o *entry) bool { return o.isAmbiguous(r) }))
	c.link(e)
	return c.clearing(e)
}

// decide sets the action of an edge. ambiguous: an ambiguous entry may mean this key, and its
// problem is recorded elsewhere.
func (c *compiler) decide(e *Edge, r schema.Relation, decided *entry, ambiguous bool) {
	k := r.First()
	onDelete, agreed := r.Agreed()
	switch {
	case decided != nil:
		decided.used, e.Entry = true, decided.spec
		e.Action = EdgeAction(decided.spec.Action)
		if !allows(r, decided.spec.Action) {
			c.fail(decided.spec.Pos, actionFix(r, decided.spec.Action), "%s (%s) is ON DELETE %s: the action cannot be %s",
				k.ChildName, r.Names(), k.OnDelete, decided.spec.Action)
		}
	case agreed:
		e.Action = map[schema.OnDelete]EdgeAction{schema.Cascade: ByCascade, schema.SetNull: BySetNull, schema.SetDefault: BySetDefault}[onDelete]
	case r.Open() != nil && c.plan.Policy.Undecided != "":
		e.Action = EdgeAction(c.plan.Policy.Undecided)
		c.plan.AddProblem(LevelWarning, fmt.Sprintf("%s references %s by %s (ON DELETE %s) and is decided by undecided: %s",
			k.ChildName, k.ParentName, k.Name, k.OnDelete, c.plan.Policy.Undecided),
			c.entryFix(e, c.plan.Policy.Undecided))
	case ambiguous:
		e.Action = undecided
	case r.Open() != nil:
		c.markUndecided(e, r, fmt.Sprintf("%s references %s by %s (ON DELETE %s): nobody decided what happens to its rows", k.ChildName, k.ParentName, k.Name, k.OnDelete))
	default:
		c.markUndecided(e, r, fmt.Sprintf("%s references %s by %s, which disagree on what happens to its rows", k.ChildName, k.ParentName, r.Names()))
	}
}

// entryFor finds the entry that decides a relation. An entry without via applies to the undecided
// keys of its table, if there are any.
func (c *compiler) entryFor(parent *Node, r schema.Relation, entries []*entry, siblings []schema.Relation) *entry {
	k := r.First()
	var found *entry
	for _, e := range entries {
		d := e.spec
		if len(d.Match) > 0 || !c.names(d.Table, k.Child) || d.Parent.IsSet() && !c.names(d.Parent, parent.Table.OID) {
			continue
		}
		if len(d.Via) > 0 {
			if !c.viaNames(d.Via, k, siblings) || defersToSchema(r, d.Action, siblings) {
				continue
			}
		} else if !c.appliesTo(e, r, siblings) {
			continue
		}
		if found != nil {
			c.fail(d.Pos, "remove the entry, or distinguish it from the other one with via and parent", "two entries decide %s of %s", r.Names(), k.ChildName)
			continue
		}
		found = e
	}
	return found
}

// names reports whether a table of the file has this OID.
func (c *compiler) names(t policy.Table, oid uint32) bool {
	return c.resolve(t) == oid
}

// viaNames reports whether via identifies the key. A key over exactly these columns wins over keys
// that have more, whatever table they reference; otherwise the columns must match only one key.
func (c *compiler) viaNames(via []policy.Text, k *schema.ForeignKey, siblings []schema.Relation) bool {
	covers := func(o *schema.ForeignKey) bool {
		return !slices.ContainsFunc(via, func(v policy.Text) bool { return !slices.Contains(o.ChildColumns, v.Value) })
	}
	exactly := func(o *schema.ForeignKey) bool { return covers(o) && len(o.ChildColumns) == len(via) }
	if !covers(k) || exactly(k) {
		return covers(k)
	}
	if slices.ContainsFunc(c.graph.Outgoing(k.Child), func(o schema.ForeignKey) bool { return exactly(&o) }) {
		return false
	}
	return !slices.ContainsFunc(siblings, func(r schema.Relation) bool {
		o := r.First()
		return o.OID != k.OID && o.Child == k.Child && covers(o)
	})
}

func (c *compiler) appliesTo(e *entry, r schema.Relation, siblings []schema.Relation) bool {
	k := r.First()
	var same, sameOpen []schema.Relation
	for _, o := range siblings {
		if o.First().Child == k.Child {
			same = append(same, o)
			if o.Open() != nil {
				sameOpen = append(sameOpen, o)
			}
		}
	}
	if len(sameOpen) == 0 && !e.spec.Parent.IsSet() {
		// No undecided key to this parent, but perhaps one to another table of the plan.
		for _, o := range schema.Relations(c.graph.Outgoing(k.Child)) {
			if o.Open() != nil && slices.ContainsFunc(c.plan.Nodes, func(n *Node) bool { return n.Deleted && n.Table.OID == o.First().Parent }) {
				return false
			}
		}
	}
	if len(sameOpen) > 0 {
		same = sameOpen
	}
	if !slices.ContainsFunc(same, func(o schema.Relation) bool { return o.First().OID == k.OID }) {
		return false
	}
	if len(same) > 1 {
		e.used, e.ambiguous = true, append(e.ambiguous, same...)
		return false
	}
	return true
}

// leadsToTenants reports whether rows of the root find their tenant through this table. None of its
// rows may be deleted, so what references it does not matter.
func (c *compiler) leadsToTenants(n *Node) bool {
	p := c.plan
	return n != p.Root && !p.NoTenant && (n.Table == p.Tenants.Table || slices.ContainsFunc(p.Hops, func(h Hop) bool { return h.Table == n.Table }))
}

// clearing determines the columns that clearing a reference sets.
func (c *compiler) clearing(e *Edge) error {
	if !e.Action.Clears() {
		return nil
	}
	if e.Action != ByRedact || e.Key != nil {
		c.emptying(e)
	}
	if e.Action == ByRedact {
		return c.redacting(e)
	}
	return nil
}

// emptying determines the columns of the reference that clearing it empties, and checks that they can
// be NULL.
func (c *compiler) emptying(e *Edge) {
	e.SetColumns = e.ChildColumns
	if e.Key != nil && len(e.Key.SetColumns) > 0 && e.Action != ByNullify {
		e.SetColumns = e.Key.SetColumns
	}
	if e.ToDefault() {
		return
	}
	can := nullable(e, e.SetColumns, e.Action == BySetNull || e.Key != nil && e.Key.MatchFull)
	if can == nil {
		pos, fix := c.keepFix(e, "or delete")
		c.fail(pos, fix, "%s: the rows behind %s (%s) cannot be set to NULL: a column is NOT NULL or generated", e.Child.Table.Name, e.Label(), strings.Join(e.SetColumns, ", "))
		return
	}
	e.SetColumns = can
}

// servingIndex is the index that finds a table's rows by what they reference; "" if there is none.
func servingIndex(t *schema.Table, pairs []schema.Comparison) string {
	columns := make([]string, len(pairs))
	for i, x := range pairs {
		columns[i] = x.Theirs.Name
	}
	for _, x := range t.Indexes {
		if !x.Valid || x.Method != "btree" && x.Method != "hash" || len(x.Columns) < len(pairs) || !impliedByEquality(x.Predicate, columns) {
			continue
		}
		if servesAll(x.Columns[:len(pairs)], pairs) {
			return x.Name
		}
	}
	return ""
}

// servesAll reports whether the index columns, in any order, cover all pairs.
func servesAll(columns []schema.IndexColumn, pairs []schema.Comparison) bool {
	return !slices.ContainsFunc(pairs, func(x schema.Comparison) bool { return !slices.ContainsFunc(columns, x.Serves) })
}

// impliedByEquality reports whether a partial index contains every row that an equality on the
// columns can match.
func impliedByEquality(predicate string, columns []string) bool {
	if predicate == "" {
		return true
	}
	for _, n := range columns {
		for _, written := range []string{n, pg.Ident(n)} {
			if predicate == "("+written+" IS NOT NULL)" {
				return true
			}
		}
	}
	return false
}
