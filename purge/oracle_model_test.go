package purge_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// This file models a generated case: tables, references, a policy. It does not use package
// purge.

// genCase is one generated case.
type genCase struct {
	tables  []*genTable // tenants, tables of the path, the root, its dependents
	tenants *genTable   // nil: tenant: none
	path    []genHop    // from the root; the last column holds the key
	root    *genTable
	edges   []*genEdge // references to rows that may be deleted
	extra   []string   // further constraints and indexes
	policy  genPolicy
	analyze bool
	held    map[string]bool // roots that are held by row, by number

	refused   []string // words of the plan's errors, one of which must occur; nil: no errors
	bystander *genBystander
	triggers  []*genTrigger
	facts     *facts // read from the database
}

type genTable struct {
	name      schema.Name
	kind      keyKind
	key       []string // primary key; nil: a leaf without a key
	code      string   // a second unique column; empty: none
	columns   []genColumn
	rows      []map[string]string // SQL by column; row 0 is the anchor, which is never deleted
	partition string              // PARTITION BY …; empty: an ordinary table
	parts     []string            // FOR VALUES …
	protected bool                // on the tenant path
	// redactions are those that references to this table may ask for; nil: none.
	redactions []genRedaction
}

type genColumn struct {
	name, typ string
	notNull   bool
	def       string // SQL; empty: NULL
}

// genHop is a step of the tenant path.
type genHop struct {
	before *genTable
	from   []string // columns of the previous table
	table  *genTable
	key    bool // with a foreign key for these columns
}

// genEdge is a reference: a foreign key, or one declared by match.
type genEdge struct {
	name           string
	child, parent  *genTable
	columns, refs  []string
	onDelete       string // as SQL writes it; empty: match
	twin           string // ON DELETE of a second foreign key over the same columns; empty: none
	setOnly        string // the one column that ON DELETE SET NULL or SET DEFAULT sets; empty: all
	full           bool   // MATCH FULL
	leaf           bool   // references only the parent's first partition
	notEnforced    bool   // since PostgreSQL 18
	deferrable     string
	where, kind    string         // of a match: SQL, and the record_type it means
	action         action         // empty: rows of the parent are never deleted
	sets, defaults []string       // columns that a clearing action sets, and their values (SQL)
	entry          string         // of the policy file; empty: none
	redact         []genRedaction // besides; a match then keeps its reference
}

// action is what a reference means under the policy.
type action string

const (
	goes   action = "goes"   // the referencing row is deleted too
	clears action = "clears" // it stays, and its reference is cleared
	keeps  action = "keeps"  // it protects what it references
)

func (t *genTable) sql() string { return pgx.Identifier{t.name.Schema, t.name.Name}.Sanitize() }

func (t *genTable) yaml() string {
	if t.name.Schema == "public" {
		return quoteYAML(policy.QuoteName(t.name.Name))
	}
	return quoteYAML(policy.QuoteName(t.name.Schema) + "." + policy.QuoteName(t.name.Name))
}

func (t *genTable) column(name string) *genColumn {
	i := slices.IndexFunc(t.columns, func(c genColumn) bool { return c.name == name })
	return &t.columns[i]
}

func (t *genTable) add(c genColumn) string {
	t.columns = append(t.columns, c)
	return c.name
}

// rid adds a column that numbers a table's rows.
func (t *genTable) rid() { t.add(genColumn{name: "rid", typ: "int", notNull: true}) }

func quoteYAML(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func quoteSQL(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func quoteColumns(names []string) string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = pgx.Identifier{n}.Sanitize()
	}
	return strings.Join(quoted, ", ")
}

// setup is the whole case as SQL, for one transaction.
func (c *genCase) setup() string {
	var b strings.Builder
	b.WriteString(c.types())
	for _, t := range c.tables {
		b.WriteString(t.create())
	}
	for _, t := range c.tables {
		b.WriteString(t.insert())
	}
	for _, e := range c.edges {
		if e.onDelete != "" {
			b.WriteString(e.constraint())
		}
	}
	for _, s := range c.extra {
		b.WriteString(s + ";\n")
	}
	for _, t := range c.triggers {
		b.WriteString(t.create())
	}
	if c.analyze {
		for _, t := range c.tables {
			fmt.Fprintf(&b, "ANALYZE %s;\n", t.sql())
		}
	}
	return b.String()
}

// types are the schemas of the case, and its own key type if it has one.
func (c *genCase) types() string {
	var b strings.Builder
	b.WriteString(extensionsSQL)
	schemas, kinds := map[string]bool{}, map[keyKind]bool{}
	for _, t := range c.tables {
		schemas[t.name.Schema], kinds[t.kind] = true, true
	}
	for _, name := range []string{"app", "Odd.Schema"} {
		if schemas[name] || name == "app" && (kinds[enumKey] || kinds[domainKey]) {
			fmt.Fprintf(&b, "CREATE SCHEMA %s;\n", pgx.Identifier{name}.Sanitize())
		}
	}
	if kinds[enumKey] {
		labels := make([]string, 40)
		for i := range labels {
			labels[i] = quoteSQL(enumKey.values(i)[0])
		}
		b.WriteString(`CREATE TYPE app."Mood" AS ENUM (` + strings.Join(labels, ", ") + ");\n")
	}
	if kinds[domainKey] {
		b.WriteString(`CREATE DOMAIN app."Name" AS varchar(40) CHECK (length(value) < 40);` + "\n")
	}
	return b.String()
}

// constraint is the foreign key and its twin.
func (e *genEdge) constraint() string {
	sql := e.foreignKey(e.name, e.onDelete, e.deferrable)
	if e.twin != "" {
		sql += e.foreignKey(e.name+"_twin", e.twin, "")
	}
	return sql
}

func (e *genEdge) foreignKey(name, onDelete, deferrable string) string {
	sql := fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s FOREIGN KEY (%s) REFERENCES %s (%s)", e.child.sql(), name,
		quoteColumns(e.columns), e.parentSQL(), quoteColumns(e.refs))
	if e.full {
		sql += " MATCH FULL"
	}
	sql += " ON DELETE " + onDelete
	if e.setOnly != "" {
		sql += " (" + quoteColumns([]string{e.setOnly}) + ")"
	}
	if e.notEnforced {
		return sql + " NOT ENFORCED;\n"
	}
	return sql + " " + deferrable + ";\n"
}

// parentSQL is the referenced table or partition.
func (e *genEdge) parentSQL() string {
	if e.leaf {
		return e.parent.part(0)
	}
	return e.parent.sql()
}

// part names a partition.
func (t *genTable) part(i int) string {
	return pgx.Identifier{t.name.Schema, fmt.Sprintf("%s p%d", t.name.Name, i)}.Sanitize()
}

func (t *genTable) create() string {
	var parts []string
	for _, k := range t.columns {
		p := pgx.Identifier{k.name}.Sanitize() + " " + k.typ
		if k.notNull {
			p += " NOT NULL"
		}
		if k.def != "" {
			p += " DEFAULT " + k.def
		}
		parts = append(parts, p)
	}
	if t.key != nil {
		parts = append(parts, "PRIMARY KEY ("+quoteColumns(t.key)+")")
	}
	if t.code != "" {
		parts = append(parts, "UNIQUE ("+quoteColumns([]string{t.code})+")")
	}
	sql := "CREATE TABLE " + t.sql() + " (" + strings.Join(parts, ", ") + ")"
	if t.partition != "" {
		sql += " " + t.partition
	}
	sql += ";\n"
	for i, p := range t.parts {
		sql += fmt.Sprintf("CREATE TABLE %s PARTITION OF %s %s;\n", t.part(i), t.sql(), p)
	}
	return sql
}

func (t *genTable) insert() string {
	if len(t.rows) == 0 {
		return ""
	}
	names := make([]string, len(t.columns))
	for i, k := range t.columns {
		names[i] = k.name
	}
	lines := make([]string, len(t.rows))
	for i, r := range t.rows {
		values := make([]string, len(names))
		for j, n := range names {
			values[j] = "NULL"
			if v, ok := r[n]; ok {
				values[j] = v
			}
		}
		lines[i] = "  (" + strings.Join(values, ", ") + ")"
	}
	return "INSERT INTO " + t.sql() + " (" + quoteColumns(names) + ") VALUES\n" + strings.Join(lines, ",\n") + ";\n"
}
