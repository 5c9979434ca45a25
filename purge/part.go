package purge

import (
	"fmt"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// part is what a batch does for one tenant.
type part struct {
	tenant *plan.TenantCutoff
	cands  []candidate
	// outcome is what became of the candidates, over all transactions that it took.
	outcome outcome
	// alone: something of this tenant stood in the way of others, and its rows are left to
	// batches of its own.
	alone bool
}

func newPart(t *plan.TenantCutoff, cands []candidate) *part { return &part{tenant: t, cands: cands} }

// leave leaves the candidates where they are.
func leave(parts []*part, busy bool) {
	for _, p := range parts {
		p.outcome.add(outcome{remaining: int64(len(p.cands)), busy: busy})
	}
}

// roots is how many candidates there are.
func roots(parts []*part) (n int) {
	for _, p := range parts {
		n += len(p.cands)
	}
	return n
}

// partTx is a part within one transaction, and what that has counted.
type partTx struct {
	*part
	keys            pg.Values        // of the candidates
	rows, nullified map[string]int64 // by table, schema.table
	now             outcome          // in this transaction
}

// total is how many rows were deleted or emptied.
func (p *partTx) total() (rows int64) {
	for _, n := range p.rows {
		rows += n
	}
	for _, n := range p.nullified {
		rows += n
	}
	return rows
}

func (p *partTx) countDeleted(n *plan.Node, rows int64) {
	if rows > 0 {
		p.rows[n.Table.Name.String()] += rows
	}
}

func (p *partTx) countNullified(n *plan.Node, rows int64) {
	if rows > 0 {
		p.nullified[n.Table.Name.String()] += rows
	}
}

// tenantError is an error of one tenant among those of a batch.
type tenantError struct {
	tenant *plan.TenantCutoff
	err    error
}

func (e *tenantError) Error() string {
	return fmt.Sprintf("tenant %s: %v", tenantName(e.tenant.Key), e.err)
}

func (e *tenantError) Unwrap() error { return e.err }
