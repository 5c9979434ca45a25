package purge

import (
	"cmp"
	"slices"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// litter is what a run leaves in one table, or in one partition of a table.
type litter struct {
	oid     uint32
	name    schema.Name
	works   []*work // the policies that deleted from it, those with vacuum: never left out
	deleted int64   // rows by them
	whole   bool    // deleted is of the partitioned table that this is a part of
	always  bool    // vacuum: always

	// By PostgreSQL's statistics, now.
	live, dead int64
	vacuums    int64   // by hand, so far
	visited    bool    // a vacuum has ended since the run began
	estimate   float64 // pg_class.reltuples; -1: never analyzed
	allowed    bool    // this role may vacuum it

	position int64 // in the WAL, when its vacuum was last looked at; 0: not yet
}

// littered are the tables that the policies deleted from, by OID: of a
// partitioned one all its partitions.
func littered(works []*work) map[uint32]*litter {
	found := map[uint32]*litter{}
	for _, w := range works {
		if w.plan.Policy.Vacuum == policy.VacuumNever {
			continue
		}
		for _, n := range w.plan.Nodes {
			rows := w.report.Rows[n.Table.Name.String()]
			if rows == 0 {
				continue
			}
			for _, oid := range w.plan.leaves(n) {
				l := found[oid]
				if l == nil {
					l = &litter{}
					found[oid] = l
				}
				l.deleted += rows
				l.whole = l.whole || n.Table.Kind == schema.Partitioned
				l.always = l.always || w.plan.Policy.Vacuum == policy.VacuumAlways
				if !slices.Contains(l.works, w) {
					l.works = append(l.works, w)
				}
			}
		}
	}
	return found
}

// gone is how many rows the run deleted here. Of a partition only the statistics
// tell: the run counts by table.
func (l *litter) gone() int64 {
	if l.whole {
		return min(l.deleted, l.dead)
	}
	return l.deleted
}

// left is how many of those are still there, dead. The run's own count is the
// better one, until a vacuum has come: autovacuum may have been there in the
// middle of a long run, and the rest is of the time after it.
func (l *litter) left() int64 {
	if l.visited {
		return min(l.gone(), l.dead)
	}
	return l.gone()
}

// tenth is the part of a table that a run has to have deleted: one in so many
// rows.
const tenth = 10

// due tells whether the table is to be vacuumed: with auto, when dead rows of
// this run are more than a tenth of the rows that the table had.
func (l *litter) due() bool {
	if l.always {
		return l.gone() > 0
	}
	before := float64(l.live + l.gone())
	if l.live == 0 {
		// Emptied, or the statistics were lost, as in a crash.
		before = max(before, l.estimate)
	}
	return float64(l.left())*tenth > before
}

// sortLitters puts the most dead rows first: the run may have to end before the
// last one's turn.
func sortLitters(litters []*litter) {
	slices.SortFunc(litters, func(x, y *litter) int {
		return cmp.Or(cmp.Compare(y.left(), x.left()), cmp.Compare(x.name.String(), y.name.String()))
	})
}
