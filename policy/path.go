package policy

import (
	"github.com/invopop/jsonschema"
)

func (t *Table) decode(key string, n *node) error {
	s, err := n.textAs(key, "a table's name")
	if err != nil {
		return err
	}
	if *t, err = ParseTable(s); err != nil {
		return n.in(key, err)
	}
	t.Pos = n.pos
	return nil
}

func (Table) schema() *jsonschema.Schema { return nonBlank() }

// column is the exact name of one column, without quotes.
type column Text

func (c *column) decode(key string, n *node) error {
	s, err := n.nameAs(key, "a column's name")
	if err != nil {
		return err
	}
	name, err := parseColumn(s)
	if err != nil {
		return n.in(key, err)
	}
	*c = column{name, n.pos}
	return nil
}

func (column) schema() *jsonschema.Schema { return nameSchema() }

// nameSchema is the schema of a name, which may look like a number.
func nameSchema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{nonBlank(), {Type: "integer"}}}
}

// nameOrList is the schema of a name or a list of names.
func nameOrList() *jsonschema.Schema {
	s := nameSchema()
	one := uint64(1)
	s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Type: "array", Items: nameSchema(), MinItems: &one})
	return s
}

// entries returns the items of a non-empty list, or a scalar as the only item.
func (n *node) entries(key, want string) ([]*node, error) {
	switch {
	case n.kind == kindMapping:
		return nil, errorAt(n.pos, "%s must be %s or a list of them, not a mapping", key, want)
	case n.kind != kindList:
		return []*node{n}, nil
	case len(n.items) == 0:
		return nil, errorAt(n.pos, "%s is an empty list: it must be %s or a list of them; otherwise remove the key", key, want)
	}
	return n.items, nil
}

func (p *Path) decode(key string, n *node) error {
	*p = Path{Pos: n.pos}
	if n.kind == kindString && n.text == "none" {
		p.None = true
		return nil
	}
	entries, err := n.entries(key, "a column")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		s, err := entry.nameAs(key, "a column, or column -> Table.column")
		if err != nil {
			return err
		}
		step, err := parseStep(s)
		if err != nil {
			return entry.in(key, err)
		}
		step.Pos = entry.pos
		if step.Table.IsSet() {
			step.Table.Pos = entry.pos
		}
		p.Steps = append(p.Steps, step)
	}
	return nil
}

func (Path) schema() *jsonschema.Schema { return nameOrList() }

// columns is one or more columns.
type columns []Text

func (c *columns) decode(key string, n *node) error {
	entries, err := n.entries(key, "a column")
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, entry := range entries {
		var one column
		if err := one.decode(key, entry); err != nil {
			return err
		}
		if seen[one.Value] {
			return errorAt(entry.pos, "%s names the column %s twice: remove one", key, one.Value)
		}
		seen[one.Value] = true
		*c = append(*c, Text(one))
	}
	return nil
}

func (columns) schema() *jsonschema.Schema { return nameOrList() }

// matchPairs is a reference without a foreign key.
type matchPairs []Match

func (m *matchPairs) decode(key string, n *node) error {
	if n.kind != kindMapping || len(n.pairs) == 0 {
		return errorAt(n.pos, "%s must be pairs of columns: write {their_column: our_column}", key)
	}
	seen := map[string]bool{}
	for _, p := range n.pairs {
		var theirs, ours column
		if err := theirs.decode(key, p.key); err != nil {
			return err
		}
		if p.value.kind == kindNull {
			return errorAt(p.value.pos, "%s: %s has no column of ours: write {their_column: our_column}", key, theirs.Value)
		}
		if err := ours.decode(key, p.value); err != nil {
			return err
		}
		if seen[theirs.Value] {
			return errorAt(p.key.pos, "%s names the column %s twice: remove one", key, theirs.Value)
		}
		seen[theirs.Value] = true
		*m = append(*m, Match{Theirs: theirs.Value, Ours: ours.Value})
	}
	return nil
}

func (matchPairs) schema() *jsonschema.Schema {
	one := uint64(1)
	return &jsonschema.Schema{Type: "object", AdditionalProperties: nameSchema(), MinProperties: &one}
}
