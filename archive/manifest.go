package archive

import (
	"time"
)

// Format is the number of the format that this version writes. It reads no later one.
const Format = 1

// Name is the name of a table.
type Name struct {
	Schema string `json:"schema"`
	Name   string `json:"name"`
}

// Kind says what the rows of a file are.
type Kind string

const (
	// Deleted rows are whole rows that were deleted.
	Deleted Kind = "deleted"
	// Emptied rows are those that stayed, but for a reference to a deleted row that was emptied:
	// their keys, and the values that were there.
	Emptied Kind = "emptied"
)

// Setting is a setting of PostgreSQL under which rows are written and read.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Settings are those under which the rows of every segment are copied, and under which they must be
// loaded: what the text of a value depends on. They hold for one transaction each.
var Settings = []Setting{
	{"client_encoding", "UTF8"},
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"search_path", "pg_catalog"},
	{"extra_float_digits", "3"},
	{"bytea_output", "hex"},
	{"lc_monetary", "C"},
	{"xmlbinary", "base64"},
	{"xmloption", "content"},
	{"array_nulls", "on"},
	{"quote_all_identifiers", "off"},
	{"standard_conforming_strings", "on"},
	{"row_security", "off"},
}

// Column is a column of a table: its name, and its type as format_type prints it under Settings.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// Left is a column of a reference that was emptied, and what deletion left in it.
type Left struct {
	Column string `json:"column"`
	// Value is what was left, as text; nil is NULL.
	Value *string `json:"value"`
}

// Table describes the rows of one file.
type Table struct {
	Name
	Kind Kind `json:"kind"`
	// Columns are those of the file, in its order, without generated ones. Of emptied rows they are
	// the key's and the reference's.
	Columns []Column `json:"columns"`
	// Key names the columns that tell rows of this table apart; empty: none do. Emptied rows have
	// a key.
	Key []string `json:"key,omitempty"`
	// Emptied are the columns that were emptied, of emptied rows.
	Emptied []Left `json:"emptied,omitempty"`
	// DDL is what makes the table, without its foreign keys and triggers, for schema.sql. It may
	// make its types before. Emptied rows need none.
	DDL string `json:"-"`
}

// Edge says which rows of a segment went with which others: child rows whose columns equal those of
// a parent row, by these operators.
type Edge struct {
	Parent        Name     `json:"parent"`
	ParentColumns []string `json:"parent_columns"`
	Child         Name     `json:"child"`
	ChildColumns  []string `json:"child_columns"`
	// Compare is one SQL condition for each pair of columns, over p and c, such as
	// `p."id" OPERATOR(pg_catalog.=) c."mail_id"`.
	Compare []string `json:"compare"`
	// Where is SQL over the child alone, of a reference without foreign key; empty: none.
	Where string `json:"where,omitempty"`
	// Kind is what became of the child rows.
	Kind Kind `json:"kind"`
	// Columns of the child that were emptied, if Kind is Emptied: as in the Table whose rows they are.
	Emptied []string `json:"emptied,omitempty"`
}

// Partition is a partition that was dropped whole.
type Partition struct {
	Name
	Parent Name   `json:"parent"`
	Bound  string `json:"bound"` // FOR VALUES …
}

// Manifest is what a segment says of itself. What is marked so is filled in by the segment.
type Manifest struct {
	Format int    `json:"format"` // filled in
	Run    string `json:"run"`
	Policy string `json:"policy"`
	// Tenant is set if all rows of the segment are of one tenant and the object is to have its own
	// place in the store: its key, as text. It is part of no object's name.
	Tenant *string `json:"tenant,omitempty"`
	// Root is the policy's table, RootKey its key's columns.
	Root    Name     `json:"root"`
	RootKey []string `json:"root_key"`
	// Piece is the key of the one root of which this segment has a piece; nil: it has whole roots.
	Piece []string `json:"piece,omitempty"`
	// Partition is set if the rows are those of a dropped partition.
	Partition     *Partition `json:"partition,omitempty"`
	Started       time.Time  `json:"started"` // of the copy's snapshot, by the database's clock
	Database      string     `json:"database"`
	ServerVersion string     `json:"server_version"`
	Settings      []Setting  `json:"settings"` // filled in
	Edges         []Edge     `json:"edges"`
	Tables        []File     `json:"tables"` // filled in
}

// File is a table's file in a segment.
type File struct {
	Table
	File   string `json:"file"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Object is an object of the store.
type Object struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"` // hexadecimal; empty: not known
}

// Root is a deleted root: its key's columns as text, and its tenant; nil: it has none.
type Root struct {
	Key    []string `json:"key"`
	Tenant *string  `json:"tenant,omitempty"`
}

// List says which roots of a segment a batch deleted. The run, the policy and Seq are those of the
// batch's row in the ledger.
type List struct {
	Run     string    `json:"run"`
	Policy  string    `json:"policy"`
	Seq     int64     `json:"seq"`
	Segment Object    `json:"segment"` // filled in by WriteList
	At      time.Time `json:"at"`      // of the batch, by the database's clock
	Roots   []Root    `json:"roots"`
	// All: everything that the segment holds was deleted, such as a dropped partition. Roots may be
	// empty then; without them nothing of it can be restored by tenant.
	All bool `json:"all,omitempty"`
}
