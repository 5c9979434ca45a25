package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// fixYAML is a node of a YAML document with its position, which can be changed and printed.
type fixYAML struct {
	line, col int
	kind      ast.NodeType // of a scalar: StringType, or any other as written
	text      string       // of a scalar
	pairs     []fixPair
	items     []*fixYAML
}

type fixPair struct{ key, value *fixYAML }

func parseFixYAML(t *testing.T, text string) *fixYAML {
	t.Helper()
	file, err := parser.ParseBytes([]byte(text), 0)
	if err != nil || len(file.Docs) == 0 {
		t.Fatalf("%s: no YAML: %v", text, err)
	}
	return convertFixYAML(t, file.Docs[0].Body)
}

func convertFixYAML(t *testing.T, n ast.Node) *fixYAML {
	t.Helper()
	at := n.GetToken().Position
	out := &fixYAML{line: at.Line, col: at.Column, kind: n.Type()}
	switch n := n.(type) {
	case *ast.MappingValueNode:
		out.kind = ast.MappingType
		out.addPair(t, n)
		out.line, out.col = out.pairs[0].key.line, out.pairs[0].key.col
	case *ast.MappingNode:
		for _, v := range n.Values {
			out.addPair(t, v)
		}
		if !n.IsFlowStyle {
			out.line, out.col = out.pairs[0].key.line, out.pairs[0].key.col
		}
	case *ast.SequenceNode:
		for _, v := range n.Values {
			out.items = append(out.items, convertFixYAML(t, v))
		}
	case *ast.StringNode:
		out.text = n.Value
	case *ast.LiteralNode:
		out.kind, out.text = ast.StringType, n.Value.Value
	default:
		out.text = n.GetToken().Value
	}
	return out
}

func (y *fixYAML) addPair(t *testing.T, n *ast.MappingValueNode) {
	t.Helper()
	y.pairs = append(y.pairs, fixPair{convertFixYAML(t, n.Key), convertFixYAML(t, n.Value)})
}

// String is the document in flow style.
func (y *fixYAML) String() string {
	var parts []string
	switch y.kind {
	case ast.MappingType:
		for _, p := range y.pairs {
			parts = append(parts, p.key.String()+": "+p.value.String())
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case ast.SequenceType:
		for _, i := range y.items {
			parts = append(parts, i.String())
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case ast.StringType:
		quoted, err := json.Marshal(y.text)
		if err != nil {
			panic(err)
		}
		return string(quoted)
	}
	return y.text
}

// get is the value of a key; nil: there is none.
func (y *fixYAML) get(key string) *fixYAML {
	for _, p := range y.pairs {
		if p.key.text == key {
			return p.value
		}
	}
	return nil
}

// set sets the value of a key. A mapping is merged into an existing one.
func (y *fixYAML) set(key string, value *fixYAML) {
	old := y.get(key)
	switch {
	case old == nil:
		y.pairs = append(y.pairs, fixPair{&fixYAML{kind: ast.StringType, text: key}, value})
	case old.kind == ast.MappingType && value.kind == ast.MappingType && key != "age":
		for _, p := range value.pairs {
			old.set(p.key.text, p.value)
		}
	default:
		*old = *value
	}
}

// walk visits all nodes, with the mapping or list that contains each.
func (y *fixYAML) walk(visit func(node, in *fixYAML)) {
	for _, p := range y.pairs {
		visit(p.key, y)
		visit(p.value, y)
		p.value.walk(visit)
	}
	for _, i := range y.items {
		visit(i, y)
		i.walk(visit)
	}
}

// at is the node at a position, and its container.
func (y *fixYAML) at(line, col int) (node, in *fixYAML) {
	y.walk(func(n, parent *fixYAML) {
		if node == nil && n.line == line && n.col == col {
			node, in = n, parent
		}
	})
	return node, in
}

// remove removes an item of a list, or a pair of a mapping by its key or value.
func (y *fixYAML) remove(node *fixYAML) {
	y.items = slices.DeleteFunc(y.items, func(n *fixYAML) bool { return n == node })
	y.pairs = slices.DeleteFunc(y.pairs, func(p fixPair) bool { return p.key == node || p.value == node })
}

// policyNamed is a policy of a policy file.
func (y *fixYAML) policyNamed(name string) (*fixYAML, error) {
	for _, p := range y.get("policies").items {
		if p.get("name").text == name {
			return p, nil
		}
	}
	return nil, fmt.Errorf("no policy %q", name)
}
