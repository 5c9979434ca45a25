package growth

import (
	"fmt"
	"time"
)

// Count is a policy's backlog at a time, and the rows that its table has gained and lost
// since PostgreSQL's statistics began.
type Count struct {
	At                time.Time
	Backlog           *int64 // rows due; nil if unknown
	Deleted, Inserted int64
}

// Balance says whether deleting keeps up, in rows per second; nil means not known yet.
type Balance struct {
	Arrival  *float64 // rows added
	Due      *float64 // rows that become due
	Deletion *float64 // rows deleted, by anyone
	// ClearSeconds is how long it takes at these rates until nothing is due; 0 if nothing
	// is due now; nil if never or unknown, as Reason says.
	ClearSeconds *float64
	Reason       string
}

const (
	// ratesSpan is the minimum time for meaningful rates, verdictSpan for judging whether
	// deleting keeps up, since purges are intermittent.
	ratesSpan   = hour
	verdictSpan = 6 * hour
	// equalWithin is the relative difference below which two rates count as equal.
	equalWithin = 0.01
)

// Weigh evaluates the last week of the counts, in any order. cycle is the interval between
// runs of the policy, 0 if unknown. A backlog always grows between two runs, so only whole
// cycles are compared.
func Weigh(counts []Count, cycle time.Duration) Balance {
	counts = sorted(counts, func(c Count) time.Time { return c.At })
	counts = wholeCycles(counts, cycle)
	all, known := sum(counts), sum(withBacklog(counts))
	if all.over < ratesSpan.Seconds()*9/10 {
		return Balance{Reason: "not known yet: it takes an hour of samples"}
	}
	b := Balance{Arrival: rate(all.inserted, all.over), Deletion: rate(all.deleted, all.over)}
	if known.over < ratesSpan.Seconds()*9/10 {
		b.Reason = "whether deleting keeps up is not known: the backlog was not counted"
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

// verdict returns how long it takes until nothing is due. Every count has a backlog.
func verdict(counts []Count, s sums, cycle time.Duration) (seconds *float64, reason string) {
	backlog := float64(*counts[len(counts)-1].Backlog)
	needed := max(verdictSpan, cycle)
	switch {
	case backlog == 0:
		return &backlog, "nothing is due"
	case s.over < needed.Seconds()*9/10:
		return nil, fmt.Sprintf("whether deleting keeps up is not known yet: it takes %s of samples", spanText(needed))
	case cleared(counts, s, needed):
		return rate(backlog, max(s.deleted, s.due)/s.over), "deleting keeps up: the next run deletes what is due"
	case s.deleted-s.due > equalWithin*max(s.due, 0):
		return rate(backlog, (s.deleted-s.due)/s.over), "more is deleted than becomes due"
	case s.due-s.deleted > equalWithin*s.due:
		return nil, "never at this rate: more becomes due than is deleted"
	}
	return nil, "never at this rate: as much becomes due as is deleted"
}

// cleared reports whether at some time in the last cycle the whole backlog was deleted, so
// that only what became due since the previous count remained.
func cleared(counts []Count, s sums, cycle time.Duration) bool {
	from := counts[len(counts)-1].At.Add(-cycle - cycle/10)
	due := (1 + equalWithin) * max(s.due, 0) / s.over
	for i, c := range counts[1:] {
		if c.At.After(from) && float64(*c.Backlog) <= due*c.At.Sub(counts[i].At).Seconds() {
			return s.deleted > 0
		}
	}
	return false
}

// wholeCycles returns the counts of the last whole cycles, within a week or within one cycle that
// is longer.
func wholeCycles(counts []Count, cycle time.Duration) []Count {
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

// sums is what happened between the counts, in rows and seconds. A counter that went
// backwards was reset, or belonged to a dropped partition: that interval is left out.
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
