package explain

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/search"
)

// ErrNoTenant means that a policy's tenants do not have the key.
var ErrNoTenant = errors.New("there is no such tenant")

// Tenant is the answer about a tenant under a policy.
type Tenant struct {
	Policy    string     `json:"policy"`
	Table     string     `json:"table"`
	Key       *string    `json:"key"`
	State     string     `json:"state"` // due, clear, held, forever, skipped; unknown: what is due was not counted
	Retention *Retention `json:"retention"`
	Holds     []Hold     `json:"holds"`
	// ExpiredRows are the roots that are due; null: counting them takes too long.
	ExpiredRows  *int64          `json:"expired_rows"`
	LagSeconds   *float64        `json:"lag_seconds"` // how long the oldest of them has been due
	LastDeletion *ledger.Deleted `json:"last_deletion"`
	Blocked      []Reason        `json:"blocked"` // why the policy's next run deletes nothing
	Notes        []string        `json:"notes"`
}

// OfTenant answers about a tenant, by its key as PostgreSQL prints it. It returns ErrNoTenant if there
// is none.
func OfTenant(ctx context.Context, pool *pgxpool.Pool, q Question, key *string) (*Tenant, error) {
	p := q.Plan
	t := &Tenant{Policy: p.Policy.Name, Table: p.Root.Table.Name.String(), Key: key, Holds: []Hold{}, Blocked: append([]Reason{}, q.Blocked...), Notes: append([]string{}, q.Notes...)}
	for _, x := range p.Problems {
		if x.Level == plan.LevelError {
			t.Blocked = append(t.Blocked, Reason{Problem, x.Text})
		}
	}
	err := inSnapshot(ctx, pool, p.ReadingPath(), func(tx pgx.Tx) error {
		x := &asker{Question: q, pool: pool, tx: tx}
		if err := x.begin(ctx); err != nil {
			return err
		}
		return x.tenant(ctx, t)
	})
	if err != nil {
		return nil, fmt.Errorf("explaining policy %s: %w", t.Policy, err)
	}
	t.LastDeletion, err = q.Ledger.LastDeletion(ctx, pool, t.Policy, key)
	if pg.HasCode(err, "42501") {
		t.Notes = append(t.Notes, "what was deleted before is not known: this role may not read the ledger")
		err = nil
	}
	return t, err
}

// tenant reads the state of a tenant, and counts what is due.
func (x *asker) tenant(ctx context.Context, t *Tenant) (err error) {
	if t.Retention, _, _, _, err = x.stateOf(ctx, t.Key, nil); err != nil {
		return err
	}
	if t.Retention == nil {
		return ErrNoTenant
	}
	file, err := x.origin(ctx, t.Key, t.Retention)
	if err != nil {
		return err
	}
	persons, err := x.holdsOfTenant(ctx, t.Key)
	if err != nil {
		return err
	}
	t.Holds = append(append(t.Holds, file...), persons...)
	if t.State = t.Retention.State; t.State != expiry.StateActive {
		t.ExpiredRows, t.LagSeconds = new(int64), new(float64)
		return nil
	}
	return x.countDue(ctx, t)
}

// countDue counts the roots of a tenant that are due.
func (x *asker) countDue(ctx context.Context, t *Tenant) error {
	sc := expiry.Scope{Base: x.base}
	if t.Key != nil {
		sc.Only = []string{*t.Key}
	}
	var rows, tenants int64
	var lag float64
	s := search.BacklogSQL(x.Plan, sc, "")
	err := pg.Savepoint(ctx, x.tx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, s.String(), s.Args...).Scan(&rows, &lag, &tenants)
	})
	switch {
	case pg.HasCode(err, "57014") && ctx.Err() == nil:
		t.State = "unknown"
		return nil
	case err != nil:
		return fmt.Errorf("counting what is due: %w", err)
	}
	t.State = map[bool]string{true: "due", false: "clear"}[rows > 0]
	t.ExpiredRows, t.LagSeconds = &rows, &lag
	return nil
}
