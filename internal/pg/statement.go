package pg

import (
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Prefixed is a list of n items, each preceded by a comma.
func Prefixed(n int, item func(int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(", " + item(i))
	}
	return b.String()
}

// Statement builds one SQL statement and its bound values.
type Statement struct {
	strings.Builder
	Args  []any
	types []string           // to which the values are cast
	place func(n int) string // where the n-th value stands, counted from 1; nil: $n
	outer *Statement         // the statement that holds the values; nil: this one
}

// Inner begins a part to be added to the statement later. Its values are bound to the whole.
func (s *Statement) Inner() *Statement { return &Statement{outer: s} }

// Cast binds a value and returns its placeholder, cast to a type.
func (s *Statement) Cast(v any, typ string) string {
	if s.outer != nil {
		return s.outer.Cast(v, typ)
	}
	s.Args, s.types = append(s.Args, v), append(s.types, typ)
	if s.place != nil {
		return s.place(len(s.Args)) + "::" + typ
	}
	return "$" + strconv.Itoa(len(s.Args)) + "::" + typ
}

// Add appends SQL and returns the statement.
func (s *Statement) Add(parts ...string) *Statement {
	for _, p := range parts {
		s.WriteString(p)
	}
	return s
}

// Ident quotes an identifier, qualified by the parts before it.
func Ident(parts ...string) string { return pgx.Identifier(parts).Sanitize() }

// List joins n items with commas.
func List(n int, item func(int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = item(i)
	}
	return strings.Join(parts, ", ")
}

// And joins n conditions with AND.
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
