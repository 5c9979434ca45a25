package purge_test

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// oracleEpoch is the epoch of the oracle's snowflakes, in milliseconds since 1970: that of Discord.
const oracleEpoch = 1420070400000

func identifies(unit string) bool {
	return slices.Contains([]string{"uuidv7", "ulid", "snowflake"}, unit)
}

// identifier is the SQL of an identifier made at an instant. Several may be of one millisecond.
func (m *schemaMaker) identifier(instant string) string {
	p := &m.c.policy
	ms := fmt.Sprintf("floor(extract(epoch FROM %s) * 1000)::bigint", instant)
	rest := fmt.Sprintf("%04x%012x", m.upTo(0, 0xffff, "rest"), m.upTo(0, 1000, "more rest"))
	hexed := "lpad(to_hex(" + ms + "), 12, '0')"
	switch {
	case p.unit == "snowflake":
		return fmt.Sprintf("((%s - %d) * 4194304 + %d)", ms, int64(oracleEpoch), m.upTo(0, 4194303, "sequence"))
	case p.unit == "uuidv7":
		return fmt.Sprintf("(%s || '7%s%s%s')::uuid", hexed, rest[:3], of(m.draw, "variant", "8", "9", "a", "b"), rest[1:16])
	case p.ageType == "uuid":
		return fmt.Sprintf("(%s || '%s0000')::uuid", hexed, rest)
	case p.ageType == "bytea":
		return fmt.Sprintf("decode(%s || '%s0000', 'hex')", hexed, rest)
	}
	id := fmt.Sprintf("(SELECT string_agg(substr('%s', (x.ms / (32::bigint ^ n)::bigint %% 32)::int + 1, 1), '' ORDER BY n DESC) || '%s' FROM (SELECT %s AS ms) x, generate_series(0, 9) n)",
		crockfordDigits, strings.Repeat(of(m.draw, "random digit", "0", "7", "H", "Z"), 16), ms)
	if p.lower {
		return "lower(" + id + ")"
	}
	return id
}

const crockfordDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// noIdentifier is the SQL of a value that would have expired long ago if it were an identifier.
func (m *schemaMaker) noIdentifier() string {
	p := &m.c.policy
	switch {
	case p.unit == "snowflake":
		return of(m.draw, "no identifier", "0", "-1", "1000000000", "-9223372036854775808", "15099494399999")
	case p.unit == "uuidv7":
		return of(m.draw, "no identifier", "'01500000-0000-4000-8000-000000000000'", "'01500000-0000-7000-c000-000000000000'", "'01500000-0000-7000-0000-000000000000'",
			"'00000000-0000-7000-8000-000000000000'", "'01500000-0000-6000-8000-000000000000'", "'f81d4fae-7dec-41d0-a765-00a0c91e6bf6'")
	case p.ageType == "uuid":
		return "'00000000-0000-4000-8000-000000000000'"
	case p.ageType == "bytea":
		return of(m.draw, "no identifier", `'\x'`, `'\x015000000000'`, `'\x00000000000080008000000000000000'`, `'\x0150000000008000800000000000000000'`)
	}
	none := []string{"'00000000000000000000000000'", "'01A00000000000000000000000000'", "'01A0000000'", "'01A0000000000000000000000U'", "'81A00000000000000000000000'", "'01A000000-0000000000000000'", "''"}
	if p.ageType == "char(26)" {
		none = slices.DeleteFunc(none, func(s string) bool { return len(s) > 28 })
	}
	one := of(m.draw, "no identifier", none...)
	if p.lower {
		return strings.ToLower(one)
	}
	return one
}

// timeOf is the time of an identifier in milliseconds since 1970; 0: it has none. It decodes the value
// as PostgreSQL prints it.
func (p *genPolicy) timeOf(id string) int64 {
	switch {
	case p.unit == "snowflake":
		n, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			panic(err)
		}
		if n < 3_600_000<<22 {
			return 0
		}
		return n/4194304 + oracleEpoch
	case p.ageType == "uuid":
		raw := decodeHex(strings.ReplaceAll(id, "-", ""))
		if p.unit == "uuidv7" && (raw[6]&0xf0 != 0x70 || raw[8]&0xc0 != 0x80) {
			return 0
		}
		return bigEndian(raw[:6])
	case p.ageType == "bytea":
		raw := decodeHex(strings.TrimPrefix(id, `\x`))
		if len(raw) != 16 {
			return 0
		}
		return bigEndian(raw[:6])
	}
	return p.timeOfText(strings.TrimRight(id, " "))
}

func (p *genPolicy) timeOfText(id string) (ms int64) {
	digits := crockfordDigits
	if p.lower {
		digits = strings.ToLower(digits)
	}
	if len(id) != 26 || id[0] > '7' {
		return 0
	}
	for i, r := range id {
		d := strings.IndexRune(digits, r)
		if d < 0 {
			return 0
		}
		if i < 10 {
			ms = ms*32 + int64(d)
		}
	}
	return ms
}

func decodeHex(s string) []byte {
	raw, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return raw
}

func bigEndian(raw []byte) (n int64) {
	for _, b := range raw {
		n = n<<8 | int64(b)
	}
	return n
}
