package expiry

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Age is what tells the age of a root, and how it compares with a cutoff. Where an index is to serve
// it, no function is applied to it.
type Age struct {
	Column schema.Column // where SQL is set: its type alone
	SQL    string        // over the table, of type timestamptz; empty: Column holds the age
	Unit   policy.Unit
	Zone   string // for timestamp and date; default "UTC"
	// Epoch and Bits are those of snowflakes, as in policy.Age.
	Epoch int64
	Bits  int
	// Bytewise: the column is text that has to be compared byte by byte, and its own collation might
	// not do so. Lower: the letters of its ULIDs are lower case.
	Bytewise, Lower bool
}

// Of is the age of a row of t as SQL, which Valid, Bound and the others compare.
func (a Age) Of(t *schema.Table) string {
	switch {
	case a.SQL != "":
		return "(" + a.SQL + "\n)"
	case a.Bytewise:
		return "(" + schema.Col(t, a.Column.Name) + " COLLATE " + bytewise + ")"
	}
	return schema.Col(t, a.Column.Name)
}

// Text is what people call the age: the column, or SQL.
func (a Age) Text() string {
	if a.SQL != "" {
		return a.SQL
	}
	return a.Column.Name
}

// Integer reports whether the age is a number of seconds, or fractions of seconds, since 1970.
func (a Age) Integer() bool { return a.Unit != policy.UnitNone && !a.Unit.Identifies() }

// Endless reports whether an age can be infinite, which is valid but never expires.
func (a Age) Endless() bool { return a.Unit == policy.UnitNone }

// perSecond is the number of units per second.
func (a Age) perSecond() string {
	return map[policy.Unit]string{
		policy.UnitSeconds: "1", policy.UnitMilliseconds: "1000", policy.UnitMicroseconds: "1000000",
	}[a.Unit]
}

// Skewed reports whether the column's local time may run backwards, so that an index range needs a
// margin and a recheck.
func (a Age) Skewed() bool {
	return a.Column.TypeName == "timestamp" && !strings.EqualFold(a.Zone, "UTC")
}

// Valid is the condition that an age can expire. These values mean "not yet" and never expire:
// NULL, -infinity, integers up to 0, anything before 1900, and exactly the start of 1970 in UTC,
// the zero value of many languages; and identifiers that are not what the unit says. +infinity fails
// every upper bound.
func (a Age) Valid(col string) string {
	switch {
	case a.Unit.Identifies():
		return a.identifies(col)
	case a.Integer():
		return col + " > 0"
	case a.Column.TypeName == "date":
		return col + " >= '1900-01-01' AND " + col + " <> '1970-01-01'"
	case a.Column.TypeName == "timestamp":
		zero := "'1970-01-01 00:00:00'"
		valid := col + " >= '1900-01-01 00:00:00' AND " + col + " <> " + zero
		if a.Skewed() { // local midnight may be the zero value too
			valid += " AND " + col + " <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE " + pg.Literal(a.Zone) + ")"
		}
		return valid
	}
	return col + " >= '1900-01-01 00:00:00+00' AND " + col + " <> '1970-01-01 00:00:00+00'"
}

// Bound is the value of the column's type below which a row may be expired. cutoff is SQL of type
// timestamptz. The bound is exact unless the age is skewed.
func (a Age) Bound(cutoff string) string {
	zone := pg.Literal(a.Zone)
	switch {
	case a.Unit.Identifies():
		return a.firstOf(cutoff)
	case a.Integer():
		return fmt.Sprintf("ceil(extract(epoch FROM %s) * %s)::bigint", cutoff, a.perSecond())
	case a.Column.TypeName == "date":
		// A date expires when the cutoff's local date is later.
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

// Surely is the value of the column's type below which every row is expired: the bound, or less if
// the age is skewed. cutoff is SQL of type timestamptz.
func (a Age) Surely(cutoff string) string {
	if a.Skewed() {
		return fmt.Sprintf("((%s AT TIME ZONE %s) - interval '3 hours')", cutoff, pg.Literal(a.Zone))
	}
	return a.Bound(cutoff)
}

// Recheck is the exact condition that a skewed column needs in addition to its bound; empty for
// others. CASE keeps out-of-range values away from the conversion, which would fail.
func (a Age) Recheck(col, cutoff string) string {
	if !a.Skewed() {
		return ""
	}
	return fmt.Sprintf(" AND CASE WHEN %[1]s < %[3]s THEN (%[1]s AT TIME ZONE %[4]s) < %[2]s ELSE false END",
		col, cutoff, a.Bound(cutoff), pg.Literal(a.Zone))
}

// Expired is the complete condition: strictly older than the cutoff.
func (a Age) Expired(col, cutoff string) string {
	return a.Valid(col) + " AND " + col + " < " + a.Bound(cutoff) + a.Recheck(col, cutoff)
}

// Instant is the time from which lag is counted, for values that are valid and below a bound.
func (a Age) Instant(col string) string {
	switch {
	case a.Unit.Identifies():
		return fmt.Sprintf("to_timestamp(%s / 1000.0)", a.milliseconds(col))
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
