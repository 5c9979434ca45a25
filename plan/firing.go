package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// Firing names the users' triggers and rules that can fire in a run: on DELETE, and on UPDATE where
// a reference is cleared by reaper or by ON DELETE. Their effects are unknown. So a plan with any
// leaves nothing to CASCADE, and every batch verifies its rows before it commits.
func (p *Plan) Firing() (names []string) {
	for _, n := range p.Nodes {
		names = append(names, n.firing()...)
	}
	return names
}

func (n *Node) firing() (names []string) {
	for _, t := range n.firingTriggers() {
		names = append(names, triggerText(t))
	}
	for _, r := range n.FiringRules() {
		names = append(names, ruleText(r))
	}
	return names
}

// Watched reports whether batches verify what became of their rows.
func (p *Plan) Watched() bool { return len(p.Firing()) > 0 }

// Ruled reports whether a rule can rewrite a statement of a batch.
func (p *Plan) Ruled() bool {
	return slices.ContainsFunc(p.Nodes, func(n *Node) bool { return len(n.FiringRules()) > 0 })
}

func triggerText(t schema.Trigger) string { return fmt.Sprintf("trigger %s of %s", t.Name, t.Table) }

func ruleText(r schema.Rule) string { return fmt.Sprintf("rule %s of %s", r.Name, r.Table) }

func (n *Node) firingTriggers() (out []schema.Trigger) {
	for _, t := range n.Table.Triggers {
		if n.Deleted && t.OnDelete || n.updatedBy(t) {
			out = append(out, t)
		}
	}
	return out
}

// updatedBy reports whether clearing references fires the trigger.
func (n *Node) updatedBy(t schema.Trigger) bool {
	return slices.ContainsFunc(n.In, func(e *Edge) bool { return e.Action.Clears() && t.FiresOnUpdateOf(e.SetColumns) })
}

// FiringRules are the table's rules that can rewrite a statement of a run.
func (n *Node) FiringRules() (out []schema.Rule) {
	for _, r := range n.Table.Rules {
		if r.OnDelete && n.Deleted || !r.OnDelete && n.cleared() {
			out = append(out, r)
		}
	}
	return out
}

// cleared reports whether any edge clears references in the table.
func (n *Node) cleared() bool {
	return slices.ContainsFunc(n.In, func(e *Edge) bool { return e.Action.Clears() })
}

// maySuppressDelete reports whether a trigger or rule could silently suppress the deletion of rows.
func (n *Node) maySuppressDelete() bool {
	return n.Deleted && (slices.ContainsFunc(n.firingTriggers(), func(t schema.Trigger) bool { return t.OnDelete && t.Before && t.Row }) ||
		slices.ContainsFunc(n.FiringRules(), func(r schema.Rule) bool { return r.OnDelete }))
}

// Fires names what fires on the table.
func (n *Node) Fires() string {
	names := n.firing()
	if len(names) == 0 {
		return "a trigger or a rule of another table"
	}
	return strings.Join(names, ", ")
}

// checkTriggers records the problems of the table's triggers and rules that can fire.
func (c *compiler) checkTriggers(n *Node) {
	p := c.plan
	for _, t := range n.firingTriggers() {
		on := "UPDATE"
		if n.Deleted && t.OnDelete {
			on = "DELETE"
		}
		if on == "DELETE" && t.Before && t.Row && !p.Policy.AllowTriggers {
			p.AddProblem(LevelError, fmt.Sprintf("%s runs BEFORE DELETE and could keep rows", triggerText(t)),
				"write triggers: allow # see what it does first: it must never return NULL for rows that have to go")
			continue
		}
		as := "role " + c.server.Role
		if t.DefinerOf != "" {
			as = "its owner " + t.DefinerOf
		}
		p.AddProblem(LevelWarning, fmt.Sprintf("%s fires on %s: function %s runs as %s, with row_security = off and TimeZone UTC", triggerText(t), on, t.Function, as),
			fmt.Sprintf("make sure that %s has the privileges that the function needs, under these settings too", as))
	}
	for _, r := range n.FiringRules() {
		on := "UPDATE"
		if r.OnDelete {
			on = "DELETE"
		}
		if !p.Policy.AllowTriggers {
			p.AddProblem(LevelError, fmt.Sprintf("%s rewrites %s and could keep rows", ruleText(r), on),
				"write triggers: allow # see what it does first: rows that have to go must still go")
		}
	}
	p.ownPath.writing = p.ownPath.writing || len(n.firingTriggers()) > 0 || len(n.FiringRules()) > 0 || n.cleared() && len(n.Table.Functions) > 0
}

// Stays is the error text for rows that survived their own deletion.
func (n *Node) Stays() string {
	return fmt.Sprintf("rows of %s are still there after they were deleted: %s", n.Table.Name, n.Fires())
}
