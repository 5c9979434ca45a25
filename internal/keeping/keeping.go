// Package keeping determines which rows may be deleted when deletions cascade and some rows keep
// others. Rows are plain numbers.
package keeping

import "github.com/reaperdb/reaper/internal/components"

// Stranger is a row outside the graph that keeps others and is never deleted.
const Stranger = -1

// Graph records, for rows numbered from 0, which deletions cascade and which rows keep others.
type Graph struct {
	parents [][]int // by row: rows whose deletion cascades to it
	taken   [][]int // by row: rows that its deletion cascades to
	keepers [][]int // by row: rows that keep it
}

// New returns a graph of this many rows without links.
func New(rows int) *Graph {
	return &Graph{parents: make([][]int, rows), taken: make([][]int, rows), keepers: make([][]int, rows)}
}

// Len is the number of rows.
func (g *Graph) Len() int { return len(g.keepers) }

// Add adds a row and returns its number.
func (g *Graph) Add() int {
	g.parents, g.taken, g.keepers = append(g.parents, nil), append(g.taken, nil), append(g.keepers, nil)
	return len(g.keepers) - 1
}

// Keep records that keeper, which may be a Stranger, keeps row.
func (g *Graph) Keep(row, keeper int) { g.keepers[row] = append(g.keepers[row], keeper) }

// Take records that deleting parent deletes child.
func (g *Graph) Take(parent, child int) {
	g.parents[child] = append(g.parents[child], parent)
	g.taken[parent] = append(g.taken[parent], child)
}

// Going reports for each row whether it is deleted. Starting from no deletions, it repeatedly
// deletes every root of which neither itself nor any row it cascades to is kept by a row that
// stays. It visits each row and reference a constant number of times, however long the chains of
// rows.
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
					w.unhold(p)
				}
			}
		}
		w.release(knot, root)
	}
	return w.gone
}

// walk is the state of Going. Rows in a cycle of cascades form a knot: they are deleted together or
// not at all.
type walk struct {
	*Graph
	gone  []bool
	knot  []int   // by row: its knot; the rows it cascades to have higher numbers
	rows  [][]int // by knot
	keeps [][]int // by row: the rows it keeps
	holds []int   // by knot: the number of keepers of its rows that stay, plus the number of references down to held knots
	freed []int   // knots that are no longer held, but whose parents are not updated yet
}

// count counts the holds of each knot before any deletion, bottom up.
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

// release deletes the roots of a free knot, and the rows they cascade to.
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
				w.unhold(kept)
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

// unhold removes one hold from a row's knot.
func (w *walk) unhold(row int) {
	knot := w.knot[row]
	if w.holds[knot]--; w.holds[knot] == 0 {
		w.freed = append(w.freed, knot)
	}
}
