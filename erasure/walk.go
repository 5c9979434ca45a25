package erasure

import (
	"fmt"
	"slices"
)

// makeSteps makes the steps of all groups.
func (p *Plan) makeSteps() {
	early := slices.ContainsFunc(p.edges, func(e *edge) bool { return e.child == p.Tenants && e.emptied })
	for _, t := range p.Tables {
		if t.Action != Redact || t == p.Tenants {
			continue
		}
		for _, w := range t.Ways {
			p.redactions = append(p.redactions, &Step{Kind: StepRedact, Tables: []*Table{t}, plan: p, way: w})
		}
	}
	if p.Tenants.Action == Redact {
		step := &Step{Kind: StepRedact, Tables: []*Table{p.Tenants}, plan: p, Last: !early}
		if early {
			p.redactions = append(p.redactions, step)
		} else {
			p.final = step
		}
	}
	for _, g := range p.Groups {
		p.groupSteps(g)
	}
}

func (p *Plan) groupSteps(g *Group) {
	last := slices.Contains(g.Tables, p.Tenants)
	for _, t := range g.Tables {
		if t == p.Tenants {
			continue
		}
		for _, w := range t.Ways {
			g.steps = append(g.steps, &Step{Kind: StepDelete, Tables: []*Table{t}, plan: p, group: g, way: w})
		}
	}
	if g.Cyclic {
		for _, e := range p.edges {
			if e.child != p.Tenants && e.key != nil && len(e.clear) > 0 && e.binds() && slices.Contains(g.Tables, e.child) && slices.Contains(g.Tables, e.parent) {
				g.clears = append(g.clears, &Step{Kind: StepClear, Tables: []*Table{e.child}, plan: p, group: g, edge: e})
			}
		}
		g.knot = &Step{Kind: StepTogether, Tables: g.Tables, Last: last, plan: p, group: g}
	}
	if last && !g.Cyclic {
		g.steps = append(g.steps, &Step{Kind: StepDelete, Tables: []*Table{p.Tenants}, Last: true, plan: p, group: g})
	}
}

// Walk is the order of the steps of one erasure. It starts over until nothing changes any more, since
// rows may arrive behind it. Whoever goes on after an interruption begins another: steps that are done
// find nothing.
type Walk struct {
	plan  *Plan
	limit int

	phase   phase
	group   int
	step    int
	worked  bool // a step of this round has changed rows
	changed bool // a step since the beginning has
	current *Step
	stuck   int // how often in a row a step has found rows and changed none
	err     error
}

type phase int

const (
	redacting phase = iota
	peeling         // rows that nothing references
	knotting        // what is left of a circle
	clearing        // references in a circle
	finishing       // the tenant's row is redacted
	done
)

// Walk begins an erasure; limit is the largest number of rows that any step may change at once.
func (p *Plan) Walk(limit int) *Walk { return &Walk{plan: p, limit: limit} }

// Err is why the erasure cannot go on; nil if it can.
func (w *Walk) Err() error { return w.err }

// Next is the step to run now; nil: there is none, or Err is not nil. It is the same until Did.
func (w *Walk) Next() *Step {
	for w.current == nil && w.phase != done && w.err == nil {
		w.current = w.choose()
	}
	if w.err != nil {
		return nil
	}
	return w.current
}

// steps are those of the phase.
func (w *Walk) steps() []*Step {
	p := w.plan
	switch w.phase {
	case redacting:
		return p.redactions
	case finishing:
		if p.final != nil {
			return []*Step{p.final}
		}
		return nil
	case peeling:
		return p.Groups[w.group].steps
	case knotting:
		return []*Step{p.Groups[w.group].knot}
	case clearing:
		return p.Groups[w.group].clears
	}
	return nil
}

// choose is the next step of the phase; nil after it has gone on to another.
func (w *Walk) choose() *Step {
	if steps := w.steps(); w.step < len(steps) {
		return steps[w.step]
	}
	worked := w.worked
	w.step, w.worked = 0, false
	switch w.phase {
	case redacting:
		w.enter(0)
	case peeling:
		switch g := w.plan.Groups[w.group]; {
		case !g.Cyclic:
			w.enter(w.group + 1)
		case !worked:
			w.phase = knotting
		}
	case knotting:
		w.enter(w.group + 1)
	case clearing:
		if !worked {
			w.err = w.tooMany()
			return nil
		}
		w.phase = peeling
	case finishing:
		w.phase = done
		if w.changed {
			w.phase, w.changed = redacting, false
		}
	}
	return nil
}

func (w *Walk) enter(group int) {
	w.group, w.phase = group, peeling
	if group >= len(w.plan.Groups) {
		w.phase = finishing
	}
}

func (w *Walk) tooMany() error {
	g := w.plan.Groups[w.group]
	return fmt.Errorf("more than %d rows of %s reference each other in a circle that cannot be opened: raise limits: rows under erasure", w.limit, names(g.Tables))
}

// maxStuck is how often a step may find rows and change none: they change all the time, or something
// silently keeps them.
const maxStuck = 5

// Did takes what the step of the last Next has done.
func (w *Walk) Did(o Outcome) {
	s := w.current
	w.current = nil
	changed := o.Total() > 0
	w.worked, w.changed = w.worked || changed, w.changed || changed
	if s.Kind == StepTogether && o.Found > w.limit {
		w.phase, w.step, w.worked, w.stuck = clearing, 0, false, 0
		return
	}
	switch {
	case o.Found == 0:
		w.step, w.stuck = w.step+1, 0
	case changed:
		w.stuck = 0
		if s.Kind == StepTogether {
			w.phase, w.step, w.worked = peeling, 0, false
		}
	default:
		if w.stuck++; w.stuck >= maxStuck {
			w.err = fmt.Errorf("rows of %s are still there after they were changed: a trigger keeps them, or others change them all the time", names(s.Tables))
		}
	}
}

func names(tables []*Table) string {
	text := ""
	for i, t := range tables {
		if i > 0 {
			text += ", "
		}
		text += t.Name()
	}
	return text
}
