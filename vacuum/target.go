package vacuum

import (
	"cmp"
	"slices"

	"github.com/reaperdb/reaper/schema"
)

// Target is a table, or a partition of one, that a run has deleted from.
type Target struct {
	OID  uint32
	Name schema.Name // filled in by Run
	// Policy is the one whose guards apply, among those that have deleted from it.
	Policy  string
	Deleted int64 // rows, by all policies
	// Whole means that Deleted counts the whole partitioned table of which this is a partition.
	Whole bool
	// Always vacuums the table if anything was deleted from it, not only if it was much.
	Always bool
}

// table is a target with its current statistics.
type table struct {
	Target
	live, dead    int64
	vacuums       int64   // manual ones so far
	vacuumedSince bool    // a vacuum has finished since the run began
	estimate      float64 // pg_class.reltuples; -1 if never analyzed
	allowed       bool    // this role may vacuum it

	position int64 // WAL position at the last reportWAL; 0 if none yet
}

// removed is how many rows the run deleted here. For a partition only the statistics know,
// because the run counts by table.
func (t *table) removed() int64 {
	if t.Whole {
		return min(t.Deleted, t.dead)
	}
	return t.Deleted
}

// remaining is how many of those are still there as dead rows. The run's own count is better
// until a vacuum has finished: autovacuum may have come in the middle of a long run.
func (t *table) remaining() int64 {
	if t.vacuumedSince {
		return min(t.removed(), t.dead)
	}
	return t.removed()
}

// inverseShare is the inverse of the share of a table that a run must have deleted.
const inverseShare = 10

// due reports whether the table should be vacuumed: when dead rows of this run exceed a
// tenth of the rows that the table had.
func (t *table) due() bool {
	if t.Always {
		return t.removed() > 0
	}
	before := float64(t.live + t.removed())
	if t.live == 0 {
		// Emptied, or the statistics were lost, as after a crash.
		before = max(before, t.estimate)
	}
	return float64(t.remaining())*inverseShare > before
}

// sortTables puts the tables with the most dead rows first, because the run may have to stop
// before the last one.
func sortTables(tables []*table) {
	slices.SortFunc(tables, func(x, y *table) int {
		return cmp.Or(cmp.Compare(y.remaining(), x.remaining()), cmp.Compare(x.Name.String(), y.Name.String()))
	})
}
