package starter

import (
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// sqlColumn formats a column as SQL in a YAML scalar.
func sqlColumn(name string) string {
	if sql := sqlName(name); sql != name {
		return policy.YAMLQuoted(sql)
	}
	return name
}

// sqlName formats a column as SQL, quoted only if necessary.
func sqlName(name string) string {
	if strings.ToLower(name) == name && policy.YAMLScalar(name) == name && !strings.Contains(name, ".") {
		return name
	}
	return pgx.Identifier{name}.Sanitize()
}

// policyName derives a policy's name from its table.
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
