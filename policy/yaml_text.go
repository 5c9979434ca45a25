package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// YAMLTable returns a table's name as a scalar of the policy file, valid in a flow
// collection.
func YAMLTable(schema, name string) string {
	return YAMLScalar(Table{Schema: schema, Name: name}.String())
}

// YAMLColumn returns a column's name as a scalar of the policy file.
func YAMLColumn(name string) string { return YAMLScalar(QuoteName(name)) }

// YAMLColumns returns the value of `via`: one name, or a list.
func YAMLColumns(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = YAMLColumn(n)
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// yamlWords are plain scalars that YAML or the policy file reads as something other than a
// name.
var yamlWords = []string{"", "null", "true", "false", "yes", "no", "on", "off", "none", "y", "n"}

// YAMLScalar quotes a string that YAML would read as something else.
func YAMLScalar(s string) string {
	for _, r := range s {
		if !(r == '_' || r == '.' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') {
			return YAMLQuoted(s)
		}
	}
	if slices.Contains(yamlWords, strings.ToLower(s)) || s[0] >= '0' && s[0] <= '9' || s[0] == '.' {
		return "'" + s + "'"
	}
	return s
}

// YAMLQuoted quotes a string: in double quotes with escapes if it has invisible
// characters, otherwise in single quotes.
func YAMLQuoted(s string) string {
	if !strings.ContainsFunc(s, hidden) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case !hidden(r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String() + `"`
}

// hidden reports whether a character is invisible or combines with others.
func hidden(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(unicode.M, r) }
