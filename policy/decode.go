package policy

import (
	"reflect"
	"slices"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/reaperdb/reaper/internal/nearest"
)

// leaf is a type of the document that decodes itself. Its decoder and its JSON Schema are
// defined side by side so that they agree.
type leaf interface {
	// decode reads n, the value of key.
	decode(key string, n *node) error
	schema() *jsonschema.Schema
}

// decode reads n into v: a leaf, a pointer, a list or a section of the document.
func decode(key string, n *node, v reflect.Value) error {
	if n.kind == kindNull {
		return errorAt(n.pos, "%s has no value: give it one, or remove it", key)
	}
	if l, ok := v.Addr().Interface().(leaf); ok {
		return l.decode(key, n)
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return decode(key, n, v.Elem())
	case reflect.Slice:
		return decodeList(key, n, v)
	}
	return decodeSection(key, n, v)
}

func decodeList(key string, n *node, v reflect.Value) error {
	if n.kind != kindList {
		return errorAt(n.pos, "%s must be a list, not %s: begin each entry with a dash", key, n.kind.describe())
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		if err := decode("an entry of "+key, item, v.Index(i)); err != nil {
			return err
		}
	}
	return nil
}

// decodeSection reads a mapping into a struct, field by field. The yaml tags name the
// known keys, `required` in the jsonschema tag makes a key mandatory, and a field of type
// Pos receives the section's position.
func decodeSection(key string, n *node, v reflect.Value) error {
	if n.kind != kindMapping {
		return errorAt(n.pos, "%s must be a mapping of keys and values, not %s", key, n.kind.describe())
	}
	fields := sectionFields(v)
	for _, p := range n.pairs {
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == p.key.text })
		if i < 0 {
			return unknownKey(key, p.key, fields)
		}
		if err := decode(p.key.text, p.value, fields[i].value); err != nil {
			return err
		}
		if fields[i].filled && len(p.value.items) == 0 {
			return errorAt(p.value.pos, "%s is an empty list: write at least one entry", p.key.text)
		}
		fields[i].seen = true
	}
	for _, f := range fields {
		if f.required && !f.seen {
			return errorAt(n.pos, "%s has no %s: add the key %s", key, f.name, f.name)
		}
	}
	if pos := v.FieldByName("Pos"); pos.IsValid() {
		pos.Set(reflect.ValueOf(n.pos))
	}
	return nil
}

type field struct {
	name     string
	required bool
	filled   bool // an empty list is refused
	seen     bool
	value    reflect.Value
}

func sectionFields(v reflect.Value) []field {
	var fields []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Anonymous:
			fields = append(fields, sectionFields(v.Field(i))...)
		case name != "-":
			rules := strings.Split(f.Tag.Get("jsonschema"), ",")
			fields = append(fields, field{
				name: name, value: v.Field(i),
				required: slices.Contains(rules, "required"), filled: slices.Contains(rules, "minItems=1"),
			})
		}
	}
	return fields
}

func unknownKey(section string, key *node, fields []field) error {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	if i := nearest.Index(key.text, names, max(2, len(key.text)/3)); i >= 0 { // more edits would be a guess
		return errorAt(key.pos, "unknown key %q in %s: did you mean %s?", key.text, section, names[i])
	}
	return errorAt(key.pos, "unknown key %q in %s: the keys here are %s", key.text, section, strings.Join(names, ", "))
}
