package purge

// going starts from nothing going, and lets every root go that nothing keeps
// which stays, with all it takes along, until there are no more. Every row and
// every reference is looked at a few times in all: rows that keep each other in
// a long line take no longer than others.
func (k *keeping) going(root func(row int) bool) []bool {
	g := &goers{keeping: k, gone: make([]bool, len(k.keepers))}
	g.knots()
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

// knots numbers the strongly connected components (Kosaraju): against the order
// in which rows are done with on the way down, each flood upwards is one.
func (g *goers) knots() {
	g.knot = make([]int, len(g.taken))
	for row := range g.knot {
		g.knot[row] = -1
	}
	done := postorder(g.taken)
	for i := len(done) - 1; i >= 0; i-- {
		if g.knot[done[i]] >= 0 {
			continue
		}
		knot := len(g.rows)
		g.knot[done[i]] = knot
		rows := []int{done[i]}
		for at := 0; at < len(rows); at++ {
			for _, p := range g.parents[rows[at]] {
				if g.knot[p] < 0 {
					g.knot[p] = knot
					rows = append(rows, p)
				}
			}
		}
		g.rows = append(g.rows, rows)
	}
}

// postorder lists all rows, each behind those that it leads to; without recursion,
// which would go as deep as the data.
func postorder(next [][]int) []int {
	done := make([]int, 0, len(next))
	seen, at := make([]bool, len(next)), make([]int, len(next))
	for start := range next {
		if seen[start] {
			continue
		}
		seen[start] = true
		for open := []int{start}; len(open) > 0; {
			row := open[len(open)-1]
			if at[row] == len(next[row]) {
				done, open = append(done, row), open[:len(open)-1]
				continue
			}
			n := next[row][at[row]]
			at[row]++
			if !seen[n] {
				seen[n] = true
				open = append(open, n)
			}
		}
	}
	return done
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
