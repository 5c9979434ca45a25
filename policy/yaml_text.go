package policy

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// YAMLTable is a table's name as a scalar of the policy file. It may stand in a flow
// collection.
func YAMLTable(schema, name string) string {
	return YAMLScalar(Table{Schema: schema, Name: name}.String())
}

// YAMLColumn is a column's name as a scalar of the policy file.
func YAMLColumn(name string) string { return YAMLScalar(QuoteName(name)) }

// YAMLColumns are the columns of `via`: one name, or a list.
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

// yamlWords are plain scalars that YAML, or the policy file, takes for something else
// than a name.
var yamlWords = []string{"", "null", "true", "false", "yes", "no", "on", "off", "none", "y", "n"}

// YAMLScalar quotes what YAML would not read as this very string.
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

// YAMLQuoted is a string in quotes: in double ones, with escapes, where it has
// characters that are not seen, and in single ones, which YAML reads as they are, else.
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

// hidden reports whether a character is not seen, or covers others.
func hidden(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(unicode.M, r) }
