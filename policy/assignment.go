package policy

import "github.com/invopop/jsonschema"

// Redact overwrites columns of rows that stay.
const Redact Action = "redact"

// Assignment is a new value for one column of a row that is redacted.
type Assignment struct {
	Column Text
	SQL    Text // over the row's table alone; NULL empties the column
}

// assignments are columns and their new values, in the order of the file.
type assignments []Assignment

func (a *assignments) decode(key string, n *node) error {
	if n.kind != kindMapping || len(n.pairs) == 0 {
		return errorAt(n.pos, "%s must be columns and their new values: write {column: SQL}, such as {name: \"'erased'\", email: \"NULL\"}", key)
	}
	seen := map[string]bool{}
	for _, p := range n.pairs {
		var to column
		if err := to.decode(key, p.key); err != nil {
			return err
		}
		if seen[to.Value] {
			return errorAt(p.key.pos, "%s names the column %s twice: remove one", key, to.Value)
		}
		seen[to.Value] = true
		if p.value.kind == kindNull {
			return errorAt(p.value.pos, "%s: %s has no value: to empty the column write \"NULL\", in quotes", key, to.Value)
		}
		sql, err := p.value.assigned(key, to.Value)
		if err != nil {
			return err
		}
		*a = append(*a, Assignment{Column: Text(to), SQL: sql})
	}
	return nil
}

// assigned is the SQL of a new value. A number or true and false are SQL as they stand.
func (n *node) assigned(key, to string) (Text, error) {
	if n.kind == kindInt || n.kind == kindFloat || n.kind == kindBool {
		return Text{n.text, n.pos}, nil
	}
	var sql expression
	err := sql.decode(key+": "+to, n)
	return Text(sql), err
}

func (assignments) schema() *jsonschema.Schema {
	one := uint64(1)
	value := &jsonschema.Schema{AnyOf: []*jsonschema.Schema{nonBlank(), {Type: "number"}, {Type: "boolean"}}}
	return &jsonschema.Schema{Type: "object", AdditionalProperties: value, MinProperties: &one}
}
