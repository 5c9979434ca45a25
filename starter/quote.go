package starter

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/schema"
)

// yamlScalar quotes what YAML would not read as this very string.
func yamlScalar(s string) string {
	for _, r := range s {
		if !(r == '_' || r == '.' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') {
			return yamlQuoted(s)
		}
	}
	if slices.Contains([]string{"", "null", "true", "false", "yes", "no", "on", "off", "none", "y", "n"}, strings.ToLower(s)) || s[0] >= '0' && s[0] <= '9' || s[0] == '.' {
		return "'" + s + "'"
	}
	return s
}

// yamlQuoted is a string in quotes: in double ones, with escapes, where it has
// characters that are not seen, and in single ones, which YAML reads as they are, else.
func yamlQuoted(s string) string {
	if visible.Text(s) == s {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteString(`\` + string(r))
		case visible.Text(string(r)) == string(r) && !unicode.Is(unicode.M, r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String() + `"`
}

// sqlColumn is a column as SQL in a YAML scalar.
func sqlColumn(name string) string {
	if sql := sqlName(name); sql != name {
		return yamlQuoted(sql)
	}
	return name
}

// sqlName is a column as SQL, quoted only where it may have to be.
func sqlName(name string) string {
	if strings.ToLower(name) == name && yamlScalar(name) == name && !strings.Contains(name, ".") {
		return name
	}
	return pgx.Identifier{name}.Sanitize()
}

// policyName is a policy named after its table.
func policyName(n schema.Name) string {
	var b strings.Builder
	for i, r := range n.Name {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			b.WriteRune(r)
		case r >= 'A' && r <= 'Z':
			if i > 0 && !strings.HasSuffix(b.String(), "-") {
				b.WriteByte('-')
			}
			b.WriteRune(r + 'a' - 'A')
		case !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	if name := strings.Trim(b.String(), "-"); name != "" {
		return name
	}
	return "policy"
}
