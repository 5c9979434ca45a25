package policy

import "github.com/invopop/jsonschema"

// graceValue is a length of time, or none; see document.go.
type graceValue struct {
	set    bool      // the file sets one
	length *Duration // nil: none
}

func (g *graceValue) decode(key string, n *node) error {
	g.set = true
	if n.kind == kindString && n.text == "none" {
		return nil
	}
	g.length = new(Duration)
	if err := g.length.decode(key, n); err != nil {
		return err
	}
	switch {
	case g.length.Forever:
		return errorAt(n.pos, "%s is forever: no shorter retention would ever count; write a duration like 7d, or none", key)
	case g.length.IsZero():
		return errorAt(n.pos, "%s is %s: write a duration above zero like 7d, or none", key, g.length.Text)
	}
	return nil
}

func (graceValue) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^(none|([0-9]+(s|m|h|d|w|mo|y))+)$"}
}

// or is the grace, or another where the file sets none.
func (g graceValue) or(other graceValue) graceValue {
	if g.set {
		return g
	}
	return other
}
