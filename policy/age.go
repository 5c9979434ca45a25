package policy

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// decode reads a column, or a mapping that says how to read it, or of SQL.
func (a *Age) decode(key string, n *node) error {
	var s ageSection
	if n.kind != kindMapping {
		err := s.Column.decode(key, n)
		*a = Age{Column: Text(s.Column)}
		return err
	}
	if err := decode(key, n, reflect.ValueOf(&s).Elem()); err != nil {
		return err
	}
	*a = Age{Column: Text(s.Column), SQL: Text(s.SQL), Unit: Unit(s.Unit.Value), UnitPos: s.Unit.Pos, TimeZone: Text(s.TimeZone)}
	if err := s.check(key, n.pos); err != nil {
		return err
	}
	if a.Unit == UnitSnowflake {
		a.Epoch, a.Bits = s.Epoch.ms, usualBits
		if s.Bits.isSet() {
			a.Bits = s.Bits.n
		}
	}
	return nil
}

// check refuses keys that do not go together.
func (s *ageSection) check(key string, pos Pos) error {
	column, sql, unit, zone := Text(s.Column), Text(s.SQL), Text(s.Unit), Text(s.TimeZone)
	switch {
	case !column.IsSet() && !sql.IsSet():
		return errorAt(pos, "%s has no column: add the key column, or sql", key)
	case column.IsSet() && sql.IsSet():
		return errorAt(sql.Pos, "%s has column and sql: either of them tells the age; remove one", key)
	case sql.IsSet() && unit.IsSet():
		return errorAt(unit.Pos, "%s has sql and unit: sql gives a timestamptz, which has no unit; remove it", key)
	case sql.IsSet() && zone.IsSet():
		return errorAt(zone.Pos, "%s has sql and time_zone: sql gives a timestamptz, which needs none; remove it", key)
	case unit.IsSet() && zone.IsSet():
		return errorAt(zone.Pos, "%s has unit and time_zone: unit is for integers and identifiers, time_zone for timestamp and date; remove one", key)
	case s.Epoch.isSet() && Unit(unit.Value) != UnitSnowflake:
		return errorAt(s.Epoch.pos, "epoch is for unit: snowflake alone; remove it")
	case !s.Epoch.isSet() && Unit(unit.Value) == UnitSnowflake: // no default: with an earlier one, rows would go too soon
		return errorAt(unit.Pos, "%s has unit snowflake, but no epoch: add epoch: twitter, discord, milliseconds since 1970, or a time like 2020-01-01T00:00:00Z", key)
	case s.Bits.isSet() && Unit(unit.Value) != UnitSnowflake:
		return errorAt(s.Bits.pos, "bits is for unit: snowflake alone; remove it")
	}
	return nil
}

func (Age) schema() *jsonschema.Schema {
	s := nameSchema()
	s.AnyOf = append(s.AnyOf, reflector().ReflectFromType(reflect.TypeFor[ageSection]()))
	s.AnyOf[len(s.AnyOf)-1].Version = ""
	return s
}

// unit is the unit of an age, with its place.
type unit Text

var units = []string{string(UnitSeconds), string(UnitMilliseconds), string(UnitMicroseconds), string(UnitUUIDv7), string(UnitULID), string(UnitSnowflake)}

func (u *unit) decode(key string, n *node) error {
	u.Pos = n.pos
	return decodeChoice(key, n, &u.Value, units...)
}

func (unit) schema() *jsonschema.Schema { return choiceSchema(units...) }

// epochs are the epochs of well-known snowflakes, in milliseconds since 1970.
var epochs = map[string]int64{"twitter": 1_288_834_974_657, "discord": 1_420_070_400_000}

// latestEpoch is 2100, in milliseconds since 1970.
const latestEpoch = 4_102_444_800_000

// epoch is when the numbers of snowflakes begin.
type epoch struct {
	ms  int64
	pos Pos
}

func (e epoch) isSet() bool { return e.pos.Line > 0 }

func (e *epoch) decode(key string, n *node) error {
	e.pos = n.pos
	wrong := errorAt(n.pos, "%s must be twitter, discord, milliseconds since 1970, or a time before 2100 like 2020-01-01T00:00:00Z", key)
	switch n.kind {
	case kindInt:
		ms, err := strconv.ParseInt(n.text, 10, 64)
		if err != nil || ms < 0 || ms >= latestEpoch {
			return wrong
		}
		e.ms = ms
	case kindString:
		if ms, known := epochs[n.text]; known {
			e.ms = ms
			return nil
		}
		t, err := time.Parse(time.RFC3339, strings.TrimSpace(n.text))
		if err != nil || t.UnixMilli() < 0 || t.UnixMilli() >= latestEpoch {
			return wrong
		}
		e.ms = t.UnixMilli()
	default:
		return wrong
	}
	return nil
}

func (epoch) schema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		{Type: "integer", Minimum: "0", Maximum: "4102444799999"},
		{Type: "string", Pattern: `^(twitter|discord|\s*[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})\s*)$`},
	}}
}

// usualBits is how many bits of a snowflake tell the machine and the sequence, not the time.
// mostBits leaves enough for the milliseconds of 34 years.
const (
	usualBits = 22
	mostBits  = 23
)

// snowflakeBits is how many of the lowest bits of a snowflake do not belong to the time.
type snowflakeBits struct {
	n   int
	pos Pos
}

func (b snowflakeBits) isSet() bool { return b.pos.Line > 0 }

func (b *snowflakeBits) decode(key string, n *node) error {
	v, err := strconv.Atoi(n.text)
	if n.kind != kindInt || err != nil || v < 1 || v > mostBits {
		return errorAt(n.pos, "%s must be a whole number from 1 to %d", key, mostBits)
	}
	b.n, b.pos = v, n.pos
	return nil
}

func (snowflakeBits) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "1", Maximum: "23"}
}
