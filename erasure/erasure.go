// Package erasure compiles the section erasure of the policy file: what becomes of the rows of a
// tenant that leaves, table by table, and every SQL statement that it takes.
//
// # Whose a row is
//
// For each table there is one condition, owned, that a row is a tenant's. It follows from ways: a
// foreign key to the tenants' table, or to a table whose rows are owned; or a column, a path or SQL
// that the file names. ON DELETE SET NULL and SET DEFAULT are no ways: they empty a reference, and the
// row lives on. Where a table has several ways that could lead to two tenants, the file has to decide.
//
// # What goes
//
// Rows that are owned, and that nothing that stays references. Nothing is ever left to ON DELETE
// CASCADE: a row goes when no row references it any more, so a cascade finds nothing to take along. So
// rows that are kept keep what they reference, and a row of another tenant that references one of
// this tenant's stops the erasure, and is named, instead of going with it.
//
// Each batch first locks the rows it has found, and tests them in a later statement of the same
// transaction, which sees every reference that was committed before the lock; a later one waits for
// the lock.
package erasure

import (
	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/redact"
	"github.com/reaperdb/reaper/schema"
)

// Plan is how the rows of one tenant, any one, are erased.
type Plan struct {
	File    *policy.File
	Section *policy.Erasure
	Server  plan.Server
	Tenants *Table        // the tenants' table
	Key     schema.Column // of Tenants
	// Generated: keys are uuids or come from a sequence, so no later tenant gets a key that was used.
	Generated bool
	Tables    []*Table      // all tables of the schemas in use, in the order of their groups, Tenants last, global ones before all
	Groups    []*Group      // in the order in which they are worked off
	Needs     usersql.Needs // of SQL of the file

	when, hold string // conditions over the tenants' table; empty: none
	ownPath    bool   // runs need the role's own search_path
	edges      []*edge
	same       *schema.Comparison // of keys of tenants
	redactions []*Step            // before the groups
	final      *Step              // behind them: the redaction of the tenant's row; nil: none
}

// Action is what becomes of the rows of a table that are a tenant's.
type Action string

// The actions. Undecided stands in plans with errors alone.
const (
	Delete    Action = "delete"
	Keep      Action = "keep"
	Redact    Action = "redact"
	Global    Action = "global"
	Undecided Action = "undecided"
)

// Table is a table and what becomes of its rows.
type Table struct {
	Table  *schema.Table
	Action Action
	Ways   []*Way // none: its rows are nobody's
	// Entry is the file's first entry about the table; nil: the foreign keys decide.
	Entry     *policy.ErasureTable
	Redaction *redact.Redaction // of Redact, and of the tenants' table; else nil
	// Guarded: a foreign key refuses rows for a tenant whose row is gone, so none can arrive later.
	Guarded bool
	// Remember are columns whose values in deleted rows have to be remembered until the last sweep:
	// rows of other tables are owned through them, without a foreign key. See Outcome.Remembered.
	Remember []string

	age       *expiry.Age // of Keep; nil: kept forever
	stays     bool        // its rows can stay for the sake of kept ones, or are kept
	keys      string      // foreign keys to it; see keysSQL
	ambiguous bool        // it has ways that could disagree, and the file has not decided
}

// Name is schema.table.
func (t *Table) Name() string { return t.Table.Name.String() }
