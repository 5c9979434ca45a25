package vacuum

import "testing"

func TestDue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		table
		want bool
	}{
		{"more than a tenth", table{Target: Target{Deleted: 101}, live: 899}, true},
		{"a tenth", table{Target: Target{Deleted: 100}, live: 900}, false},
		{"a little", table{Target: Target{Deleted: 1}, live: 1_000_000}, false},
		{"an emptied table", table{Target: Target{Deleted: 5}, live: 0, estimate: 5}, true},
		{"an emptied table, never analyzed", table{Target: Target{Deleted: 5}, live: 0, estimate: -1}, true},
		{"lost statistics", table{Target: Target{Deleted: 100}, live: 0, estimate: 1_000_000}, false},
		{"dead rows of others do not count", table{Target: Target{Deleted: 1}, live: 1000, dead: 900}, false},
		{"autovacuum ran", table{Target: Target{Deleted: 500}, live: 500, dead: 0, vacuumedSince: true}, false},
		{"autovacuum ran early", table{Target: Target{Deleted: 500}, live: 500, dead: 400, vacuumedSince: true}, true},
		{"autovacuum ran, and others deleted since", table{Target: Target{Deleted: 50}, live: 500, dead: 400, vacuumedSince: true}, false},
		{"a partition that lost much", table{Target: Target{Deleted: 100, Whole: true}, live: 100, dead: 80}, true},
		{"a partition that lost nothing", table{Target: Target{Deleted: 100, Whole: true}, live: 100, dead: 0}, false},
		{"a partition with dead rows of others", table{Target: Target{Deleted: 5, Whole: true}, live: 100, dead: 80}, false},
		{"always, a little", table{Target: Target{Deleted: 1, Always: true}, live: 1_000_000}, true},
		{"always, autovacuum ran", table{Target: Target{Deleted: 1, Always: true}, live: 9, vacuumedSince: true}, true},
		{"always, nothing in this partition", table{Target: Target{Deleted: 9, Whole: true, Always: true}, live: 9}, false},
	} {
		if got := c.due(); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}
