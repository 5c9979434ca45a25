package policy

import (
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// node is one value of the YAML file with its position: all that this package knows of
// YAML. Anchors, aliases, merge keys, tags and non-scalar keys are refused earlier.
type node struct {
	pos   Pos
	kind  kind
	text  string // of a scalar: a string's value, else as written
	pairs []pair // of a mapping: in the order of the file, keys unique by text
	items []*node
}

type pair struct{ key, value *node }

type kind int

const (
	kindNull kind = iota
	kindString
	kindInt
	kindFloat
	kindBool
	kindMapping
	kindList
)

// describe names the kind for a message. It omits the value, which may be a secret.
func (k kind) describe() string {
	switch k {
	case kindString:
		return "text"
	case kindInt, kindFloat:
		return "a number"
	case kindBool:
		return "true or false"
	case kindMapping:
		return "a mapping"
	case kindList:
		return "a list"
	}
	return "nothing"
}

// Limits of nesting, far above any real policy file. The YAML parser is recursive, and a
// stack overflow is fatal.
const (
	maxFlowDepth  = 50
	maxDashColumn = 500
)

// parseYAML parses the single document of a policy file.
func parseYAML(data []byte) (*node, error) {
	text, err := checkText(data)
	if err != nil {
		return nil, err
	}
	tokens := lexer.Tokenize(text)
	if err := checkTokens(tokens); err != nil {
		return nil, err
	}
	// Duplicate keys are reported below, with a better message.
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxError(err, text)
	}
	return onlyDocument(file)
}

func onlyDocument(file *ast.File) (*node, error) {
	var bodies []*ast.DocumentNode
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() == ast.DirectiveType {
			return nil, errorAt(position(doc.Body.GetToken()), "a YAML directive: remove the line that begins with %%")
		}
		bodies = append(bodies, doc)
	}
	if len(bodies) > 1 {
		return nil, errorAt(secondDocument(bodies[1]), "a second YAML document begins here: a policy file has one document; remove the line ---")
	}
	if len(bodies) == 0 || bodies[0].Body == nil || bodies[0].Body.Type() == ast.CommentType {
		return nil, errorAt(Pos{1, 1}, "the policy file is empty: begin with version: 1 and policies:")
	}
	return convert(bodies[0].Body)
}

func secondDocument(doc *ast.DocumentNode) Pos {
	if doc.Start != nil {
		return position(doc.Start)
	}
	return position(doc.GetToken())
}

// checkTokens refuses YAML features that policy files do not use, before the parser
// interprets them.
func checkTokens(tokens token.Tokens) error {
	depth := 0
	for _, tk := range tokens {
		at := position(tk)
		switch tk.Type {
		case token.AnchorType, token.AliasType:
			return errorAt(at, "YAML anchors and aliases are not supported here: write the value out; quote text that begins with & or *")
		case token.MergeKeyType:
			return errorAt(at, "YAML merge keys (<<) are not supported here: write the keys out")
		case token.TagType:
			return errorAt(at, "YAML tags are not supported here: remove the tag; quote text that begins with !")
		case token.MappingKeyType:
			return errorAt(at, "YAML keys that begin with ? are not supported here: write key: value; quote text that begins with ?")
		case token.MappingStartType, token.SequenceStartType:
			depth++
		case token.MappingEndType, token.SequenceEndType:
			depth--
		}
		if depth > maxFlowDepth || tk.Type == token.SequenceEntryType && at.Col > maxDashColumn {
			return errorAt(at, "nested too deeply: no part of a policy file needs that")
		}
	}
	return nil
}

// syntaxError translates an error of the YAML library. The message must not quote more of
// the file than one character.
func syntaxError(err error, text string) error {
	var syntax yaml.Error
	if !errors.As(err, &syntax) || syntax.GetToken() == nil {
		return errorAt(Pos{1, 1}, "not valid YAML: check indentation, quotes and brackets")
	}
	at := position(syntax.GetToken())
	if indentedByTab(text, at.Line) {
		return errorAt(at, "a tab indents this line: YAML allows only spaces there; replace it with spaces")
	}
	return errorAt(at, "not valid YAML%s: check indentation, quotes and brackets on this and nearby lines", syntaxHint(syntax.GetMessage()))
}

func indentedByTab(text string, line int) bool {
	for range line - 1 {
		end := strings.IndexAny(text, "\r\n")
		if end < 0 {
			return false
		}
		text = strings.TrimPrefix(text[end:], "\r")
		text = strings.TrimPrefix(text, "\n")
	}
	indent := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	return strings.Contains(indent, "\t")
}

// convert copies a part of the library's tree.
func convert(n ast.Node) (*node, error) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return convertMapping(n, n.Values, n.IsFlowStyle)
	case *ast.MappingValueNode:
		return convertMapping(n, []*ast.MappingValueNode{n}, false)
	case *ast.SequenceNode:
		list := &node{kind: kindList, pos: position(n.Start)}
		for _, value := range n.Values {
			item, err := convert(value)
			if err != nil {
				return nil, err
			}
			list.items = append(list.items, item)
		}
		return list, nil
	case nil:
		return nil, errorAt(Pos{}, "a value is missing")
	}
	return convertScalar(n)
}

func convertMapping(n ast.Node, values []*ast.MappingValueNode, flow bool) (*node, error) {
	m := &node{kind: kindMapping, pos: position(n.GetToken())}
	first := map[string]int{}
	for i, value := range values {
		key, err := convertScalar(value.Key)
		if err != nil {
			return nil, err
		}
		// A block mapping has no token of its own; it begins with its first key.
		if i == 0 && !flow {
			m.pos = key.pos
		}
		if line, seen := first[key.text]; seen {
			return nil, errorAt(key.pos, "key %q appears twice, first on line %d: remove one", key.text, line)
		}
		first[key.text] = key.pos.Line
		v, err := convert(value.Value)
		if err != nil {
			return nil, err
		}
		if v.kind == kindNull {
			v.pos = key.pos // a missing value has no better position
		}
		m.pairs = append(m.pairs, pair{key, v})
	}
	return m, nil
}

func convertScalar(n ast.Node) (*node, error) {
	tk := n.GetToken()
	s := &node{pos: position(tk), text: tk.Value}
	switch n := n.(type) {
	case *ast.StringNode:
		s.kind, s.text = kindString, n.Value
	case *ast.LiteralNode:
		s.kind, s.text = kindString, n.Value.Value
	case *ast.IntegerNode:
		s.kind = kindInt
	case *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		s.kind = kindFloat
	case *ast.BoolNode:
		s.kind = kindBool
	case *ast.NullNode:
		s.kind = kindNull
	default:
		return nil, errorAt(s.pos, "YAML of this kind (%s) is not supported here: write a plain value", n.Type().YAMLName())
	}
	if isPlain(tk) && strings.Contains(strings.Trim(tk.Origin, " \t\r\n"), "\t") {
		// The library drops such a tab and joins the words around it.
		return nil, errorAt(s.pos, "a tab in unquoted text: replace it with spaces, or quote the text")
	}
	if strings.Contains(s.text, "\x00") {
		return nil, errorAt(s.pos, "a NUL character in text: PostgreSQL does not allow it; remove it")
	}
	return s, nil
}

func isPlain(tk *token.Token) bool {
	switch tk.Type {
	case token.SingleQuoteType, token.DoubleQuoteType, token.LiteralType, token.FoldedType:
		return false
	}
	return true
}

func position(tk *token.Token) Pos {
	if tk == nil || tk.Position == nil {
		return Pos{1, 1}
	}
	return Pos{tk.Position.Line, max(tk.Position.Column, 1)}
}

// syntaxHint says in our words what the YAML library found; empty: nothing that would help.
func syntaxHint(found string) string {
	for _, h := range []struct{ found, hint string }{
		{"',' or '}'", ": a { is not closed, or a comma is missing"},
		{"',' or ']'", ": a [ is not closed, or a comma is missing"},
		{"could not find end character", ": a quote is not closed"},
		{"not allowed in this context", ": this line is indented unlike those it belongs to"},
		{"mapping", ": this key does not fit the lines before it"},
		{"sequence", ": this list does not fit the lines before it"},
	} {
		if strings.Contains(found, h.found) {
			return h.hint
		}
	}
	return ""
}
