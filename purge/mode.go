package purge

import (
	"slices"

	"github.com/reaperdb/reaper/internal/components"
)

// mode is one way of carrying out a plan: which edges reaper walks itself, and
// which it leaves to ON DELETE. The usual mode leaves to PostgreSQL all it
// safely can; the full mode walks every edge, so that a batch is counted before
// it deletes and one root may be drained over several batches.
type mode struct {
	full      bool
	collected map[*Node]bool // nodes whose rows are locked and known before anything goes
	deletes   []*Edge        // deleting edges into nodes that are not collected: by the parent's values
	clears    []*Edge        // clearing edges done by UPDATE
	order     [][]*Node      // collected nodes by strongly connected component, parents first
	counted   []*Node        // nodes whose deletions are counted by pg_stat_get_xact_tuples_deleted
	countedUp []*Node        // the same for tuples updated by SET NULL and SET DEFAULT
}

// simple tells that a DELETE of the roots is all there is to do.
func (m *mode) simple() bool { return len(m.collected) == 0 }

// walks tells whether an edge is reaper's own work in this mode.
func (m *mode) walks(e *Edge) bool {
	if !m.collected[e.Parent] {
		return false
	}
	return m.full || e.Action == ByDelete || e.Action == ByNullify ||
		e.Action.deletes() && (e.internal() || m.collected[e.Child])
}

// internal tells whether a deleting edge lies on a cycle of tables: left to
// CASCADE it would recurse as deep as the data.
func (e *Edge) internal() bool { return e.Action.deletes() && e.Parent.scc == e.Child.scc }

// inner tells whether anything hangs below the node.
func (n *Node) inner() bool {
	return slices.ContainsFunc(n.Out, func(e *Edge) bool { return e.Action.deletes() || e.Action.clears() })
}

func newMode(p *Plan, full bool) *mode {
	m := &mode{full: full, collected: map[*Node]bool{}}
	for changed := true; changed; {
		changed = false
		for _, n := range p.Nodes {
			if !m.collected[n] && n.Deleted && m.needs(n) {
				m.collected[n], changed = true, true
			}
		}
	}
	if len(m.collected) > 0 {
		m.collected[p.Root] = true
	}
	for _, e := range p.Edges {
		m.countsBehind(e)
		switch {
		case e.Action == ByKeep:
		case m.walks(e) && e.Action.clears():
			m.clears = append(m.clears, e)
		case m.walks(e):
			if !m.collected[e.Child] {
				m.deletes = append(m.deletes, e)
			}
		case e.Action.clears():
			m.countedUp = addNode(m.countedUp, e.Child)
		default:
			m.counted = addNode(m.counted, e.Child)
		}
	}
	m.order = m.components(p)
	return m
}

// countsBehind has rows counted that ON DELETE takes along, or empties, though reaper
// walks the edge itself: they came behind a row after it was collected.
func (m *mode) countsBehind(e *Edge) {
	switch {
	case !m.walks(e):
	case e.Action == ByCascade:
		m.counted = addNode(m.counted, e.Child)
	case e.Action == BySetNull, e.Action == BySetDefault:
		m.countedUp = addNode(m.countedUp, e.Child)
	}
}

func addNode(list []*Node, n *Node) []*Node {
	if slices.Contains(list, n) {
		return list
	}
	return append(list, n)
}

// needs tells whether the rows of a node must be known: something below is
// reaper's own work, or may be protected, or a trigger may keep them unseen.
func (m *mode) needs(n *Node) bool {
	return m.full && (n.inner() || n.mayKeep()) || slices.ContainsFunc(n.Out, func(e *Edge) bool {
		return e.Action == ByDelete || e.Action == ByNullify || e.Action == ByKeep || e.internal() ||
			e.Action.deletes() && m.collected[e.Child]
	})
}

// components groups the collected nodes; numbers of components count parents
// first.
func (m *mode) components(p *Plan) [][]*Node {
	var order [][]*Node
	for scc := 0; scc < len(p.Nodes); scc++ {
		var group []*Node
		for _, n := range p.Nodes {
			if m.collected[n] && n.scc == scc {
				group = append(group, n)
			}
		}
		if group != nil {
			order = append(order, group)
		}
	}
	return order
}

// cyclic tells whether a component's rows can reference each other.
func cyclic(group []*Node) bool {
	return slices.ContainsFunc(group, func(n *Node) bool {
		return slices.ContainsFunc(n.Out, func(e *Edge) bool { return e.internal() })
	})
}

// order numbers the strongly connected components of the deleting edges,
// parents first, and settles which columns are collected of each node.
func (p *Plan) order() {
	number := map[*Node]int{}
	for i, n := range p.Nodes {
		number[n] = i
	}
	next := make([][]int, len(p.Nodes))
	for i, n := range p.Nodes {
		for _, e := range n.Out {
			if e.Action.deletes() {
				next[i] = append(next[i], number[e.Child])
			}
			for _, c := range e.ParentColumns {
				if !slices.Contains(n.refs, c) {
					n.refs = append(n.refs, c)
				}
			}
		}
	}
	of, _ := components.Of(next)
	for i, n := range p.Nodes {
		n.scc = of[i]
	}
}

// needCounts refuses a plan that leaves rows to
// ON DELETE where PostgreSQL does not count them.
func (c *compiler) needCounts() {
	m := c.plan.usual
	if c.server.TrackCounts || len(m.counted)+len(m.countedUp) == 0 {
		return
	}
	c.plan.problem(LevelError, "track_counts is off: rows that go by ON DELETE cannot be counted",
		c.server.sources.settingFix("track_counts", "on", c.server.sources.trackCounts))
}
