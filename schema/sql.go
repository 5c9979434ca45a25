package schema

import (
	"github.com/reaperdb/reaper/internal/pg"
)

// From is the table as FROM, UPDATE and DELETE name it. ONLY: a foreign key
// speaks of the table alone, never of plain inheritance children.
func From(t *Table) string {
	if t.Kind == Partitioned {
		return pg.Ident(t.Name.Schema, t.Name.Name)
	}
	return "ONLY " + pg.Ident(t.Name.Schema, t.Name.Name)
}

// Col is a column qualified by its table's bare name, as it is visible where
// the table is named without an alias: there a user's SQL sees its columns too.
func Col(t *Table, column string) string { return pg.Ident(t.Name.Name, column) }

// This file and closure.go build what a batch says to the database. Every alias
// and CTE begins with reaper_, so that a user's SQL, which sees the columns of
// its own table unqualified, can never meet one.

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

// Uncollated is a column's value for others to be compared with, which is done
// by their collation once the value has come out of its subselect: two columns
// with a collation each cannot be compared at all.
func Uncollated(t *Table, column string) string {
	k, _ := t.Column(column)
	if k.Collation == 0 || k.Collation == defaultCollation {
		return Col(t, column)
	}
	return "(" + Col(t, column) + ` COLLATE "default")`
}

// FromWithChildren reads a tenants' table as a plain SELECT would.
func FromWithChildren(t *Table) string { return pg.Ident(t.Name.Schema, t.Name.Name) }
