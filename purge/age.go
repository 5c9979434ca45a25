package purge

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// age is the root's age column and how it compares with a cutoff. The column
// is never wrapped in a function where an index has to serve it.
type age struct {
	column schema.Column
	unit   policy.Unit
	zone   string // of timestamp and date; "UTC" unless the file says otherwise
}

func (a age) integer() bool { return a.unit != policy.UnitNone }

// perSecond is how many of the column's units make a second.
func (a age) perSecond() string {
	return map[policy.Unit]string{
		policy.UnitSeconds: "1", policy.UnitMilliseconds: "1000", policy.UnitMicroseconds: "1000000",
	}[a.unit]
}

// skewed tells whether the column's local time may run backwards against the
// real one, so that the index's range needs a margin and a second look.
func (a age) skewed() bool {
	return a.column.TypeName == "timestamp" && !strings.EqualFold(a.zone, "UTC")
}

// valid is the condition that an age can expire at all. NULL, -infinity, integers up
// to 0, what lies before 1900, and exactly the beginning of 1970 in UTC never do: where
// a language has no NULL for times, they mean "not yet". +infinity fails every upper
// bound.
func (a age) valid(col string) string {
	switch {
	case a.integer():
		return col + " > 0"
	case a.column.TypeName == "date":
		return col + " >= '1900-01-01' AND " + col + " <> '1970-01-01'"
	case a.column.TypeName == "timestamp":
		zero := "'1970-01-01 00:00:00'"
		valid := col + " >= '1900-01-01 00:00:00' AND " + col + " <> " + zero
		if a.skewed() { // local midnight is as likely to mean it
			valid += " AND " + col + " <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE " + pg.Literal(a.zone) + ")"
		}
		return valid
	}
	return col + " >= '1900-01-01 00:00:00+00' AND " + col + " <> '1970-01-01 00:00:00+00'"
}

// bound is the value of the column's own type below which a row may be
// expired, for a cutoff given as SQL of type timestamptz. It is exact unless
// skewed.
func (a age) bound(cutoff string) string {
	zone := pg.Literal(a.zone)
	switch {
	case a.integer():
		return fmt.Sprintf("ceil(extract(epoch FROM %s) * %s)::bigint", cutoff, a.perSecond())
	case a.column.TypeName == "date":
		// A day is over when the cutoff's local date is a later one.
		return fmt.Sprintf("(%s AT TIME ZONE %s)::date", cutoff, zone)
	case a.skewed():
		// Local time jumps by at most two hours; three are safe.
		return fmt.Sprintf("((%s AT TIME ZONE %s) + interval '3 hours')", cutoff, zone)
	case a.column.TypeName == "timestamp":
		return fmt.Sprintf("(%s AT TIME ZONE %s)", cutoff, zone)
	default:
		return cutoff
	}
}

// surely is the value of the column's own type below which every row is expired,
// for a cutoff given as SQL of type timestamptz: the bound, unless it is skewed.
func (a age) surely(cutoff string) string {
	if a.skewed() {
		return fmt.Sprintf("((%s AT TIME ZONE %s) - interval '3 hours')", cutoff, pg.Literal(a.zone))
	}
	return a.bound(cutoff)
}

// recheck is the exact condition that a skewed column needs besides its bound;
// empty for the others. CASE keeps the conversion away from values that it
// would refuse.
func (a age) recheck(col, cutoff string) string {
	if !a.skewed() {
		return ""
	}
	return fmt.Sprintf(" AND CASE WHEN %[1]s < %[3]s THEN (%[1]s AT TIME ZONE %[4]s) < %[2]s ELSE false END",
		col, cutoff, a.bound(cutoff), pg.Literal(a.zone))
}

// expired is the whole condition: strictly older than the cutoff.
func (a age) expired(col, cutoff string) string {
	return a.valid(col) + " AND " + col + " < " + a.bound(cutoff) + a.recheck(col, cutoff)
}

// instant is the moment from which a lag is counted; only for values that are
// valid and below a bound.
func (a age) instant(col string) string {
	switch {
	case a.integer():
		return fmt.Sprintf("to_timestamp(%s / %s.0)", col, a.perSecond())
	case a.column.TypeName == "date":
		return fmt.Sprintf("((%s + 1)::timestamp AT TIME ZONE %s)", col, pg.Literal(a.zone))
	case a.column.TypeName == "timestamp":
		return fmt.Sprintf("(%s AT TIME ZONE %s)", col, pg.Literal(a.zone))
	default:
		return col
	}
}
