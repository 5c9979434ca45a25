package erasure

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Kind is what a step does.
type Kind string

// The kinds of steps.
const (
	StepRedact   Kind = "redact"   // overwrites columns of rows that stay
	StepDelete   Kind = "delete"   // deletes rows of one table that nothing references any more
	StepClear    Kind = "clear"    // empties references of rows that go, where they go round in circles
	StepTogether Kind = "together" // deletes what is left of a circle in one statement
)

// Group are tables that reference each other in a circle, or a single table. All rows of a group that
// go are gone before the next group begins; only redactions come before all groups.
type Group struct {
	Tables []*Table
	Cyclic bool // one of its tables can be reached from itself along references
	steps  []*Step
	clears []*Step
	knot   *Step // nil: not cyclic
}

// Step is one bounded piece of an erasure, which can be done again and again until it finds nothing.
type Step struct {
	Kind   Kind
	Tables []*Table // whose rows it changes; several only for StepTogether
	// Last: it may take the tenant's own row, or overwrites it, so it waits for its writers; see
	// Plan.Settings.
	Last      bool
	lock, act func(*args) string
	plan      *Plan
}

// Found are the rows that a step has locked.
type Found struct {
	Table []int    // by row: the index in Step.Tables
	OID   []uint32 // tableoid
	CTID  []string
}

// Outcome is what one run of a step has done.
type Outcome struct {
	Found int     // rows that it has found and locked
	Rows  []int64 // rows that it has changed, by Step.Tables
	// Remembered are the values of Table.Remember in the deleted rows, by Step.Tables and column, as
	// text.
	Remembered [][][]string
}

// Total is the number of rows that were changed.
func (o Outcome) Total() (n int64) {
	for _, r := range o.Rows {
		n += r
	}
	return n
}

// Run does a step once, for at most limit rows, in a transaction that has READ COMMITTED and the
// settings of Plan.Settings. It finds and locks rows, and changes those that a later statement still
// finds to be the tenant's, and free to go. It never commits. The key is text.
func (s *Step) Run(ctx context.Context, tx pgx.Tx, key string, limit int) (Outcome, error) {
	return s.run(ctx, tx, key, limit)
}

// Walk is the order of the steps of one erasure. Whoever starts anew after an interruption begins at
// the beginning: steps that are done find nothing.
type Walk struct {
	plan  *Plan
	limit int
	state walkState
}

// Walk begins an erasure; limit is the largest number of rows that any step may change at once.
func (p *Plan) Walk(limit int) *Walk { return newWalk(p, limit) }

// Next is the step to run now; nil: there is none, or Err is not nil.
func (w *Walk) Next() *Step { return w.next() }

// Did takes what the step of the last Next has done.
func (w *Walk) Did(o Outcome) { w.did(o) }

// Err is why the erasure cannot go on: rows that reference each other in a circle, more than limit.
func (w *Walk) Err() error { return w.state.err }
