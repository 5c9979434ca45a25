package keeping

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The result must match the definition: starting from no deletions, repeatedly delete the roots
// that no remaining row keeps.
func TestGoing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 12).Draw(t, "rows")
		roots := rapid.IntRange(1, rows).Draw(t, "roots")
		k := New(rows)
		row := rapid.IntRange(0, rows-1)
		for range rapid.IntRange(0, 2*rows).Draw(t, "references") {
			p, c := row.Draw(t, "parent"), row.Draw(t, "child")
			k.Take(p, c)
		}
		for range rapid.IntRange(0, rows).Draw(t, "keepers") {
			k.Keep(row.Draw(t, "kept"), rapid.IntRange(Stranger, rows-1).Draw(t, "keeper"))
		}
		want := make([]bool, rows)
		for more := true; more; {
			more = false
			for r := range roots {
				if all := k.closure(r); !want[r] && !slices.ContainsFunc(all, func(x int) bool {
					return slices.ContainsFunc(k.keepers[x], func(c int) bool { return c == Stranger || !want[c] })
				}) {
					for _, x := range all {
						want[x] = true
					}
					more = true
				}
			}
		}
		if got := k.Going(func(row int) bool { return row < roots }); !slices.Equal(got, want) {
			t.Fatalf("going are %v, want %v: taken %v, keepers %v", got, want, k.taken, k.keepers)
		}
	})
}

func (g *Graph) closure(row int) []int {
	all := []int{row}
	for i := 0; i < len(all); i++ {
		for _, c := range g.taken[all[i]] {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return all
}

// Half of a million rows keep the next one, and half cascade to it.
func TestGoingOfLongLines(t *testing.T) {
	t.Parallel()
	const n = 1_000_000
	k := New(n)
	for i := range n - 1 {
		if i < n/2 {
			k.Keep(i, i+1)
		} else {
			k.Take(i, i+1)
		}
	}
	if going := k.Going(func(int) bool { return true }); slices.Contains(going, false) {
		t.Error("some stay")
	}
}
