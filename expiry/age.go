package expiry

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Age is the root's age column and how it compares with a cutoff. The column
// is never wrapped in a function where an index has to serve it.
type Age struct {
	Column schema.Column
	Unit   policy.Unit
	Zone   string // of timestamp and date; "UTC" unless the file says otherwise
}

// Integer reports whether the age is a number of seconds, or of parts of one, since 1970.
func (a Age) Integer() bool { return a.Unit != policy.UnitNone }

// perSecond is how many of the column's units make a second.
func (a Age) perSecond() string {
	return map[policy.Unit]string{
		policy.UnitSeconds: "1", policy.UnitMilliseconds: "1000", policy.UnitMicroseconds: "1000000",
	}[a.Unit]
}

// Skewed tells whether the column's local time may run backwards against the
// real one, so that the index's range needs a margin and a second look.
func (a Age) Skewed() bool {
	return a.Column.TypeName == "timestamp" && !strings.EqualFold(a.Zone, "UTC")
}

// Valid is the condition that an age can expire at all. NULL, -infinity, integers up
// to 0, what lies before 1900, and exactly the beginning of 1970 in UTC never do: where
// a language has no NULL for times, they mean "not yet". +infinity fails every upper
// bound.
func (a Age) Valid(col string) string {
	switch {
	case a.Integer():
		return col + " > 0"
	case a.Column.TypeName == "date":
		return col + " >= '1900-01-01' AND " + col + " <> '1970-01-01'"
	case a.Column.TypeName == "timestamp":
		zero := "'1970-01-01 00:00:00'"
		valid := col + " >= '1900-01-01 00:00:00' AND " + col + " <> " + zero
		if a.Skewed() { // local midnight is as likely to mean it
			valid += " AND " + col + " <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE " + pg.Literal(a.Zone) + ")"
		}
		return valid
	}
	return col + " >= '1900-01-01 00:00:00+00' AND " + col + " <> '1970-01-01 00:00:00+00'"
}

// Bound is the value of the column's own type below which a row may be
// expired, for a cutoff given as SQL of type timestamptz. It is exact unless
// skewed.
func (a Age) Bound(cutoff string) string {
	zone := pg.Literal(a.Zone)
	switch {
	case a.Integer():
		return fmt.Sprintf("ceil(extract(epoch FROM %s) * %s)::bigint", cutoff, a.perSecond())
	case a.Column.TypeName == "date":
		// A day is over when the cutoff's local date is a later one.
		return fmt.Sprintf("(%s AT TIME ZONE %s)::date", cutoff, zone)
	case a.Skewed():
		// Local time jumps by at most two hours; three are safe.
		return fmt.Sprintf("((%s AT TIME ZONE %s) + interval '3 hours')", cutoff, zone)
	case a.Column.TypeName == "timestamp":
		return fmt.Sprintf("(%s AT TIME ZONE %s)", cutoff, zone)
	default:
		return cutoff
	}
}

// Surely is the value of the column's own type below which every row is expired,
// for a cutoff given as SQL of type timestamptz: the bound, unless it is skewed.
func (a Age) Surely(cutoff string) string {
	if a.Skewed() {
		return fmt.Sprintf("((%s AT TIME ZONE %s) - interval '3 hours')", cutoff, pg.Literal(a.Zone))
	}
	return a.Bound(cutoff)
}

// Recheck is the exact condition that a skewed column needs besides its bound;
// empty for the others. CASE keeps the conversion away from values that it
// would refuse.
func (a Age) Recheck(col, cutoff string) string {
	if !a.Skewed() {
		return ""
	}
	return fmt.Sprintf(" AND CASE WHEN %[1]s < %[3]s THEN (%[1]s AT TIME ZONE %[4]s) < %[2]s ELSE false END",
		col, cutoff, a.Bound(cutoff), pg.Literal(a.Zone))
}

// Expired is the whole condition: strictly older than the cutoff.
func (a Age) Expired(col, cutoff string) string {
	return a.Valid(col) + " AND " + col + " < " + a.Bound(cutoff) + a.Recheck(col, cutoff)
}

// Instant is the moment from which a lag is counted; only for values that are
// valid and below a bound.
func (a Age) Instant(col string) string {
	switch {
	case a.Integer():
		return fmt.Sprintf("to_timestamp(%s / %s.0)", col, a.perSecond())
	case a.Column.TypeName == "date":
		return fmt.Sprintf("((%s + 1)::timestamp AT TIME ZONE %s)", col, pg.Literal(a.Zone))
	case a.Column.TypeName == "timestamp":
		return fmt.Sprintf("(%s AT TIME ZONE %s)", col, pg.Literal(a.Zone))
	default:
		return col
	}
}
