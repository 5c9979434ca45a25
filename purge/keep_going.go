package purge

import "github.com/reaperdb/reaper/internal/components"

// going starts from nothing going, and lets every root go that nothing keeps
// which stays, with all it takes along, until there are no more. Every row and
// every reference is looked at a few times in all: rows that keep each other in
// a long line take no longer than others.
func (k *keeping) going(root func(row int) bool) []bool {
	g := &goers{keeping: k, gone: make([]bool, len(k.keepers))}
	g.knot, g.rows = components.Of(k.taken)
	g.hold()
	for knot := range g.rows {
		if g.holds[knot] == 0 {
			g.let(knot, root)
		}
	}
	for len(g.freed) > 0 {
		knot := g.freed[len(g.freed)-1]
		g.freed = g.freed[:len(g.freed)-1]
		for _, row := range g.rows[knot] {
			for _, p := range k.parents[row] {
				if g.knot[p] != knot {
					g.loosen(p)
				}
			}
		}
		g.let(knot, root)
	}
	return g.gone
}

// goers is the state of that. Rows that take each other along in a circle are one
// knot: they go together or not at all.
type goers struct {
	*keeping
	gone  []bool
	knot  []int   // of each row: its knot; those that it takes along have higher numbers
	rows  [][]int // of each knot
	keeps [][]int // of each row: those that it keeps
	holds []int   // of each knot: how many keepers of its rows stay, and how many references lead down to knots that are held
	freed []int   // knots that nothing holds any more, and whose parents do not know yet
}

// hold counts what holds each knot while nothing goes, from below.
func (g *goers) hold() {
	g.keeps, g.holds = make([][]int, len(g.keepers)), make([]int, len(g.rows))
	for knot := len(g.rows) - 1; knot >= 0; knot-- {
		for _, row := range g.rows[knot] {
			g.holds[knot] += len(g.keepers[row])
			for _, c := range g.keepers[row] {
				if c != stranger {
					g.keeps[c] = append(g.keeps[c], row)
				}
			}
			for _, c := range g.taken[row] {
				if g.knot[c] != knot && g.holds[g.knot[c]] > 0 {
					g.holds[knot]++
				}
			}
		}
	}
}

// let lets the roots of a knot go that nothing holds, with all they take along.
func (g *goers) let(knot int, root func(row int) bool) {
	for _, row := range g.rows[knot] {
		if g.gone[row] || !root(row) {
			continue
		}
		g.gone[row] = true
		for open := []int{row}; len(open) > 0; {
			row := open[len(open)-1]
			open = open[:len(open)-1]
			for _, kept := range g.keeps[row] {
				g.loosen(kept)
			}
			for _, c := range g.taken[row] {
				if !g.gone[c] {
					g.gone[c] = true
					open = append(open, c)
				}
			}
		}
	}
}

// loosen takes one hold off a row's knot.
func (g *goers) loosen(row int) {
	knot := g.knot[row]
	if g.holds[knot]--; g.holds[knot] == 0 {
		g.freed = append(g.freed, knot)
	}
}
