package purge

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// dependents walks the references to the root, to any depth along deleting
// edges, and decides each one.
func (c *compiler) dependents() error {
	p := c.plan
	entries := make([]*entry, len(p.Policy.Dependents))
	for i := range p.Policy.Dependents {
		d := &p.Policy.Dependents[i]
		entries[i] = &entry{spec: d}
		if _, err := c.find(d.Table); err != nil {
			return err
		}
		if d.Parent.IsSet() {
			if _, err := c.find(d.Parent); err != nil {
				return err
			}
		}
	}
	expanded := map[*Node]bool{}
	for {
		i := slices.IndexFunc(p.Nodes, func(n *Node) bool { return n.Deleted && !expanded[n] })
		if i < 0 {
			break
		}
		expanded[p.Nodes[i]] = true
		if err := c.expand(p.Nodes[i], entries); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if !e.used {
			c.fail(e.spec.Pos, "remove the entry, correct its table, via or parent, or declare the reference with match",
				"no foreign key of the plan leads from %s to %s", e.spec.Table, c.parentText(e.spec))
		}
	}
	return nil
}

type entry struct {
	spec *policy.Dependent
	used bool
}

func (c *compiler) parentText(d *policy.Dependent) string {
	if d.Parent.IsSet() {
		return d.Parent.String()
	}
	return c.plan.Root.Table.Name.String() + " or its dependents"
}

// expand adds the edges into a table whose rows may go.
func (c *compiler) expand(n *Node, entries []*entry) error {
	keys := c.graph.References(n.Table.OID)
	for i := range keys {
		k := keys[i]
		if !k.Enforced {
			c.plan.problem(LevelWarning, fmt.Sprintf("foreign key %s of %s is NOT ENFORCED: rows behind it are treated as if it were", k.Name, k.ChildName),
				"declare what should happen with an entry under dependents")
		}
		if err := c.addEdge(n, &k, entries, keys); err != nil {
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

// node finds the plan's node of a table, adding it on first sight.
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
	e.Index = servingIndex(e.Child.Table, e.ChildColumns)
	if e.Action.deletes() {
		e.Child.Deleted = true
	}
}

func (c *compiler) addEdge(parent *Node, k *schema.ForeignKey, entries []*entry, siblings []schema.ForeignKey) error {
	child, err := c.node(k.Child)
	if err != nil {
		return err
	}
	e := &Edge{Parent: parent, Child: child, ParentColumns: k.ParentColumns, ChildColumns: k.ChildColumns, Key: k}
	if k.Parent != parent.Table.OID {
		for _, oid := range c.graph.Family(k.Parent) {
			e.within = append(e.within, strconv.FormatUint(uint64(oid), 10))
		}
	}
	decided := c.entryFor(parent, k, entries, siblings)
	switch {
	case decided != nil:
		decided.used = true
		e.Action = EdgeAction(decided.spec.Action)
		if !allowedFor(k.OnDelete, decided.spec.Action) {
			c.fail(decided.spec.Pos, "allowed: "+allowedText(k.OnDelete), "%s (%s) is ON DELETE %s: the action cannot be %s",
				k.ChildName, k.Name, k.OnDelete, decided.spec.Action)
		}
	case k.OnDelete == schema.Cascade:
		e.Action = ByCascade
	case k.OnDelete == schema.SetNull:
		e.Action = BySetNull
	case k.OnDelete == schema.SetDefault:
		e.Action = BySetDefault
	case c.plan.Policy.Undecided != "":
		e.Action = EdgeAction(c.plan.Policy.Undecided)
		c.plan.problem(LevelWarning, fmt.Sprintf("%s references %s by %s (ON DELETE %s) and is decided by undecided: %s",
			k.ChildName, k.ParentName, k.Name, k.OnDelete, c.plan.Policy.Undecided),
			"write an entry under dependents: "+entryText(k, string(c.plan.Policy.Undecided)))
	default:
		e.Action = undecided
		c.plan.problem(LevelError, fmt.Sprintf("%s references %s by %s (ON DELETE %s): nobody decided what happens to its rows",
			k.ChildName, k.ParentName, k.Name, k.OnDelete),
			"write an entry under dependents: "+entryText(k, "delete")+" (or nullify, or keep)")
	}
	c.link(e)
	return c.clearing(e)
}

// entryText is the entry that decides an edge.
func entryText(k *schema.ForeignKey, action string) string {
	via := strings.Join(k.ChildColumns, ", ")
	if len(k.ChildColumns) > 1 {
		via = "[" + via + "]"
	}
	return fmt.Sprintf("{table: %s, via: %s, action: %s}", k.ChildName, via, action)
}

func allowedFor(o schema.OnDelete, a policy.Action) bool {
	switch o {
	case schema.NoAction, schema.Restrict:
		return true
	case schema.Cascade:
		return a == policy.Keep
	}
	return a == policy.Delete || a == policy.Keep
}

func allowedText(o schema.OnDelete) string {
	switch o {
	case schema.Cascade:
		return "keep, or no entry: the schema has decided"
	case schema.SetNull, schema.SetDefault:
		return "delete, keep, or no entry: the schema has decided"
	}
	return "delete, nullify, keep"
}

// entryFor finds the entry that decides a foreign key. An entry without via
// speaks of the keys nobody decided, if the table has any of those.
func (c *compiler) entryFor(parent *Node, k *schema.ForeignKey, entries []*entry, siblings []schema.ForeignKey) *entry {
	var found *entry
	for _, e := range entries {
		d := e.spec
		if len(d.Match) > 0 || !c.names(d.Table, k.Child) || d.Parent.IsSet() && !c.names(d.Parent, parent.Table.OID) {
			continue
		}
		if len(d.Via) > 0 {
			if !viaNames(d.Via, k, siblings) {
				continue
			}
		} else if !c.speaksOf(e, k, siblings) {
			continue
		}
		if found != nil {
			c.fail(d.Pos, "keep one of them, or tell them apart with via and parent", "two entries decide %s of %s", k.Name, k.ChildName)
			continue
		}
		found = e
	}
	return found
}

// names tells whether a table of the file is the one with this OID.
func (c *compiler) names(t policy.Table, oid uint32) bool {
	return c.resolve(t) == oid
}

// viaNames tells whether via names the key's columns: all of them, or enough
// to tell it apart.
func viaNames(via []policy.Text, k *schema.ForeignKey, siblings []schema.ForeignKey) bool {
	within := func(o schema.ForeignKey) bool {
		for _, v := range via {
			if !slices.Contains(o.ChildColumns, v.Value) {
				return false
			}
		}
		return true
	}
	if !within(*k) {
		return false
	}
	if len(via) == len(k.ChildColumns) {
		return true
	}
	for _, o := range siblings {
		if o.OID != k.OID && o.Child == k.Child && within(o) {
			return false
		}
	}
	return true
}

func (c *compiler) speaksOf(e *entry, k *schema.ForeignKey, siblings []schema.ForeignKey) bool {
	open := func(o schema.ForeignKey) bool { return o.OnDelete == schema.NoAction || o.OnDelete == schema.Restrict }
	var same, sameOpen []schema.ForeignKey
	for _, o := range siblings {
		if o.Child == k.Child {
			same = append(same, o)
			if open(o) {
				sameOpen = append(sameOpen, o)
			}
		}
	}
	anyOpen := len(sameOpen) > 0
	if !anyOpen && !e.spec.Parent.IsSet() {
		// Nothing open towards this parent, but perhaps towards another of the plan.
		for _, o := range c.graph.Outgoing(k.Child) {
			if open(o) && slices.ContainsFunc(c.plan.Nodes, func(n *Node) bool { return n.Deleted && n.Table.OID == o.Parent }) {
				return false
			}
		}
	}
	if anyOpen {
		same = sameOpen
	}
	if !slices.ContainsFunc(same, func(o schema.ForeignKey) bool { return o.OID == k.OID }) {
		return false
	}
	if len(same) > 1 {
		var columns []string
		for _, o := range same {
			columns = append(columns, strings.Join(o.ChildColumns, "+"))
		}
		e.used = true
		c.fail(e.spec.Pos, "name the column with via, one entry each: "+strings.Join(columns, ", "),
			"%s references %s more than once", k.ChildName, k.ParentName)
		return false
	}
	return true
}

// addMatch adds a declared reference below this parent.
func (c *compiler) addMatch(parent *Node, e *entry) error {
	d := e.spec
	want := d.Parent
	if !want.IsSet() {
		want = c.plan.Policy.Table
	}
	if !c.names(want, parent.Table.OID) || e.used {
		return nil
	}
	e.used = true
	child, err := c.node(c.resolve(d.Table))
	if err != nil {
		return err
	}
	edge := &Edge{Parent: parent, Child: child, Action: EdgeAction(d.Action), Where: d.Where.Value}
	for _, m := range d.Match {
		theirs, err := c.column(child.Table, m.Theirs, d.Pos)
		if err != nil {
			return err
		}
		ours, err := c.column(parent.Table, m.Ours, d.Pos)
		if err != nil {
			return err
		}
		if theirs.Category != "S" && theirs.Category != ours.Category {
			c.fail(d.Pos, "match columns of one type, or a text column of theirs", "%s.%s is %s and cannot hold %s.%s, which is %s",
				child.Table.Name, theirs.Name, theirs.Type, parent.Table.Name, ours.Name, ours.Type)
			return errStop
		}
		if theirs.Category == "S" && theirs.Category != ours.Category && ours.Category == "D" {
			c.fail(d.Pos, "match columns of one type", "%s.%s is text and %s.%s is %s: dates have no one text", child.Table.Name, theirs.Name, parent.Table.Name, ours.Name, ours.Type)
			return errStop
		}
		edge.ChildColumns = append(edge.ChildColumns, theirs.Name)
		edge.ParentColumns = append(edge.ParentColumns, ours.Name)
	}
	if d.Where.IsSet() {
		if err := c.boolean("where of dependent "+d.Table.String(), d.Where, from(child.Table)); err != nil {
			return err
		}
	}
	c.link(edge)
	return c.clearing(edge)
}

// clearing settles which columns an emptied reference sets, and whether they
// can be NULL.
func (c *compiler) clearing(e *Edge) error {
	if !e.Action.clears() {
		return nil
	}
	name := e.Child.Table.Name
	e.SetColumns = e.ChildColumns
	if e.Key != nil && len(e.Key.SetColumns) > 0 && e.Action != ByNullify {
		e.SetColumns = e.Key.SetColumns
	}
	if e.Action == BySetDefault {
		return nil
	}
	var nullable []string
	for _, n := range e.SetColumns {
		if k, ok := e.Child.Table.Column(n); ok && !k.NotNull && !k.Generated {
			nullable = append(nullable, n)
		}
	}
	whole := e.Action == BySetNull || e.Key != nil && e.Key.MatchFull
	if len(nullable) == 0 || whole && len(nullable) < len(e.SetColumns) {
		c.plan.problem(LevelError, fmt.Sprintf("%s: the rows behind %s (%s) cannot be set to NULL: a column is NOT NULL or generated", name, e.Label(), strings.Join(e.SetColumns, ", ")),
			"decide delete or keep for it under dependents")
		return nil
	}
	e.SetColumns = nullable
	return nil
}

// servingIndex is the index by which rows of a table are found by these
// columns; "" when there is none.
func servingIndex(t *schema.Table, columns []string) string {
	for _, x := range t.Indexes {
		if !x.Valid || x.Method != "btree" && x.Method != "hash" || len(x.Columns) < len(columns) || !impliedByEquality(x.Predicate, columns) {
			continue
		}
		lead := x.ColumnNames()[:len(columns)]
		all := true
		for _, n := range columns {
			all = all && slices.Contains(lead, n)
		}
		if all {
			return x.Name
		}
	}
	return ""
}

// impliedByEquality tells whether a partial index still holds every row that
// an equality on the columns can find.
func impliedByEquality(predicate string, columns []string) bool {
	if predicate == "" {
		return true
	}
	for _, n := range columns {
		for _, written := range []string{n, ident(n)} {
			if predicate == "("+written+" IS NOT NULL)" {
				return true
			}
		}
	}
	return false
}
