// Package schema reads tables, keys, references, indexes, triggers and
// privileges from the PostgreSQL catalog into a graph.
package schema

import (
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Name is the exact name of a table.
type Name struct{ Schema, Name string }

// String is schema.name; a part that holds a dot or a double quote is quoted,
// as in the policy file.
func (n Name) String() string { return quotePart(n.Schema) + "." + quotePart(n.Name) }

// SQL is the name as SQL has it, each part quoted.
func (n Name) SQL() string { return pgx.Identifier{n.Schema, n.Name}.Sanitize() }

func quotePart(s string) string {
	if strings.ContainsAny(s, `."`) {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// Kind is pg_class.relkind.
type Kind string

// The kinds that reaper tells apart; any other kind cannot be cleaned.
const (
	Ordinary    Kind = "r"
	Partitioned Kind = "p"
)

// Table is one relation with everything a plan needs to know of it. The
// privileges are those of the role that read the catalog.
type Table struct {
	OID  uint32
	Name Name
	Kind Kind

	IsPartition bool
	// Parents and Children are the direct ones in pg_inherits: partitions of a
	// partitioned table, or plain inheritance.
	Parents, Children []uint32

	Columns  []Column
	Indexes  []Index
	Triggers []Trigger // user triggers that fire on DELETE or UPDATE, those of partitions too
	Rules    []Rule    // rewrite rules on DELETE or UPDATE, those of partitions too
	// Functions are functions outside pg_catalog that an UPDATE of the table runs: those
	// of its CHECK constraints, defaults, generated columns and indexes. Functions in C
	// are left out: they look nothing up by name.
	Functions []string
	// Refusing are the tables among it and its partitions that a publication replicates
	// in a way in which PostgreSQL refuses to delete or to update.
	Refusing []Published

	EstimatedRows float64 // pg_class.reltuples, partitions added up; -1 when never analyzed
	Bytes         int64   // pg_table_size (TOAST included), partitions added up
	ToastBytes    int64   // of that the TOAST tables' own

	RowSecurity bool // row_security_active for the current role
	CanSelect   bool
	CanDelete   bool
	CanUpdate   bool // UPDATE on one column at least: what FOR UPDATE needs
	CanLockRows bool // what LOCK TABLE … IN ROW EXCLUSIVE MODE needs: UPDATE, DELETE or TRUNCATE on the table
	// UpdateColumns are the columns that the role may UPDATE.
	UpdateColumns []string
	CanUseSchema  bool
	CanVacuum     bool // every partition too
}

// Column finds a column by its exact name.
func (t *Table) Column(name string) (Column, bool) {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 {
		return Column{}, false
	}
	return t.Columns[i], true
}

// Identifies reports whether a unique index tells all rows of the table apart: it is
// whole, valid and immediate, over plain columns that are NOT NULL and no arrays, each in
// its own collation.
func (t *Table) Identifies(x *Index) bool {
	if !x.Unique || !x.Valid || !x.Immediate || x.Predicate != "" {
		return false
	}
	return !slices.ContainsFunc(x.Columns, func(i IndexColumn) bool {
		c, ok := t.Column(i.Name)
		return !ok || !c.NotNull || !i.OwnCollation || c.Array()
	})
}

// ColumnNames are the names of all columns, in table order.
func (t *Table) ColumnNames() []string {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	return names
}

// Column is one column of a table.
type Column struct {
	Name   string
	Quoted string // as PostgreSQL prints it, quoted only where it has to be
	// Type names the column's base type for people (domains resolved, no length).
	Type     string
	TypeOID  uint32 // of the base type
	TypeName string // pg_type.typname of the base type
	// SQLType is how SQL casts to the base type: qualified, and without a length, since
	// a cast to varchar(3) would cut values.
	SQLType       string
	TypeSchema    string // of the base type
	Category      string // pg_type.typcategory of the base type
	NotNull       bool
	Generated     bool
	Varlena       bool // may be TOASTed
	HasDefault    bool
	Collation     uint32 // OID; 0: the type has none
	CollationName string // qualified and quoted; empty: the type has none
	// LaxCollation tells that the collation is not deterministic: values that
	// differ may be equal.
	LaxCollation bool
}

// Array tells whether the column holds arrays. Lists of them cannot be bound:
// PostgreSQL takes an array of arrays for one array.
func (c Column) Array() bool { return c.Category == "A" }

// Index is one index.
type Index struct {
	Name                              string
	Method                            string // btree, hash, gin, …
	Columns                           []IndexColumn
	Unique, Primary, Immediate, Valid bool
	Predicate                         string // of a partial index; empty: whole
}

// IndexColumn is one key column of an index.
type IndexColumn struct {
	Name       string // empty: an expression
	Desc       bool
	NullsFirst bool
	// OwnCollation tells that the index sorts by the column's own collation
	// (or the type has none): only then does it serve a keyset or a key.
	OwnCollation bool
	// DefaultOrder tells that the operator class is the type's default one.
	DefaultOrder bool
	// Expression is the expression, as PostgreSQL prints it; empty: a column.
	Expression string
	Collation  uint32 // OID; 0: the type has none
	Family     uint32 // OID of the operator family
	// Equal are the OIDs of the family's equality operators: only those can be looked
	// up in the index.
	Equal []uint32
}

// ColumnNames are the names of the key columns; an expression is "".
func (i Index) ColumnNames() []string {
	names := make([]string, len(i.Columns))
	for k, c := range i.Columns {
		names[k] = c.Name
	}
	return names
}

// Trigger is a user trigger that fires on DELETE or UPDATE.
type Trigger struct {
	Name      string
	Table     Name
	Before    bool
	Row       bool
	OnDelete  bool
	OnUpdate  bool
	Columns   []string // of UPDATE OF; empty: any column
	Function  string   // qualified, for people
	DefinerOf string   // the owner that a SECURITY DEFINER function runs as; empty: the current role
}

// FiresOnUpdateOf reports whether an UPDATE that sets these columns fires it.
func (t Trigger) FiresOnUpdateOf(columns []string) bool {
	if !t.OnUpdate {
		return false
	}
	return len(t.Columns) == 0 || slices.ContainsFunc(t.Columns, func(c string) bool { return slices.Contains(columns, c) })
}

// Rule is a rewrite rule on DELETE or UPDATE.
type Rule struct {
	Name     string
	Table    Name
	OnDelete bool // else on UPDATE
	Instead  bool // DO INSTEAD
}

// OnDelete is pg_constraint.confdeltype.
type OnDelete string

// The referential actions of ON DELETE.
const (
	NoAction   OnDelete = "a"
	Restrict   OnDelete = "r"
	Cascade    OnDelete = "c"
	SetNull    OnDelete = "n"
	SetDefault OnDelete = "d"
)

// String is the action as SQL writes it.
func (o OnDelete) String() string {
	switch o {
	case NoAction:
		return "NO ACTION"
	case Restrict:
		return "RESTRICT"
	case Cascade:
		return "CASCADE"
	case SetNull:
		return "SET NULL"
	case SetDefault:
		return "SET DEFAULT"
	}
	return string(o)
}

// ForeignKey is one foreign key: Child's columns reference Parent's.
type ForeignKey struct {
	OID           uint32
	Name          string
	Child, Parent uint32
	ChildName     Name
	ParentName    Name
	ChildColumns  []string
	ParentColumns []string
	OnDelete      OnDelete
	SetColumns    []string // PostgreSQL 15: ON DELETE SET NULL (columns)
	Deferrable    bool
	MatchFull     bool
	Validated     bool
	Enforced      bool
	// Operators compare the referenced columns, on the left, with the referencing ones
	// (pg_constraint.conpfeqop).
	Operators   []*Operator
	derivedFrom uint32 // conparentid
}

// Graph is what was read of the catalog: all foreign keys and all inheritance,
// and the tables that Load was asked for.
type Graph struct {
	Tables      map[uint32]*Table
	ForeignKeys []ForeignKey
	children    map[uint32][]uint32
	parents     map[uint32][]uint32
	operators   map[uint32]*Operator
	orders      map[uint32]*Order
	casts       map[[2]uint32]cast

	// Places in ForeignKeys: of a key, of the keys of a table, of the keys to a table.
	byOID             map[uint32]int
	byChild, byParent map[uint32][]int
}

// find indexes the foreign keys once they are read.
func (g *Graph) find() {
	for i, k := range g.ForeignKeys {
		g.byOID[k.OID] = i
		g.byChild[k.Child] = append(g.byChild[k.Child], i)
		g.byParent[k.Parent] = append(g.byParent[k.Parent], i)
	}
}

// Family is a table's OID and those of everything that inherits from it, at
// any depth.
func (g *Graph) Family(oid uint32) []uint32 {
	family := []uint32{oid}
	for i := 0; i < len(family); i++ {
		for _, c := range g.children[family[i]] {
			if !slices.Contains(family, c) {
				family = append(family, c)
			}
		}
	}
	return family
}

// References are the foreign keys whose rows are touched when rows of the
// table go: those on the table, and those on a single one of its partitions.
// The copies that PostgreSQL makes of one key for partitions are left out.
func (g *Graph) References(oid uint32) []ForeignKey {
	family := g.Family(oid)
	var places []int
	for _, o := range family {
		places = append(places, g.byParent[o]...)
	}
	slices.Sort(places)
	var keys []ForeignKey
	for _, i := range places {
		if k := g.ForeignKeys[i]; !g.copyWithin(k, family) {
			keys = append(keys, k)
		}
	}
	return keys
}

func (g *Graph) copyWithin(k ForeignKey, family []uint32) bool {
	if k.derivedFrom == 0 {
		return false
	}
	i, ok := g.byOID[k.derivedFrom]
	return ok && slices.Contains(family, g.ForeignKeys[i].Parent)
}

// Outgoing are the foreign keys by which the table references others; the
// copies for partitions are left out.
func (g *Graph) Outgoing(oid uint32) []ForeignKey {
	var keys []ForeignKey
	for _, i := range g.byChild[oid] {
		k := g.ForeignKeys[i]
		if from, ok := g.byOID[k.derivedFrom]; ok && g.ForeignKeys[from].Child == oid {
			continue // a copy that names one partition of the referenced table
		}
		keys = append(keys, k)
	}
	return keys
}

// Below are a table and all that reference it, at any depth.
func (g *Graph) Below(oid uint32) []uint32 {
	return reach(oid, func(o uint32) (out []uint32) {
		for _, k := range g.References(o) {
			out = append(out, k.Child)
		}
		return out
	})
}

func reach(from uint32, next func(uint32) []uint32) []uint32 {
	found := []uint32{from}
	seen := map[uint32]bool{from: true}
	for i := 0; i < len(found); i++ {
		for _, o := range next(found[i]) {
			if !seen[o] {
				seen[o] = true
				found = append(found, o)
			}
		}
	}
	return found
}

// Related are a table, all that reference it and all that it references, at
// any depth.
func (g *Graph) Related(oid uint32) []uint32 {
	above := reach(oid, func(o uint32) (out []uint32) {
		for _, k := range g.Outgoing(o) {
			out = append(out, k.Parent)
		}
		return out
	})
	return append(g.Below(oid), above[1:]...)
}
