// Package policy defines the policy file (reaper.yaml) and its meaning: what it may
// contain, where each value stands in the file, and which values are valid without
// looking at a database.
package policy

import (
	"fmt"
	"time"

	"github.com/reaperdb/reaper/guard"
)

// Pos is a position in the policy file, counted from 1; the zero Pos is unknown.
type Pos struct{ Line, Col int }

// Text is a string from the file with its position. The zero Text is unset.
type Text struct {
	Value string
	Pos   Pos
}

// IsSet reports whether the file has a value.
func (t Text) IsSet() bool { return t.Value != "" }

// File is a parsed policy file, checked as far as possible without a database.
type File struct {
	Name     string   // path as given by the user, for messages
	Tenants  *Tenants // nil when no policy needs tenants
	Policies []Policy // in the order of the file, names unique
	Safety   Safety
	Archive  *Archive     // nil: nothing is copied before it is deleted
	Erasure  *Erasure     // nil: no tenant can be erased
	Guards   guard.Config // without Application, which the file does not set
	Warnings []Warning    // in the order of the sections
}

// Safety trades safety for speed, for all policies. The zero Safety is the default.
type Safety struct {
	// Proven skips redundant foreign key checks where a plan allows it
	// (foreign_key_checks: proven or auto).
	Proven bool
	// Auto does so only where it is faster as well, and does not complain where it is not
	// possible.
	Auto bool
	// SynchronousCommit waits for every batch's WAL to reach the disk. Without it, a server
	// crash may lose the last batches together with their ledger rows; the next run redoes
	// them.
	SynchronousCommit bool
	// WarnsOfDrift lets a run go on that would delete other rows than the last complete one did
	// (drift: warn), and only says so.
	WarnsOfDrift bool
}

// Tenants lists who owns rows: exactly one of Table and Query is set.
type Tenants struct {
	Pos   Pos
	Table Table // with Key
	// Query returns key, retention [, hold], by position. It has no trailing semicolon.
	// With it, Settings.Retention and Settings.Hold are unset.
	Query Text
	// Key is the column of Table that holds the tenant's key. With Query it is optional
	// and only a name.
	Key Text
	Settings
}

// Settings are the values that tenants and policies share. Unset fields are inherited or
// absent.
type Settings struct {
	Retention Retention
	Hold      Text // boolean SQL over the tenants' table; NULL is no hold
	Default   *Duration
	Min       *Duration // never Forever
	Overrides []Override
}

// Retention is a duration, or SQL over the tenants' table that returns days (smallint,
// int, bigint) or an interval. If both are unset, there is no retention here.
type Retention struct {
	Duration *Duration
	SQL      Text
}

// Override is the retention of one tenant, by key (as text, cast to the key's type by
// PostgreSQL).
type Override struct {
	Key      Text
	Duration Duration
}

// Table is an exact table name, never folded. An empty Schema means the search_path
// decides.
type Table struct {
	Schema string
	Name   string
	Pos    Pos
}

// IsSet reports whether the file names a table.
func (t Table) IsSet() bool { return t.Name != "" }

// String returns the name as the policy file writes it: schema.table, with quotes only
// around parts that contain a dot or a quote.
func (t Table) String() string {
	if t.Schema == "" {
		return QuoteName(t.Name)
	}
	return QuoteName(t.Schema) + "." + QuoteName(t.Name)
}

// Unit is the unit of an integer age column.
type Unit string

// The units of an integer age: seconds, milliseconds or microseconds since 1970.
const (
	UnitNone         Unit = ""
	UnitSeconds      Unit = "s"
	UnitMilliseconds Unit = "ms"
	UnitMicroseconds Unit = "us"
)

// Age is the column that holds the age of a root.
type Age struct {
	Column   Text
	Unit     Unit // only for integer columns
	UnitPos  Pos
	TimeZone Text // only for timestamp and date; unset means UTC
}

// Step is one column to follow from the root towards the tenant's key. Table and ToColumn
// are set for a step written `column -> Table.column`.
type Step struct {
	Column   string
	Table    Table
	ToColumn string
	Pos      Pos
}

// Path is the tenant path. None means that the table has no tenant. With neither None nor
// Steps, it is the one shortest foreign-key path.
type Path struct {
	None  bool
	Steps []Step
	Pos   Pos
}

// Action is what happens to rows that reference a deleted row.
type Action string

// The actions that a policy file may choose.
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
	Redact []Assignment // with Action Redact: what is set, besides a foreign key
}

// Limits bound a batch. Zero fields are replaced by the defaults when parsed.
type Limits struct {
	Rows      int           // roots
	TotalRows int           // rows over all tables
	Bytes     int64         // bytes of rows
	Time      time.Duration // target duration
	// Pace is the share of the time that a connection works: above 0, at most 1.
	Pace float64
	// Alone limits the policy to one connection at a time, however many there are.
	Alone bool
}

// DefaultLimits are the limits of a policy that sets none.
var DefaultLimits = Limits{Rows: 10_000, TotalRows: 100_000, Bytes: 64 << 20, Time: 200 * time.Millisecond, Pace: 1}

// Vacuum says when dead rows are vacuumed at the end of a run.
type Vacuum string

// The values of vacuum: after a run that deleted much of a table, unless autovacuum has
// run since; after every run that deleted from it; never.
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
	Undecided      Action // Delete or Keep; empty means that an undecided edge is an error
	Dependents     []Dependent
	Schedule       Text
	Heartbeat      Heartbeat
	MaxLag         *Duration
	Breaker        Breaker
	Grace          *Duration // how long what a shorter retention or the end of a hold frees stays; nil: not at all
	AllowTriggers  bool      // triggers: allow
	AllowUnindexed bool      // unindexed: allow
	Vacuum         Vacuum
	Archive        bool // archive: true: rows are deleted only after a copy of them is confirmed
	KeepPartitions bool // partitions: delete: rows are deleted, partitions stay
	Limits         Limits
}

// Error is one mistake in the policy file, with its position.
type Error struct {
	File string
	Pos  Pos
	Msg  string // what is wrong, and the remedy
}

// Error returns FILE:LINE:COL: message.
func (e *Error) Error() string {
	if e.Pos.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Pos.Line, e.Pos.Col, e.Msg)
}

// Errorf returns an Error at a position of the file.
func (f *File) Errorf(pos Pos, format string, args ...any) *Error {
	return &Error{File: f.Name, Pos: pos, Msg: fmt.Sprintf(format, args...)}
}
