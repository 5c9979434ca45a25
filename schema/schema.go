// Package schema reads tables, keys, references, indexes, triggers and privileges from the
// PostgreSQL catalog into a graph.
package schema

import (
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Name is the exact name of a table.
type Name struct{ Schema, Name string }

// String returns schema.name, quoting parts that contain a dot or a double quote, as in the
// policy file.
func (n Name) String() string { return quotePart(n.Schema) + "." + quotePart(n.Name) }

// SQL returns the name for SQL, each part quoted.
func (n Name) SQL() string { return pgx.Identifier{n.Schema, n.Name}.Sanitize() }

func quotePart(s string) string {
	if strings.ContainsAny(s, `."`) {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// Kind is pg_class.relkind.
type Kind string

// The kinds that reaper supports.
const (
	Ordinary    Kind = "r"
	Partitioned Kind = "p"
)

// Table is one relation with everything that a plan needs. The privileges are those of the
// role that read the catalog.
type Table struct {
	OID  uint32
	Name Name
	Kind Kind

	IsPartition bool
	// Parents and Children are the direct ones in pg_inherits, by partitioning or plain
	// inheritance.
	Parents, Children []uint32

	Columns  []Column
	Indexes  []Index
	Triggers []Trigger // user triggers that fire on DELETE or UPDATE, including those of partitions
	Rules    []Rule    // rewrite rules on DELETE or UPDATE, including those of partitions
	// Functions are those outside pg_catalog that an UPDATE of the table runs: in CHECK
	// constraints, defaults, generated columns and indexes. Functions in C are left out
	// because they resolve no names.
	Functions []string
	// Refusing are this table and its partitions where a publication makes PostgreSQL
	// refuse DELETE or UPDATE.
	Refusing []Published

	EstimatedRows float64 // pg_class.reltuples, summed over partitions; -1 if never analyzed
	Bytes         int64   // pg_table_size (with TOAST), summed over partitions
	ToastBytes    int64   // share of the TOAST tables in Bytes

	RowSecurity bool // row_security_active for the current role
	CanSelect   bool
	CanDelete   bool
	CanUpdate   bool // UPDATE on at least one column, as FOR UPDATE needs
	CanLockRows bool // UPDATE, DELETE or TRUNCATE, as LOCK TABLE … IN ROW EXCLUSIVE MODE needs
	// UpdateColumns are the columns that the role may UPDATE.
	UpdateColumns []string
	CanUseSchema  bool
	CanVacuum     bool // and every partition
}

// Column returns a column by its exact name.
func (t *Table) Column(name string) (Column, bool) {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return c.Name == name })
	if i < 0 {
		return Column{}, false
	}
	return t.Columns[i], true
}

// Identifies reports whether a unique index identifies every row of the table: it is
// neither partial nor deferrable, it is valid, and its columns are NOT NULL, no expressions,
// no arrays, and in their own collation.
func (t *Table) Identifies(x *Index) bool {
	if !x.Unique || !x.Valid || !x.Immediate || x.Predicate != "" {
		return false
	}
	return !slices.ContainsFunc(x.Columns, func(i IndexColumn) bool {
		c, ok := t.Column(i.Name)
		return !ok || !c.NotNull || !i.OwnCollation || c.Array()
	})
}

// ColumnNames returns the names of all columns, in table order.
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
	Quoted string // as PostgreSQL prints it, quoted only where necessary
	// Type is the column's base type for display (domains resolved, no length).
	Type     string
	TypeOID  uint32 // of the base type
	TypeName string // pg_type.typname of the base type
	// SQLType is the qualified base type for casts, without a length: a cast to varchar(3)
	// would truncate values.
	SQLType       string
	TypeSchema    string // of the base type
	Category      string // pg_type.typcategory of the base type
	NotNull       bool
	Generated     bool
	Varlena       bool // may be TOASTed
	HasDefault    bool
	Collation     uint32 // OID; 0 if the type has none
	CollationName string // qualified and quoted; empty if the type has none
	// LaxCollation means that the collation is nondeterministic: different values may
	// compare equal.
	LaxCollation bool
}

// Array reports whether the column holds arrays. Lists of arrays cannot be bound, because
// PostgreSQL reads an array of arrays as one array.
func (c Column) Array() bool { return c.Category == "A" }

// Index is one index.
type Index struct {
	Name                              string
	Method                            string // btree, hash, gin, …
	Columns                           []IndexColumn
	Unique, Primary, Immediate, Valid bool
	Predicate                         string // of a partial index, else empty
}

// IndexColumn is one key column of an index.
type IndexColumn struct {
	Name       string // empty for an expression
	Desc       bool
	NullsFirst bool
	// OwnCollation means that the index sorts by the column's own collation, or the type has
	// none. Only then can it serve as a keyset or a key.
	OwnCollation bool
	// DefaultOrder means that the operator class is the type's default.
	DefaultOrder bool
	// Expression is the expression as PostgreSQL prints it; empty for a column.
	Expression string
	Collation  uint32 // OID; 0 if the type has none
	Family     uint32 // OID of the operator family
	// Equal are the OIDs of the family's equality operators, which the index supports.
	Equal []uint32
}

// ColumnNames returns the names of the key columns, "" for expressions.
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
	Columns   []string // of UPDATE OF; empty means any column
	Function  string   // qualified, for display
	DefinerOf string   // owner of a SECURITY DEFINER function; empty means the current role
}

// FiresOnUpdateOf reports whether the trigger fires on an UPDATE of these columns.
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

// String returns the action as SQL writes it.
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
	// Operators compare the referenced columns (left) with the referencing ones
	// (pg_constraint.conpfeqop).
	Operators   []*Operator
	derivedFrom uint32 // conparentid
}

// Graph is what was read from the catalog: all foreign keys, all inheritance, and the tables
// passed to Load.
type Graph struct {
	Tables      map[uint32]*Table
	ForeignKeys []ForeignKey
	children    map[uint32][]uint32
	parents     map[uint32][]uint32
	operators   map[uint32]*Operator
	orders      map[uint32]*Order
	// familyOrders are those of a btree family for two types; nil: there is none.
	familyOrders map[[3]uint32]*Order
	casts        map[[2]uint32]cast

	// Indexes into ForeignKeys: by key, by referencing table, by referenced table.
	byOID             map[uint32]int
	byChild, byParent map[uint32][]int
}

// indexKeys indexes the foreign keys after reading them.
func (g *Graph) indexKeys() {
	for i, k := range g.ForeignKeys {
		g.byOID[k.OID] = i
		g.byChild[k.Child] = append(g.byChild[k.Child], i)
		g.byParent[k.Parent] = append(g.byParent[k.Parent], i)
	}
}

// Family returns a table's OID and those of everything that inherits from it, at any depth.
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

// PartitionOf returns the table of which this one is a partition or, by plain inheritance, a child;
// 0: there is none. Only the first parent counts.
func (g *Graph) PartitionOf(oid uint32) uint32 {
	if parents := g.parents[oid]; len(parents) > 0 {
		return parents[0]
	}
	return 0
}

// References returns the foreign keys that deleting rows of the table affects: those on the
// table, and those on a single partition of it. Copies that PostgreSQL makes of a key for
// partitions are left out.
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

// Outgoing returns the foreign keys from the table to others, without copies for partitions.
func (g *Graph) Outgoing(oid uint32) []ForeignKey {
	var keys []ForeignKey
	for _, i := range g.byChild[oid] {
		k := g.ForeignKeys[i]
		if from, ok := g.byOID[k.derivedFrom]; ok && g.ForeignKeys[from].Child == oid {
			continue // a copy for one partition of the referenced table
		}
		keys = append(keys, k)
	}
	return keys
}

// Below returns a table and all tables that reference it, at any depth.
func (g *Graph) Below(oid uint32) []uint32 {
	return reachable(oid, func(o uint32) (out []uint32) {
		for _, k := range g.References(o) {
			out = append(out, k.Child)
		}
		return out
	})
}

func reachable(from uint32, next func(uint32) []uint32) []uint32 {
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

// Related returns a table, all that reference it and all that it references, at any depth.
func (g *Graph) Related(oid uint32) []uint32 {
	above := reachable(oid, func(o uint32) (out []uint32) {
		for _, k := range g.Outgoing(o) {
			out = append(out, k.Parent)
		}
		return out
	})
	return append(g.Below(oid), above[1:]...)
}
