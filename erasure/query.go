package erasure

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
)

// Tenant is what the tenants' table says of a key.
type Tenant struct {
	Key    string // as PostgreSQL prints it
	Exists bool
	Due    bool // `when` is true
	Held   bool // `hold` of tenants is true
}

// Settings is the statement that begins every transaction of an erasure: it sets search_path, time
// zone, row_security and the timeouts, for the rest of the transaction.
func (p *Plan) Settings(statement, lock time.Duration) string { return p.settings(statement, lock) }

// Canonical is the key as PostgreSQL prints it; an error with SQLSTATE 22P02 if it is none of the
// key's type.
func (p *Plan) Canonical(ctx context.Context, q pg.Querier, key string) (string, error) {
	return p.canonical(ctx, q, key)
}

// Look reads what the tenants' table says of a key. A key in use again is one that Exists.
func (p *Plan) Look(ctx context.Context, q pg.Querier, key string) (Tenant, error) {
	return p.look(ctx, q, key)
}

// LockTenant locks the tenant's row FOR NO KEY UPDATE, so that its writers go on and the row stays;
// false: there is none.
func (p *Plan) LockTenant(ctx context.Context, q pg.Querier, key string) (bool, error) {
	return p.lockTenant(ctx, q, key)
}

// Due are at most limit keys of tenants for which `when` is true, and which are not held, in an order
// of their own: those behind after, or the first ones if after is empty. There are none without `when`.
func (p *Plan) Due(ctx context.Context, q pg.Querier, after string, limit int) ([]string, error) {
	return p.due(ctx, q, after, limit)
}

// Count is what is there of a tenant in one table.
type Count struct {
	Table *Table
	// Rows that are the tenant's and should be gone, or are not yet redacted.
	Rows int64
	// Kept rows stay, until the latest of them may go; the zero time: without an end. The tenant's row,
	// where it is redacted, and rows that kept rows reference count here too.
	Kept  int64
	Until time.Time
}

// Remaining counts what is there of a tenant: the recheck of a certificate, and what reaper erasures
// shows. It reads all tables but global ones.
func (p *Plan) Remaining(ctx context.Context, q pg.Querier, key string) ([]Count, error) {
	return p.remaining(ctx, q, key)
}

// Blocker is a reference that stops an erasure: rows that stay reference rows that should go.
type Blocker struct {
	Constraint string
	Child      string // schema.table of the rows that stay
	Parent     *Table
	Rows       int64 // of Parent, counted up to 1000
}

// Blockers are the references that keep rows of a tenant from going, other than those of kept rows.
func (p *Plan) Blockers(ctx context.Context, q pg.Querier, key string) ([]Blocker, error) {
	return p.blockers(ctx, q, key)
}

// Leftovers are the steps of a sweep: they delete what has arrived for a tenant that is gone, in
// tables that no foreign key guards. remembered are the values of Table.Remember, as Outcome has
// them: by table, column and value.
func (p *Plan) Leftovers(remembered map[*Table]map[string][]string) []*Step {
	return p.leftovers(remembered)
}
