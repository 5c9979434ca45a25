package components_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/reaperdb/reaper/internal/components"
)

// Two nodes are in one component exactly if each reaches the other, and edges between
// components lead to higher numbers.
func TestOf(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 12).Draw(t, "nodes")
		next := make([][]int, n)
		node := rapid.IntRange(0, n-1)
		for range rapid.IntRange(0, 2*n).Draw(t, "edges") {
			from := node.Draw(t, "from")
			next[from] = append(next[from], node.Draw(t, "to"))
		}
		of, nodes := components.Of(next)
		leads := reachable(next)
		for a := range next {
			for b := range next {
				if together := leads[a][b] && leads[b][a]; (of[a] == of[b]) != together {
					t.Fatalf("%d and %d are in components %d and %d of %v", a, b, of[a], of[b], next)
				}
				if leads[a][b] && of[a] > of[b] {
					t.Fatalf("%d leads to %d, from component %d to %d of %v", a, b, of[a], of[b], next)
				}
			}
		}
		total := 0
		for number, list := range nodes {
			total += len(list)
			if slices.ContainsFunc(list, func(n int) bool { return of[n] != number }) {
				t.Fatalf("component %d lists %v, of %v", number, list, of)
			}
		}
		if total != n {
			t.Fatalf("%d nodes are listed, of %d", total, n)
		}
	})
}

// reachable reports for each pair of nodes whether the first reaches the second; each node
// reaches itself.
func reachable(next [][]int) [][]bool {
	leads := make([][]bool, len(next))
	for start := range next {
		leads[start] = make([]bool, len(next))
		leads[start][start] = true
		for open := []int{start}; len(open) > 0; open = open[1:] {
			for _, n := range next[open[0]] {
				if !leads[start][n] {
					leads[start][n] = true
					open = append(open, n)
				}
			}
		}
	}
	return leads
}

// Where several orders are possible, components are numbered as a depth-first search finishes
// them, last one first: statements built in this order stay stable.
func TestOf_Order(t *testing.T) {
	t.Parallel()
	of, nodes := components.Of([][]int{{1, 3}, {2}, {1}, {}, {3}})
	if want := []int{1, 3, 3, 2, 0}; !slices.Equal(of, want) {
		t.Errorf("components %v, want %v", of, want)
	}
	if len(nodes) != 4 || len(nodes[3]) != 2 {
		t.Errorf("nodes %v", nodes)
	}
}

// A path and a cycle of a million nodes.
func TestOf_Deep(t *testing.T) {
	t.Parallel()
	const n = 1_000_000
	next := make([][]int, n)
	for i := range n - 1 {
		next[i] = []int{i + 1}
	}
	if _, nodes := components.Of(next); len(nodes) != n {
		t.Errorf("a line has %d components", len(nodes))
	}
	next[n-1] = []int{0}
	if _, nodes := components.Of(next); len(nodes) != 1 {
		t.Errorf("a circle has %d components", len(nodes))
	}
}
