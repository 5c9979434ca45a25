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
	// Policy is the one whose guards count, of those that have deleted from it.
	Policy  string
	Deleted int64 // rows, by all policies
	// Whole: Deleted is of the partitioned table that this is a partition of.
	Whole bool
	// Always has it vacuumed if anything was deleted from it; else it is if that was much.
	Always bool
}

// table is a target with what PostgreSQL's statistics say of it now.
type table struct {
	Target
	live, dead int64
	vacuums    int64   // by hand, so far
	visited    bool    // a vacuum has ended since the run began
	estimate   float64 // pg_class.reltuples; -1: never analyzed
	allowed    bool    // this role may vacuum it

	position int64 // in the WAL, when its vacuum was last looked at; 0: not yet
}

// gone is how many rows the run deleted here. Of a partition only the statistics
// tell: the run counts by table.
func (t *table) gone() int64 {
	if t.Whole {
		return min(t.Deleted, t.dead)
	}
	return t.Deleted
}

// remaining is how many of those are still there, dead. The run's own count is the
// better one, until a vacuum has come: autovacuum may have been there in the middle of
// a long run, and the rest is of the time after it.
func (t *table) remaining() int64 {
	if t.visited {
		return min(t.gone(), t.dead)
	}
	return t.gone()
}

// tenth is the part of a table that a run has to have deleted: one in so many
// rows.
const tenth = 10

// due reports whether the table is to be vacuumed: when dead rows of this run are
// more than a tenth of the rows that the table had.
func (t *table) due() bool {
	if t.Always {
		return t.gone() > 0
	}
	before := float64(t.live + t.gone())
	if t.live == 0 {
		// Emptied, or the statistics were lost, as in a crash.
		before = max(before, t.estimate)
	}
	return float64(t.remaining())*tenth > before
}

// sortTables puts the most dead rows first: the run may have to end before the
// last one's turn.
func sortTables(tables []*table) {
	slices.SortFunc(tables, func(x, y *table) int {
		return cmp.Or(cmp.Compare(y.remaining(), x.remaining()), cmp.Compare(x.Name.String(), y.Name.String()))
	})
}
