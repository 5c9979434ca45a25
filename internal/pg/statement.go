package pg

import (
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Prefixed is a list of n items, each behind a comma.
func Prefixed(n int, item func(int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(", " + item(i))
	}
	return b.String()
}

// Statement is one SQL statement under construction, with the values bound to
// it.
type Statement struct {
	strings.Builder
	Args  []any
	outer *Statement // whose values these are; nil: it stands by itself
}

// Inner begins a part of the statement that is put into it later. Its values are
// bound to the whole.
func (s *Statement) Inner() *Statement { return &Statement{outer: s} }

// arg binds a value and gives its placeholder.
func (s *Statement) arg(v any) string {
	if s.outer != nil {
		return s.outer.arg(v)
	}
	s.Args = append(s.Args, v)
	return "$" + strconv.Itoa(len(s.Args))
}

// Cast binds a value and gives its placeholder, cast to a type.
func (s *Statement) Cast(v any, typ string) string { return s.arg(v) + "::" + typ }

// Add adds SQL to the statement, and gives the statement.
func (s *Statement) Add(parts ...string) *Statement {
	for _, p := range parts {
		s.WriteString(p)
	}
	return s
}

// Ident is a name as SQL has it, qualified by those before it.
func Ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// List is a list of n items with commas between them.
func List(n int, item func(int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = item(i)
	}
	return strings.Join(parts, ", ")
}

// And is n conditions, all of which hold.
func And(n int, item func(int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = item(i)
	}
	return strings.Join(parts, " AND ")
}

// Row writes one column bare and several as a row.
func Row(columns []string) string {
	if len(columns) == 1 {
		return columns[0]
	}
	return "(" + strings.Join(columns, ", ") + ")"
}
