package plan

import (
	"cmp"
	"slices"

	"github.com/reaperdb/reaper/internal/components"
)

// Traversal divides the work of a plan: which edges reaper walks itself, and which it leaves to ON
// DELETE. The usual traversal leaves as much to PostgreSQL as is safe. The full one walks every
// edge, so that a batch can be counted before it deletes, and one root drained over several
// batches.
type Traversal struct {
	Full      bool
	Whole     bool           // every row that goes is collected, leaves included: it is copied first
	Collected map[*Node]bool // nodes whose rows are locked and collected before any deletion
	Deletes   []*Edge        // deleting edges into nodes that are not collected: deleted by the parent's values
	Clears    []*Edge        // clearing edges done by UPDATE
	Order     [][]*Node      // collected nodes by strongly connected component, parents first
	Counted   []*Node        // nodes whose deletions are counted by pg_stat_get_xact_tuples_deleted
	CountedUp []*Node        // the same for tuples updated by SET NULL and SET DEFAULT
}

// Simple reports whether a DELETE of the roots is all there is to do.
func (m *Traversal) Simple() bool { return len(m.Collected) == 0 }

// Walks reports whether reaper, not ON DELETE, acts on the rows behind an edge.
func (m *Traversal) Walks(e *Edge) bool {
	if !m.Collected[e.Parent] {
		return false
	}
	return m.Full || e.Action == ByDelete || e.Action == ByNullify || e.Action == ByRedact ||
		e.Action.Deletes() && (e.Internal() || m.Collected[e.Child])
}

// Internal reports whether a deleting edge is part of a cycle of tables, where CASCADE would
// recurse as deep as the data.
func (e *Edge) Internal() bool { return e.Action.Deletes() && e.Parent.Component == e.Child.Component }

// hasDependents reports whether the plan deletes or clears rows below the node.
func (n *Node) hasDependents() bool {
	return slices.ContainsFunc(n.Out, func(e *Edge) bool { return e.Action.Deletes() || e.Action.Clears() })
}

func newTraversal(p *Plan, full bool) *Traversal {
	return (&Traversal{Full: full, Collected: map[*Node]bool{}}).divide(p)
}

// divide divides the work of a plan.
func (m *Traversal) divide(p *Plan) *Traversal {
	for changed := true; changed; {
		changed = false
		for _, n := range p.Nodes {
			if !m.Collected[n] && n.Deleted && m.needs(n) {
				m.Collected[n], changed = true, true
			}
		}
	}
	if len(m.Collected) > 0 {
		m.Collected[p.Root] = true
	}
	for _, e := range p.Edges {
		m.countsBehind(e)
		switch {
		case e.Action == ByKeep:
		case m.Walks(e) && e.Action.Clears():
			m.Clears = append(m.Clears, e)
		case m.Walks(e):
			if !m.Collected[e.Child] {
				m.Deletes = append(m.Deletes, e)
			}
		case e.Action.Clears():
			m.CountedUp = addNode(m.CountedUp, e.Child)
		default:
			m.Counted = addNode(m.Counted, e.Child)
		}
	}
	m.Order = m.components(p)
	return m
}

// countsBehind counts rows behind an edge that reaper walks, but ON DELETE acts on: those inserted
// after their parent was collected.
func (m *Traversal) countsBehind(e *Edge) {
	switch {
	case !m.Walks(e):
	case m.Whole && e.Action.Deletes():
		m.Counted = addNode(m.Counted, e.Child)
	case m.Whole && e.Action.Clears():
		m.CountedUp = addNode(m.CountedUp, e.Child)
	case e.Action == ByCascade:
		m.Counted = addNode(m.Counted, e.Child)
	case e.Action == BySetNull, e.Action == BySetDefault:
		m.CountedUp = addNode(m.CountedUp, e.Child)
	}
}

func addNode(list []*Node, n *Node) []*Node {
	if slices.Contains(list, n) {
		return list
	}
	return append(list, n)
}

// needs reports whether the rows of a node must be collected: reaper acts on rows below, or rows
// may be protected, or a trigger may suppress a deletion.
func (m *Traversal) needs(n *Node) bool {
	return m.Whole || m.Full && (n.hasDependents() || n.maySuppressDelete()) || slices.ContainsFunc(n.Out, func(e *Edge) bool {
		return e.Action == ByDelete || e.Action == ByNullify || e.Action == ByRedact || e.Action == ByKeep || e.Internal() ||
			e.Action.Deletes() && m.Collected[e.Child]
	})
}

// components groups the collected nodes by component, parents first.
func (m *Traversal) components(p *Plan) [][]*Node {
	var order [][]*Node
	for scc := 0; scc < len(p.Nodes); scc++ {
		var group []*Node
		for _, n := range p.Nodes {
			if m.Collected[n] && n.Component == scc {
				group = append(group, n)
			}
		}
		if group != nil {
			order = append(order, group)
		}
	}
	return order
}

// Cyclic reports whether a component's rows can reference each other.
func Cyclic(group []*Node) bool {
	return slices.ContainsFunc(group, func(n *Node) bool {
		return slices.ContainsFunc(n.Out, func(e *Edge) bool { return e.Internal() })
	})
}

// order numbers the strongly connected components along deleting edges, parents first, and
// determines the columns to collect for each node.
func (p *Plan) order() {
	number := map[*Node]int{}
	for i, n := range p.Nodes {
		number[n] = i
	}
	next := make([][]int, len(p.Nodes))
	for i, n := range p.Nodes {
		for _, e := range n.Out {
			if e.Action.Deletes() {
				next[i] = append(next[i], number[e.Child])
			}
			for _, c := range e.ParentColumns {
				if !slices.Contains(n.Refs, c) {
					n.Refs = append(n.Refs, c)
				}
			}
		}
	}
	of, _ := components.Of(next)
	for i, n := range p.Nodes {
		n.Component = of[i]
	}
}

// checkTrackCounts refuses a plan that relies on ON DELETE if PostgreSQL does not count the rows.
func (c *compiler) checkTrackCounts() {
	m := cmp.Or(c.plan.Whole, c.plan.Usual)
	if c.server.TrackCounts || len(m.Counted)+len(m.CountedUp) == 0 {
		return
	}
	c.plan.AddProblem(LevelError, "track_counts is off: rows that go by ON DELETE cannot be counted",
		c.server.sources.SettingFix("track_counts", "on", c.server.sources.TrackCounts))
}

// Protects reports whether a row behind the edge could keep the row it references, by itself or
// through its own dependents.
func (e *Edge) Protects() bool {
	return e.Action == ByKeep || e.Action.Deletes() && e.Child.NeedsLock()
}
