// Package keeping works out which rows may go, where rows take each other along and
// others keep them. It knows numbers of rows alone.
package keeping

import "github.com/reaperdb/reaper/internal/components"

// Stranger is a row outside of the graph, which keeps others and never goes.
const Stranger = -1

// Graph is who takes whom along, and who keeps whom. Its rows are numbered from 0.
type Graph struct {
	parents [][]int // of each row: those that would take it along
	taken   [][]int // of each row: those that it would take along
	keepers [][]int // of each row: those that keep it
}

// New makes a graph of so many rows, which nothing links yet.
func New(rows int) *Graph {
	return &Graph{parents: make([][]int, rows), taken: make([][]int, rows), keepers: make([][]int, rows)}
}

// Len is the number of its rows.
func (g *Graph) Len() int { return len(g.keepers) }

// Add adds a row, and gives its number.
func (g *Graph) Add() int {
	g.parents, g.taken, g.keepers = append(g.parents, nil), append(g.taken, nil), append(g.keepers, nil)
	return len(g.keepers) - 1
}

// Keep links a row to one that keeps it, which may be a Stranger.
func (g *Graph) Keep(row, keeper int) { g.keepers[row] = append(g.keepers[row], keeper) }

// Take links a row to one that it takes along.
func (g *Graph) Take(parent, child int) {
	g.parents[child] = append(g.parents[child], parent)
	g.taken[parent] = append(g.taken[parent], child)
}

// Going reports of each row whether it goes. It starts from nothing going, and releases
// every root that no row keeps which stays, with all that it takes along, until there are
// no more. Every row and every reference is visited a few times in all: rows that keep
// each other in a long line take no longer than others.
func (g *Graph) Going(root func(row int) bool) []bool {
	w := &walk{Graph: g, gone: make([]bool, len(g.keepers))}
	w.knot, w.rows = components.Of(g.taken)
	w.count()
	for knot := range w.rows {
		if w.holds[knot] == 0 {
			w.release(knot, root)
		}
	}
	for len(w.freed) > 0 {
		knot := w.freed[len(w.freed)-1]
		w.freed = w.freed[:len(w.freed)-1]
		for _, row := range w.rows[knot] {
			for _, p := range g.parents[row] {
				if w.knot[p] != knot {
					w.loosen(p)
				}
			}
		}
		w.release(knot, root)
	}
	return w.gone
}

// walk is the state of Going. Rows that take each other along in a cycle are one knot:
// they go together or not at all.
type walk struct {
	*Graph
	gone  []bool
	knot  []int   // of each row: its knot; those that it takes along have higher numbers
	rows  [][]int // of each knot
	keeps [][]int // of each row: those that it keeps
	holds []int   // of each knot: how many keepers of its rows stay, and how many references lead down to knots that are held
	freed []int   // knots that nothing holds any more, and whose parents do not know yet
}

// count counts what holds each knot while nothing goes, from below.
func (w *walk) count() {
	w.keeps, w.holds = make([][]int, len(w.keepers)), make([]int, len(w.rows))
	for knot := len(w.rows) - 1; knot >= 0; knot-- {
		for _, row := range w.rows[knot] {
			w.holds[knot] += len(w.keepers[row])
			for _, c := range w.keepers[row] {
				if c != Stranger {
					w.keeps[c] = append(w.keeps[c], row)
				}
			}
			for _, c := range w.taken[row] {
				if w.knot[c] != knot && w.holds[w.knot[c]] > 0 {
					w.holds[knot]++
				}
			}
		}
	}
}

// release marks the roots of a knot that nothing holds as going, with all they take along.
func (w *walk) release(knot int, root func(row int) bool) {
	for _, row := range w.rows[knot] {
		if w.gone[row] || !root(row) {
			continue
		}
		w.gone[row] = true
		for open := []int{row}; len(open) > 0; {
			row := open[len(open)-1]
			open = open[:len(open)-1]
			for _, kept := range w.keeps[row] {
				w.loosen(kept)
			}
			for _, c := range w.taken[row] {
				if !w.gone[c] {
					w.gone[c] = true
					open = append(open, c)
				}
			}
		}
	}
}

// loosen takes one hold off a row's knot.
func (w *walk) loosen(row int) {
	knot := w.knot[row]
	if w.holds[knot]--; w.holds[knot] == 0 {
		w.freed = append(w.freed, knot)
	}
}
