package main

import (
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

func viaText(columns []string) string { return policy.YAMLColumns(columns) }

func yamlName(n schema.Name) string { return policy.YAMLTable(n.Schema, n.Name) }

func yamlColumn(name string) string { return policy.YAMLColumn(name) }

// sqlColumn is a column as SQL in a YAML scalar.
func sqlColumn(name string) string {
	if strings.ToLower(name) == name && policy.YAMLScalar(name) == name && !strings.Contains(name, ".") {
		return name
	}
	return policy.YAMLQuoted(pgx.Identifier{name}.Sanitize())
}

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
