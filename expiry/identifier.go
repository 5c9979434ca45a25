package expiry

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/policy"
)

// Identifiers begin with the time at which they were made, in milliseconds, so they sort by it. A row
// is expired if its identifier is less than the first one of the cutoff's millisecond, rounded up. The
// column is compared as it is stored: no identifier is read to find what is expired.

const (
	// bytewise is the collation that compares text byte by byte.
	bytewise = `pg_catalog."C"`
	// crockford are the digits of a ULID as text, in the order of bytes.
	crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	// timeDigits is how many of its digits are the time, of five bits each.
	timeDigits = 10
	// timeBits is how many bits UUIDs and ULIDs have for milliseconds since 1970.
	timeBits = 48
	// firstHour is how long after its epoch a snowflake begins to be one, in milliseconds. Smaller
	// numbers are serial numbers: a thousand million of them is not four minutes.
	firstHour = 3_600_000
)

// Texts reports whether the column holds identifiers as text, whose order depends on a collation.
func (a Age) Texts() bool {
	return a.Unit == policy.UnitULID && a.Column.TypeName != "uuid" && a.Column.TypeName != "bytea"
}

// identifies is the condition that a value is an identifier of the unit, and has a time.
func (a Age) identifies(col string) string {
	switch {
	case a.Unit == policy.UnitSnowflake:
		return fmt.Sprintf("%s >= %d", col, int64(firstHour)<<a.Bits)
	case a.Unit == policy.UnitUUIDv7: // version 7, and variant 2
		return fmt.Sprintf("%[1]s >= '00000000-0001-0000-0000-000000000000' AND get_byte(uuid_send(%[1]s), 6) >> 4 = 7 AND get_byte(uuid_send(%[1]s), 8) >> 6 = 2", col)
	case a.Column.TypeName == "uuid":
		return col + " >= '00000000-0001-0000-0000-000000000000'"
	case a.Column.TypeName == "bytea":
		return fmt.Sprintf("%[1]s >= decode('000000000001', 'hex') AND octet_length(%[1]s) = 16", col)
	}
	digits := "[0-7][0-9A-HJKMNP-TV-Z]{25}"
	if a.Lower {
		digits = strings.ToLower(digits)
	}
	return fmt.Sprintf("%[1]s >= '%[2]s1' AND %[1]s ~ '^%[3]s$'", col, strings.Repeat("0", timeDigits-1), digits)
}

// firstOf is the first identifier of the millisecond that begins at the cutoff, or next after it. NULL
// gives NULL. CASE keeps times away that the identifier cannot express.
func (a Age) firstOf(cutoff string) string {
	ms, bits := fmt.Sprintf("ceil(extract(epoch FROM %s) * 1000)", cutoff), timeBits
	if a.Unit == policy.UnitSnowflake {
		ms, bits = fmt.Sprintf("(%s - %d)", ms, a.Epoch), 63-a.Bits
	}
	least, most := a.ends()
	return fmt.Sprintf("CASE WHEN %[1]s <= 0 THEN %[3]s WHEN %[1]s < %[2]d THEN %[4]s WHEN %[1]s >= %[2]d THEN %[5]s END",
		ms, int64(1)<<bits, least, a.first(ms+"::bigint"), most)
}

// first is the first identifier of a millisecond, an expression of type bigint.
func (a Age) first(ms string) string {
	zeros := "lpad(to_hex(" + ms + "), 12, '0') || '00000000000000000000'"
	switch {
	case a.Unit == policy.UnitSnowflake:
		return fmt.Sprintf("%s << %d", ms, a.Bits)
	case a.Column.TypeName == "uuid":
		return "(" + zeros + ")::uuid"
	case a.Column.TypeName == "bytea":
		return "decode(" + zeros + ", 'hex')"
	}
	parts := make([]string, timeDigits)
	for i := range parts {
		parts[i] = fmt.Sprintf("substr('%s', (%s >> %d & 31)::int + 1, 1)", a.digits(), ms, 5*(timeDigits-1-i))
	}
	return "(" + strings.Join(parts, " || ") + ")::" + a.textType()
}

// ends are a value that no identifier is less than, and one that none is greater than.
func (a Age) ends() (least, most string) {
	switch {
	case a.Unit == policy.UnitSnowflake:
		return "0", "9223372036854775807"
	case a.Column.TypeName == "uuid":
		return "'00000000-0000-0000-0000-000000000000'::uuid", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid"
	case a.Column.TypeName == "bytea":
		return "decode('', 'hex')", "decode(repeat('ff', 17), 'hex')"
	}
	return "''::" + a.textType(), "'~'::" + a.textType()
}

// milliseconds is the time of an identifier since 1970.
func (a Age) milliseconds(col string) string {
	switch {
	case a.Unit == policy.UnitSnowflake:
		return fmt.Sprintf("((%s >> %d) + %d)", col, a.Bits, a.Epoch)
	case a.Column.TypeName == "uuid":
		return fmt.Sprintf("('x' || left(replace(%s::text, '-', ''), 12))::bit(48)::bigint", col)
	case a.Column.TypeName == "bytea":
		return fmt.Sprintf("('x' || encode(substr(%s, 1, 6), 'hex'))::bit(48)::bigint", col)
	}
	parts := make([]string, timeDigits)
	for i := range parts {
		parts[i] = fmt.Sprintf("((strpos('%s', substr(%s::text, %d, 1)) - 1)::bigint << %d)", a.digits(), col, i+1, 5*(timeDigits-1-i))
	}
	return "(" + strings.Join(parts, " | ") + ")"
}

func (a Age) digits() string {
	if a.Lower {
		return strings.ToLower(crockford)
	}
	return crockford
}

// textType is a type of text that compares with the column by its own operators.
func (a Age) textType() string {
	if a.Column.TypeName == "bpchar" {
		return "bpchar"
	}
	return "text"
}
