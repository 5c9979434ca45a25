package purge

import "testing"

func TestLitterDue(t *testing.T) {
	for _, c := range []struct {
		name string
		litter
		want bool
	}{
		{"more than a tenth", litter{deleted: 101, live: 899}, true},
		{"a tenth", litter{deleted: 100, live: 900}, false},
		{"a little", litter{deleted: 1, live: 1_000_000}, false},
		{"an emptied table", litter{deleted: 5, live: 0, estimate: 5}, true},
		{"an emptied table, never analyzed", litter{deleted: 5, live: 0, estimate: -1}, true},
		{"lost statistics", litter{deleted: 100, live: 0, estimate: 1_000_000}, false},
		{"dead rows of others are no matter of ours", litter{deleted: 1, live: 1000, dead: 900}, false},
		{"autovacuum has come", litter{deleted: 500, live: 500, dead: 0, visited: true}, false},
		{"autovacuum has come early", litter{deleted: 500, live: 500, dead: 400, visited: true}, true},
		{"autovacuum has come, and others deleted since", litter{deleted: 50, live: 500, dead: 400, visited: true}, false},
		{"a partition that lost much", litter{deleted: 100, whole: true, live: 100, dead: 80}, true},
		{"a partition that lost nothing", litter{deleted: 100, whole: true, live: 100, dead: 0}, false},
		{"a partition with dead rows of others", litter{deleted: 5, whole: true, live: 100, dead: 80}, false},
		{"always, a little", litter{deleted: 1, live: 1_000_000, always: true}, true},
		{"always, autovacuum has come", litter{deleted: 1, live: 9, always: true, visited: true}, true},
		{"always, nothing in this partition", litter{deleted: 9, whole: true, live: 9, always: true}, false},
	} {
		if got := c.due(); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}
