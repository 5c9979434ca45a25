package deletion

import (
	"fmt"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/search"
)

// Candidate is an expired root that a search found.
type Candidate struct {
	Key   []*string
	Bytes int64
}

func keysOf(cands []Candidate, columns int) pg.Values {
	v := pg.NewValues(columns)
	for _, c := range cands {
		for i := range v {
			v[i].Add(c.Key[i])
		}
	}
	return v
}

// Outcome is the result of deleting candidates.
type Outcome struct {
	Roots     int64 // deleted
	Rows      int64 // deleted over all tables
	Kept      int64 // protected by a keep edge
	Remaining int64 // still expired: locked, busy, or kept by a trigger
	Busy      bool  // some were skipped because of a lock; the next round retries them
	More      bool  // the root is still there and needs another batch
}

// Add adds what became of others.
func (o *Outcome) Add(x Outcome) {
	o.Roots += x.Roots
	o.Rows += x.Rows
	o.Kept += x.Kept
	o.Remaining += x.Remaining
	o.Busy = o.Busy || x.Busy
}

// Part is what a batch does for one tenant.
type Part struct {
	Tenant     *plan.TenantCutoff
	Candidates []Candidate
	// Range, if set, stands for candidates whose keys nobody has read. Counted is how many there
	// were; it stays when they are read.
	Range   *search.Range
	Counted int
	// Outcome is what became of the candidates, over all transactions that it took.
	Outcome Outcome
	// Elsewhere: another worker or process has the tenant's lock.
	Elsewhere bool
	// Alone: something of this tenant stood in the way of others, and its rows are left to
	// batches of its own.
	Alone bool
}

// NewPart makes a part of the candidates of one tenant.
func NewPart(t *plan.TenantCutoff, cands []Candidate) *Part {
	return &Part{Tenant: t, Candidates: cands}
}

// NewRange makes a part of the roots of one tenant within a range of ages.
func NewRange(t *plan.TenantCutoff, r *search.Range, roots int) *Part {
	return &Part{Tenant: t, Range: r, Counted: roots}
}

// Roots is how many candidates there are.
func (p *Part) Roots() int {
	if p.Range != nil {
		return p.Counted
	}
	return len(p.Candidates)
}

// LeaveAll leaves the candidates where they are.
func LeaveAll(parts []*Part, busy bool) {
	for _, p := range parts {
		p.Outcome.Add(Outcome{Remaining: int64(p.Roots()), Busy: busy})
	}
}

// LeaveElsewhere leaves the candidates of tenants whose lock another worker or process has.
func LeaveElsewhere(parts []*Part) {
	LeaveAll(parts, true)
	for _, p := range parts {
		p.Elsewhere = true
	}
}

// CountRoots is how many candidates there are.
func CountRoots(parts []*Part) (n int) {
	for _, p := range parts {
		n += p.Roots()
	}
	return n
}

// Share is a part within one transaction, and what that has counted.
type Share struct {
	*Part
	keys            pg.Values        // of the candidates
	Rows, Nullified map[string]int64 // by table, schema.table
	Now             Outcome          // in this transaction
}

// Total is how many rows were deleted or emptied.
func (p *Share) Total() (rows int64) {
	for _, n := range p.Rows {
		rows += n
	}
	for _, n := range p.Nullified {
		rows += n
	}
	return rows
}

func (p *Share) countDeleted(n *plan.Node, rows int64) {
	if rows > 0 {
		p.Rows[n.Table.Name.String()] += rows
	}
}

func (p *Share) countNullified(n *plan.Node, rows int64) {
	if rows > 0 {
		p.Nullified[n.Table.Name.String()] += rows
	}
}

// TenantError is an error of one tenant among those of a batch.
type TenantError struct {
	Tenant *plan.TenantCutoff
	Err    error
}

func (e *TenantError) Error() string {
	return fmt.Sprintf("tenant %s: %v", TenantName(e.Tenant.Key), e.Err)
}

func (e *TenantError) Unwrap() error { return e.Err }

// TenantName is a tenant's key, as messages have it; "null": the policy has no tenants.
func TenantName(key *string) string {
	if key == nil {
		return "null"
	}
	return *key
}
