package purge

import (
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/schema"
)

// statement is one SQL statement under construction, with the values bound to
// it.
type statement struct {
	strings.Builder
	args  []any
	outer *statement // whose values these are; nil: it stands by itself
}

// inner begins a part of the statement that is put into it later. Its values are
// bound to the whole.
func (s *statement) inner() *statement { return &statement{outer: s} }

// arg binds a value and gives its placeholder.
func (s *statement) arg(v any) string {
	if s.outer != nil {
		return s.outer.arg(v)
	}
	s.args = append(s.args, v)
	return "$" + strconv.Itoa(len(s.args))
}

// cast binds a value and gives its placeholder, cast to a type.
func (s *statement) cast(v any, typ string) string { return s.arg(v) + "::" + typ }

func (s *statement) add(parts ...string) *statement {
	for _, p := range parts {
		s.WriteString(p)
	}
	return s
}

func ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// from is the table as FROM, UPDATE and DELETE name it. ONLY: a foreign key
// speaks of the table alone, never of plain inheritance children.
func from(t *schema.Table) string {
	if t.Kind == schema.Partitioned {
		return ident(t.Name.Schema, t.Name.Name)
	}
	return "ONLY " + ident(t.Name.Schema, t.Name.Name)
}

// col is a column qualified by its table's bare name, as it is visible where
// the table is named without an alias: there a user's SQL sees its columns too.
func col(t *schema.Table, column string) string { return ident(t.Name.Name, column) }

func list(n int, item func(int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = item(i)
	}
	return strings.Join(parts, ", ")
}

func and(n int, item func(int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = item(i)
	}
	return strings.Join(parts, " AND ")
}

// row writes one column bare and several as a row.
func row(columns []string) string {
	if len(columns) == 1 {
		return columns[0]
	}
	return "(" + strings.Join(columns, ", ") + ")"
}
