package purge

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// What may go is what the plain rule gives: start from nothing going, add the
// roots that nothing keeps which stays, until there are no more.
func TestGoing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.IntRange(1, 12).Draw(t, "rows")
		roots := rapid.IntRange(1, rows).Draw(t, "roots")
		k := &keeping{parents: make([][]int, rows), taken: make([][]int, rows), keepers: make([][]int, rows)}
		row := rapid.IntRange(0, rows-1)
		for range rapid.IntRange(0, 2*rows).Draw(t, "references") {
			p, c := row.Draw(t, "parent"), row.Draw(t, "child")
			k.taken[p], k.parents[c] = append(k.taken[p], c), append(k.parents[c], p)
		}
		for range rapid.IntRange(0, rows).Draw(t, "keepers") {
			p := row.Draw(t, "kept")
			k.keepers[p] = append(k.keepers[p], rapid.IntRange(stranger, rows-1).Draw(t, "keeper"))
		}
		want := make([]bool, rows)
		for more := true; more; {
			more = false
			for r := range roots {
				if all := k.closure(r); !want[r] && !slices.ContainsFunc(all, func(x int) bool {
					return slices.ContainsFunc(k.keepers[x], func(c int) bool { return c == stranger || !want[c] })
				}) {
					for _, x := range all {
						want[x] = true
					}
					more = true
				}
			}
		}
		if got := k.going(func(row int) bool { return row < roots }); !slices.Equal(got, want) {
			t.Fatalf("going are %v, want %v: taken %v, keepers %v", got, want, k.taken, k.keepers)
		}
	})
}

func (k *keeping) closure(row int) []int {
	all := []int{row}
	for i := 0; i < len(all); i++ {
		for _, c := range k.taken[all[i]] {
			if !slices.Contains(all, c) {
				all = append(all, c)
			}
		}
	}
	return all
}

// A million rows that each keep the next one, and a million that each take it
// along.
func TestGoingOfLongLines(t *testing.T) {
	t.Parallel()
	const n = 1_000_000
	k := &keeping{parents: make([][]int, n), taken: make([][]int, n), keepers: make([][]int, n)}
	for i := range n - 1 {
		if i < n/2 {
			k.keepers[i] = []int{i + 1}
		} else {
			k.taken[i], k.parents[i+1] = []int{i + 1}, []int{i}
		}
	}
	if going := k.going(func(int) bool { return true }); slices.Contains(going, false) {
		t.Error("some stay")
	}
}
