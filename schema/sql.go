package schema

import (
	"github.com/reaperdb/reaper/internal/pg"
)

// From names a table in FROM, UPDATE and DELETE. ONLY, because a foreign key covers the table
// without its inheritance children.
func From(t *Table) string {
	if t.Kind == Partitioned {
		return pg.Ident(t.Name.Schema, t.Name.Name)
	}
	return "ONLY " + pg.Ident(t.Name.Schema, t.Name.Name)
}

// Col is a column qualified by its table's bare name. The table is named without an alias, so that
// users' SQL can refer to its columns too.
func Col(t *Table, column string) string { return pg.Ident(t.Name.Name, column) }

// Aliases and CTEs of generated SQL begin with reaper_, so that they cannot clash with the
// unqualified columns of users' SQL.

// Cols are columns of a table, qualified by its bare name.
func Cols(t *Table, names []string) []string {
	qualified := make([]string, len(names))
	for i, n := range names {
		qualified[i] = Col(t, n)
	}
	return qualified
}

// defaultCollation is the OID of pg_catalog."default".
const defaultCollation = 100

// Uncollated is a column's value with the default collation, for comparison with columns of another
// collation: PostgreSQL cannot compare two columns with different explicit collations.
func Uncollated(t *Table, column string) string {
	k, _ := t.Column(column)
	if k.Collation == 0 || k.Collation == defaultCollation {
		return Col(t, column)
	}
	return "(" + Col(t, column) + ` COLLATE "default")`
}

// FromWithChildren names the tenants' table as a plain SELECT would.
func FromWithChildren(t *Table) string { return pg.Ident(t.Name.Schema, t.Name.Name) }
