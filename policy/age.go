package policy

import (
	"reflect"

	"github.com/invopop/jsonschema"
)

// decode reads a column, or a mapping of column and unit or time_zone.
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
	*a = Age{Column: Text(s.Column), Unit: Unit(s.Unit.Value), UnitPos: s.Unit.Pos, TimeZone: Text(s.TimeZone)}
	if a.Unit != UnitNone && a.TimeZone.IsSet() {
		return errorAt(a.TimeZone.Pos, "%s has unit and time_zone: unit is for integers, time_zone for timestamp and date; remove one", key)
	}
	return nil
}

func (Age) schema() *jsonschema.Schema {
	s := nameSchema()
	s.AnyOf = append(s.AnyOf, reflector().ReflectFromType(reflect.TypeFor[ageSection]()))
	s.AnyOf[len(s.AnyOf)-1].Version = ""
	return s
}

// unit is the unit of an integer age, with its place.
type unit Text

func (u *unit) decode(key string, n *node) error {
	u.Pos = n.pos
	return decodeChoice(key, n, &u.Value, string(UnitSeconds), string(UnitMilliseconds), string(UnitMicroseconds))
}

func (unit) schema() *jsonschema.Schema {
	return choiceSchema(string(UnitSeconds), string(UnitMilliseconds), string(UnitMicroseconds))
}
