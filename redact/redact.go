package redact

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Redaction is what columns of a table's rows are overwritten with.
type Redaction struct {
	Table   *schema.Table
	Columns []Column
}

// Column is a column and its new value.
type Column struct {
	Name string
	Type string // as declared, with its length; qualified
	SQL  string // the new value, over the table's row
}

// Problem is why a column cannot be overwritten, with the remedy.
type Problem struct {
	Pos       policy.Pos
	Text, Fix string
}

// Understand has PostgreSQL read SQL of the file over the table (schema.From names it in FROM). It
// returns nil after it has recorded a problem itself.
type Understand func(what string, text policy.Text, relation string) (*usersql.Fragment, error)

// Needed are columns that something other than the catalog needs as they are, and what for, in words
// that follow "it is": {"created_at": "the age of policy emails"}.
type Needed map[string]string

// Compile checks what the file overwrites in a table. The redaction has only the columns without a
// problem. emptied are columns that become NULL, or their default, with it. The transaction's
// search_path must be pinned.
func Compile(ctx context.Context, tx pgx.Tx, t *schema.Table, set []policy.Assignment, emptied []string, needed Needed, understand Understand) (*Redaction, []Problem, error) {
	fixed, err := fixedColumns(ctx, tx, t, needed)
	if err != nil {
		return nil, nil, err
	}
	c := &compiler{table: t, set: set, emptied: emptied, fixed: fixed, made: &Redaction{Table: t}}
	for _, a := range set {
		column, ok := c.column(a)
		if !ok {
			continue
		}
		f, err := understand("the new value of "+a.Column.Value, a.SQL, schema.From(t))
		if err != nil {
			return nil, nil, err
		}
		if f != nil && c.value(a, column, f) {
			c.made.Columns = append(c.made.Columns, Column{Name: column.Name, Type: fixed[column.Name].Type, SQL: f.SQL})
		}
	}
	return c.made, c.problems, nil
}

type compiler struct {
	table    *schema.Table
	set      []policy.Assignment
	emptied  []string
	fixed    map[string]fact
	made     *Redaction
	problems []Problem
}

func (c *compiler) refuse(pos policy.Pos, fix, format string, args ...any) bool {
	c.problems = append(c.problems, Problem{Pos: pos, Text: fmt.Sprintf(format, args...), Fix: fix})
	return false
}

// column finds a column that may be overwritten.
func (c *compiler) column(a policy.Assignment) (schema.Column, bool) {
	name, pos := a.Column.Value, a.Column.Pos
	found, ok := c.table.Column(name)
	if !ok {
		fix := "its columns are " + strings.Join(c.table.ColumnNames(), ", ")
		if near := schema.Nearest(name, c.table.ColumnNames()); near != "" {
			fix = "did you mean " + policy.YAMLColumn(near) + "? Names are exact and never folded"
		}
		return found, c.refuse(pos, fix, "table %s has no column %s", c.table.Name, name)
	}
	if why := c.fixed[name].Why; why != "" {
		return found, c.refuse(pos, "remove it from what is overwritten", "%s.%s cannot be overwritten: it is %s", c.table.Name, name, why)
	}
	if found.NotNull && strings.EqualFold(strings.TrimSpace(a.SQL.Value), "NULL") {
		return found, c.refuse(a.SQL.Pos, "write another value, such as \"''\", or drop the NOT NULL", "%s.%s cannot be overwritten with NULL: it is NOT NULL", c.table.Name, name)
	}
	return found, true
}

// value checks a new value.
func (c *compiler) value(a policy.Assignment, column schema.Column, f *usersql.Fragment) bool {
	if f.Unread {
		return c.refuse(a.SQL.Pos, "grant the role TEMPORARY on the database, which reading it takes", "the new value of %s.%s could not be read as a view, so nothing shows that it is always the same", c.table.Name, column.Name)
	}
	if f.Changes != "" {
		return c.refuse(a.SQL.Pos, "write an expression that always gives the same value for a row", "the new value of %s.%s depends on %s: a second run would change it again", c.table.Name, column.Name, f.Changes)
	}
	for _, r := range f.Needs.Relies {
		if r.Relation != c.table.Name {
			continue
		}
		depends := fmt.Sprintf("the new value of %s.%s depends on %s", c.table.Name, column.Name, r.Name)
		switch {
		case r.Kind == "generated":
			return c.refuse(a.SQL.Pos, "write the expression that generates it", "%s, which is generated: it could come from what is overwritten", depends)
		case r.Kind != "column":
		case slices.ContainsFunc(c.set, func(o policy.Assignment) bool { return o.Column.Value == r.Name }):
			return c.refuse(a.SQL.Pos, "write an expression without the columns that are overwritten", "%s, which is overwritten too: a second run would change it again", depends)
		case slices.Contains(c.emptied, r.Name):
			return c.refuse(a.SQL.Pos, "write an expression without the columns of the reference", "%s, which is emptied with it: nothing could tell afterwards whether the row is what it is to become", depends)
		}
	}
	return true
}

// Names are the columns that are overwritten.
func (r *Redaction) Names() []string {
	names := make([]string, len(r.Columns))
	for i, c := range r.Columns {
		names[i] = c.Name
	}
	return names
}

// Differs is the condition, over the table by its bare name, that a row is not yet what it is to
// become. It compares text, so every type can be overwritten, and is never NULL.
func (r *Redaction) Differs() string {
	old := pg.List(len(r.Columns), func(i int) string { return schema.Col(r.Table, r.Columns[i].Name) })
	now := pg.List(len(r.Columns), func(i int) string { return r.Columns[i].value() })
	return "ROW(" + old + ")::" + pg.TextType + " OPERATOR(pg_catalog.<>) ROW(" + now + ")::" + pg.TextType
}

// Set is the list of assignments of an UPDATE.
func (r *Redaction) Set() string {
	return pg.List(len(r.Columns), func(i int) string { return pg.Ident(r.Columns[i].Name) + " = " + r.Columns[i].value() })
}

// Update is the beginning of the UPDATE of rows that differ; a condition may follow after AND, and
// names the table by its bare name.
func (r *Redaction) Update() string {
	return "UPDATE " + schema.From(r.Table) + " SET " + r.Set() + "\n WHERE " + r.Differs()
}

func (c Column) value() string { return "(" + c.SQL + ")::" + c.Type }
