package growth

import (
	"fmt"
	"time"
)

// Count is what is due of a policy at a time, and the rows that its table has ever
// gained and lost, as PostgreSQL counts them since its statistics began.
type Count struct {
	At                time.Time
	Backlog           *int64 // rows due; nil: not known
	Deleted, Inserted int64
}

// Balance is whether deleting keeps up, in rows a second; nil: not known yet.
type Balance struct {
	Arrival  *float64 // rows that come
	Due      *float64 // rows that become due
	Deletion *float64 // rows that go, whoever deletes them
	// ClearSeconds is how long it takes at these rates until nothing is due; 0:
	// nothing is; nil: never, or not known, as the reason says.
	ClearSeconds *float64
	Reason       string
}

const (
	// ratesSpan is the least time over which rates say something, and verdictSpan
	// that for whether deleting keeps up: a purge comes now and then.
	ratesSpan   = hour
	verdictSpan = 6 * hour
	// even is how near two rates must be to each other to be taken for the same.
	even = 0.01
)

// Weigh looks at the last week of the counts, in any order. cycle is the time from
// one run of the policy to the next, 0 where that is not known: between two runs a
// backlog always grows, so only whole cycles are compared.
func Weigh(counts []Count, cycle time.Duration) Balance {
	counts = sorted(counts, func(c Count) time.Time { return c.At })
	counts = whole(counts, cycle)
	all, known := sum(counts), sum(withBacklog(counts))
	if all.over < ratesSpan.Seconds()*9/10 {
		return Balance{Reason: "not known yet: it takes an hour of samples"}
	}
	b := Balance{Arrival: rate(all.inserted, all.over), Deletion: rate(all.deleted, all.over)}
	if known.over < ratesSpan.Seconds()*9/10 {
		b.Reason = "whether deleting keeps up is not known: what is due was not counted"
		return b
	}
	b.Due = rate(max(known.due, 0), known.over)
	b.ClearSeconds, b.Reason = verdict(withBacklog(counts), known, cycle)
	return b
}

func rate(n, seconds float64) *float64 {
	r := n / seconds
	return &r
}

// verdict tells how long it takes until nothing is due. counts have a backlog each.
func verdict(counts []Count, s sums, cycle time.Duration) (seconds *float64, reason string) {
	backlog := float64(*counts[len(counts)-1].Backlog)
	needed := max(verdictSpan, cycle)
	switch {
	case backlog == 0:
		return &backlog, "nothing is due"
	case s.over < needed.Seconds()*9/10:
		return nil, fmt.Sprintf("whether deleting keeps up is not known yet: it takes %s of samples", spanText(needed))
	case cleared(counts, s, needed):
		return rate(backlog, max(s.deleted, s.due)/s.over), "deleting keeps up: what is due goes with the next run"
	case s.deleted-s.due > even*max(s.due, 0):
		return rate(backlog, (s.deleted-s.due)/s.over), "more is deleted than becomes due"
	case s.due-s.deleted > even*s.due:
		return nil, "never at this rate: more becomes due than is deleted"
	}
	return nil, "never at this rate: as much becomes due as is deleted"
}

// cleared tells whether at some time in the last cycle all that was due went: what
// was due after it has become due since the count before.
func cleared(counts []Count, s sums, cycle time.Duration) bool {
	from := counts[len(counts)-1].At.Add(-cycle - cycle/10)
	due := (1 + even) * max(s.due, 0) / s.over
	for i, c := range counts[1:] {
		if c.At.After(from) && float64(*c.Backlog) <= due*c.At.Sub(counts[i].At).Seconds() {
			return s.deleted > 0
		}
	}
	return false
}

// whole are the counts of the last whole cycles, in a week at most, or in one cycle
// that is longer.
func whole(counts []Count, cycle time.Duration) []Count {
	if len(counts) == 0 {
		return nil
	}
	last := counts[len(counts)-1].At
	length := window
	if cycle > 0 {
		length = max(min(window, last.Sub(counts[0].At))/cycle, 1) * cycle
	}
	for len(counts) > 1 && counts[1].At.Compare(last.Add(-length)) <= 0 {
		counts = counts[1:]
	}
	return counts
}

func withBacklog(counts []Count) []Count {
	var known []Count
	for _, c := range counts {
		if c.Backlog != nil {
			known = append(known, c)
		}
	}
	return known
}

// sums are what happened between the counts, in rows and seconds. A counter that
// went backwards was reset, or a partition is gone with its own: what happened
// there is not known, and is left out with its time.
type sums struct{ inserted, deleted, due, over float64 }

func sum(counts []Count) (s sums) {
	for i := 1; i < len(counts); i++ {
		a, b := counts[i-1], counts[i]
		deleted, inserted := b.Deleted-a.Deleted, b.Inserted-a.Inserted
		if deleted < 0 || inserted < 0 {
			continue
		}
		s.inserted += float64(inserted)
		s.deleted += float64(deleted)
		s.over += b.At.Sub(a.At).Seconds()
		if a.Backlog != nil && b.Backlog != nil {
			s.due += float64(*b.Backlog - *a.Backlog + deleted)
		}
	}
	return s
}
