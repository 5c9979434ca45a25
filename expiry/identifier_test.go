package expiry_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// kinds are the identifiers, by the column's type, and how one is made of its milliseconds and of the
// least or the greatest of what follows.
var kinds = []struct {
	unit  policy.Unit
	typ   string
	bits  int // of a snowflake
	lower bool
	make  func(ms int64, greatest bool) string
}{
	{policy.UnitUUIDv7, "uuid", 0, false, func(ms int64, greatest bool) string {
		if greatest {
			return fmt.Sprintf("%012x7fffbfffffffffffffff", ms)
		}
		return fmt.Sprintf("%012x70008000000000000000", ms)
	}},
	{policy.UnitULID, "uuid", 0, false, func(ms int64, greatest bool) string {
		return fmt.Sprintf("%012x", ms) + strings.Repeat(end(greatest, "f"), 20)
	}},
	{policy.UnitULID, "bytea", 0, false, func(ms int64, greatest bool) string {
		return fmt.Sprintf(`\x%012x`, ms) + strings.Repeat(end(greatest, "f"), 20)
	}},
	{policy.UnitULID, "text", 0, false, func(ms int64, greatest bool) string { return base32(ms) + strings.Repeat(end(greatest, "Z"), 16) }},
	{policy.UnitULID, "text", 0, true, func(ms int64, greatest bool) string {
		return strings.ToLower(base32(ms) + strings.Repeat(end(greatest, "Z"), 16))
	}},
	{policy.UnitULID, "bpchar", 0, false, func(ms int64, greatest bool) string { return base32(ms) + strings.Repeat(end(greatest, "Z"), 16) }},
	{policy.UnitSnowflake, "int8", 22, false, func(ms int64, greatest bool) string { return snowflake(ms, 22, greatest) }},
	{policy.UnitSnowflake, "int8", 16, false, func(ms int64, greatest bool) string { return snowflake(ms, 16, greatest) }},
}

func end(greatest bool, most string) string {
	if greatest {
		return most
	}
	return "0"
}

// base32 is a ULID's time, by the definition of the encoding.
func base32(ms int64) string {
	text := strings.ToUpper(new(big.Int).SetInt64(ms).Text(32)) // 0-9A-V
	return strings.Repeat("0", 10-len(text)) + strings.Map(func(r rune) rune {
		return rune("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[strings.IndexRune("0123456789ABCDEFGHIJKLMNOPQRSTUV", r)])
	}, text)
}

const epoch = 1_420_070_400_000

func snowflake(ms int64, bits int, greatest bool) string {
	n := new(big.Int).Lsh(big.NewInt(ms-epoch), uint(bits))
	if greatest {
		n.Add(n, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1)))
	}
	return n.String()
}

// A row is expired if its millisecond is before the cutoff, to the microsecond, whatever follows it in
// the identifier; and where an index serves, the bound alone tells.
func TestIdentifiersAtTheCutoff(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	const at = 1_764_329_400_123
	for _, k := range kinds {
		a := age(k.unit, k.typ, k.bits, k.lower)
		for _, ms := range []int64{at - 1, at, at + 1, at - 86_400_000, at + 86_400_000} {
			for _, micros := range []int64{-1, 0, 1, 999} {
				for _, greatest := range []bool{false, true} {
					cutoff := time.UnixMilli(at).Add(time.Duration(micros) * time.Microsecond).UTC()
					id, sql := k.make(ms, greatest), cutoff.Format("'2006-01-02 15:04:05.000000-07:00'::timestamptz")
					got := db.Text(t, fmt.Sprintf(`SELECT concat_ws(' ', (%s)::text, (x < %s)::text, round(extract(epoch FROM %s) * 1000)) FROM (SELECT %s AS x) s`,
						a.Expired("x", sql), a.Bound(sql), a.Instant("x"), value(id, k.typ)))
					expired := time.UnixMilli(ms).Before(cutoff)
					if want := fmt.Sprintf("%t %t %d", expired, expired, ms); got != want {
						t.Errorf("%s as %s, cutoff %s: %s, want %s", id, k.typ, cutoff, got, want)
					}
				}
			}
		}
		// Cutoffs that no identifier can express are no errors, and none means that nothing expires.
		for cutoff, want := range map[string]string{"NULL": "", "'1900-01-01'": "false", "'infinity'": "true", "'9999-01-01'": "true", "'-infinity'": "false"} {
			id := value(k.make(at, false), k.typ)
			if got := db.Text(t, fmt.Sprintf(`SELECT coalesce((%s)::text, '') FROM (SELECT %s AS x) s`, a.Expired("x", cutoff+"::timestamptz"), id)); got != want {
				t.Errorf("%s, cutoff %s: %q, want %q", id, cutoff, got, want)
			}
		}
	}
}

func age(unit policy.Unit, typ string, bits int, lower bool) expiry.Age {
	return expiry.Age{Column: schema.Column{TypeName: typ}, Unit: unit, Epoch: epoch, Bits: bits, Lower: lower}
}

func value(text, typ string) string {
	sql := "'" + text + "'::" + typ
	if typ == "text" || typ == "bpchar" {
		sql += ` COLLATE "C"`
	}
	return sql
}

// What is no identifier of its unit never expires, however old it would be.
func TestWhatIsNoIdentifier(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	for _, c := range []struct {
		unit  policy.Unit
		typ   string
		lower bool
		not   []string
	}{
		{policy.UnitUUIDv7, "uuid", false, []string{
			"01500000-0000-4000-8000-000000000000", "01500000-0000-1000-8000-000000000000", "01500000-0000-8000-8000-000000000000",
			"01500000-0000-7000-7fff-ffffffffffff", "01500000-0000-7000-c000-000000000000", "00000000-0000-7000-8000-000000000000",
		}},
		{policy.UnitULID, "uuid", false, []string{"00000000-0000-7000-8000-000000000000"}},
		{policy.UnitULID, "bytea", false, []string{`\x`, `\x015000000000`, `\x015000000000800080000000000000`, `\x0150000000008000800000000000000000`, `\x00000000000080008000000000000000`}},
		{policy.UnitULID, "text", false, []string{
			"", "01A0000000", "01A0000000000000000000000", "01A000000000000000000000000", "01A0000000000000000000000U", "01A0000000000000000000000I", "01a0000000h000000000000000",
			"81A00000000000000000000000", "01A0000000-000000000000000", "01A0000000000000000000000\n", "00000000000000000000000000",
		}},
		{policy.UnitULID, "text", true, []string{"01A000000000000000000000HH", "01a0000000000000000000000u"}},
		{policy.UnitSnowflake, "int8", false, []string{"-9223372036854775808", "-1", "0", "1", "1000000000000", "15099494399999"}},
	} {
		a := age(c.unit, c.typ, 22, c.lower)
		for _, id := range c.not {
			if db.Bool(t, fmt.Sprintf(`SELECT %s FROM (SELECT %s AS x) s`, a.Expired("x", "'2100-01-01'::timestamptz"), value(id, c.typ))) {
				t.Errorf("%q as %s (%s) has expired", id, c.unit, c.typ)
			}
		}
	}
}
