// Package policy is the policy file (reaper.yaml) and its meaning: what a
// person may write, where it stands in the file, and which values are sound
// without looking at a database.
package policy

import (
	"fmt"
	"time"

	"github.com/reaperdb/reaper/guard"
)

// Pos is a place in the policy file; the zero Pos is unknown. Line and Col
// count from 1.
type Pos struct{ Line, Col int }

// Text is a string of the file with its place. The zero Text is unset.
type Text struct {
	Value string
	Pos   Pos
}

// IsSet reports whether the file gave a value.
func (t Text) IsSet() bool { return t.Value != "" }

// File is a whole policy file, parsed and checked as far as that is possible
// without a database.
type File struct {
	Name     string   // the path as the user gave it, for messages
	Tenants  *Tenants // nil when no policy needs tenants
	Policies []Policy // in the order of the file, names unique
	Safety   Safety
	Guards   guard.Config // without Application, which is no matter of the file
	Warnings []Warning    // in the order of the sections
}

// Safety is what is traded for speed, for all policies. The zero Safety is the
// default.
type Safety struct {
	// Proven skips the foreign key checks that are redundant, where a plan allows
	// it: foreign_key_checks: proven.
	Proven bool
	// SynchronousCommit waits for the WAL of every batch to be on disk. Without,
	// a crash of the server may lose the last batches, together with their rows
	// in the ledger: the next run redoes them.
	SynchronousCommit bool
}

// Tenants says who owns rows: exactly one of Table and Query is set.
type Tenants struct {
	Pos   Pos
	Table Table // with Key
	// Query gives key, retention [, hold], by position, without a semicolon at
	// its end. With it, Settings.Retention and Settings.Hold are unset.
	Query Text
	// Key is the column of Table that holds the tenant's key. Beside Query it
	// is optional, and no more than a name.
	Key Text
	Settings
}

// Settings are the values that stand under tenants and under a policy alike.
// Unset fields are inherited or absent.
type Settings struct {
	Retention Retention
	Hold      Text // boolean SQL over the tenants' table; NULL is no hold
	Default   *Duration
	Min       *Duration // never Forever
	Overrides []Override
}

// Retention is a duration, or SQL over the tenants' table that gives days
// (smallint, int, bigint) or an interval. Both nil and unset: no retention here.
type Retention struct {
	Duration *Duration
	SQL      Text
}

// Override is one tenant's own retention, by key (as text, cast to the key's
// type by PostgreSQL).
type Override struct {
	Key      Text
	Duration Duration
}

// Table names a table exactly, never folded. Schema is empty when the file
// gave none: the search_path decides.
type Table struct {
	Schema string
	Name   string
	Pos    Pos
}

// IsSet reports whether the file named a table.
func (t Table) IsSet() bool { return t.Name != "" }

// String is the name as the policy file writes it: schema.table, with quotes
// only around a part that holds a dot or a quote.
func (t Table) String() string {
	if t.Schema == "" {
		return QuoteName(t.Name)
	}
	return QuoteName(t.Schema) + "." + QuoteName(t.Name)
}

// Unit is the unit of an integer age column.
type Unit string

// The units of an integer age: seconds, milliseconds, microseconds since 1970.
const (
	UnitNone         Unit = ""
	UnitSeconds      Unit = "s"
	UnitMilliseconds Unit = "ms"
	UnitMicroseconds Unit = "us"
)

// Age is the column that tells how old a root is.
type Age struct {
	Column   Text
	Unit     Unit // only for integer columns
	UnitPos  Pos
	TimeZone Text // only for timestamp and date; unset means UTC
}

// Step is one column to follow on the way from the root to the tenant's key.
// Table and ToColumn are set for a step written `column -> Table.column`.
type Step struct {
	Column   string
	Table    Table
	ToColumn string
	Pos      Pos
}

// Path is the tenant path. None: the table has no tenant. Neither None nor
// Steps: the one shortest foreign-key path.
type Path struct {
	None  bool
	Steps []Step
	Pos   Pos
}

// Action is what happens to rows that reference a row that goes.
type Action string

// The actions a policy file may choose.
const (
	Delete  Action = "delete"
	Nullify Action = "nullify"
	Keep    Action = "keep"
)

// Match is one pair of columns of a reference without a foreign key.
type Match struct{ Theirs, Ours string }

// Dependent is one entry of `dependents`.
type Dependent struct {
	Pos    Pos
	Table  Table
	Parent Table  // optional
	Via    []Text // optional: the referencing column(s)
	Match  []Match
	Where  Text // only with Match
	Action Action
}

// Limits bound a batch. Zero fields are replaced by the defaults when parsed.
type Limits struct {
	Rows      int           // roots
	TotalRows int           // rows over all tables
	Bytes     int64         // bytes of rows
	Time      time.Duration // time aimed at
	// Pace is the share of the time that a connection works: above 0, up to 1.
	Pace float64
	// Alone tells that the policy has one connection at a time, however many there
	// are.
	Alone bool
}

// DefaultLimits are the limits of a policy that names none.
var DefaultLimits = Limits{Rows: 1000, TotalRows: 20000, Bytes: 64 << 20, Time: 200 * time.Millisecond, Pace: 1}

// Vacuum says when dead rows are vacuumed at the end of a run.
type Vacuum string

// The choices of vacuum: after a run that deleted much of a table, unless
// autovacuum has come; after every run that deleted from it; not at all.
const (
	VacuumAuto   Vacuum = "auto"
	VacuumAlways Vacuum = "always"
	VacuumNever  Vacuum = "never"
)

// Policy is one root table, its age column, and how long each tenant keeps
// its rows.
type Policy struct {
	Pos    Pos
	Name   string
	Table  Table
	Age    Age
	Tenant Path
	Where  Text // optional SQL over the root table alone
	Settings
	Undecided      Action // Delete or Keep; empty: an undecided edge is an error
	Dependents     []Dependent
	Schedule       Text
	Heartbeat      Heartbeat
	MaxLag         *Duration
	AllowTriggers  bool // triggers: allow
	AllowUnindexed bool // unindexed: allow
	Vacuum         Vacuum
	KeepPartitions bool // partitions: delete: rows go, partitions stay
	Limits         Limits
}

// Error is one mistake in the policy file, at its place.
type Error struct {
	File string
	Pos  Pos
	Msg  string // what is wrong, and the remedy
}

// Error is FILE:LINE:COL: message.
func (e *Error) Error() string {
	if e.Pos.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Pos.Line, e.Pos.Col, e.Msg)
}

// Errorf makes an Error at a place of the file.
func (f *File) Errorf(pos Pos, format string, args ...any) *Error {
	return &Error{File: f.Name, Pos: pos, Msg: fmt.Sprintf(format, args...)}
}
