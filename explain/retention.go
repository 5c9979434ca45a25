package explain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
)

// Retention is how long a tenant keeps its rows.
type Retention struct {
	Length *string `json:"retention"` // as PostgreSQL prints an interval, or forever; null: none
	// Source is where it stands: override (of the policy), tenants override, policy, tenants, query,
	// default; empty: there is none.
	Source string     `json:"source"`
	SQL    string     `json:"sql,omitempty"` // that gave it; empty: the file has it as a duration
	Raised bool       `json:"raised_to_min"` // min gives the earlier cutoff
	Min    string     `json:"min,omitempty"`
	Cutoff *time.Time `json:"cutoff"` // older rows are expired; null: no row is
	// State is active, held, forever or skipped.
	State string `json:"state"`
}

// Hold is something that holds the row or its tenant.
type Hold struct {
	ID     *int64     `json:"id"`   // for reaper release; null: the policy file holds it
	Kind   string     `json:"kind"` // file, tenant, all or row
	Until  *time.Time `json:"until"`
	Reason string     `json:"reason"` // of the file: its SQL
	By     string     `json:"by"`
}

// stateOf reads the state of a tenant and its cutoffs; due are two more columns for the row. There
// is none if the tenants do not have the key.
func (x *asker) stateOf(ctx context.Context, key *string, at *time.Time) (t *Retention, cutoff string, own, due *time.Time, err error) {
	p := x.Plan
	s := &pg.Statement{}
	sc := expiry.Scope{Base: x.base}
	if key != nil {
		sc.Only = []string{*key}
	}
	s.Add("SELECT CASE state WHEN 'forever' THEN 'forever' ELSE retention END, floored, state, cutoff::text, CASE WHEN cutoff >= '1900-01-01 00:00:00+00' THEN cutoff END, own, ")
	grace := "own"
	if p.Tenants.Grace != nil {
		grace = "greatest(own, " + p.Tenants.GraceDue("reaper_y.key", "reaper_y.at", s.Cast(x.base, "timestamptz")) + ")"
	}
	floor := ""
	if p.Tenants.Min != nil {
		floor = ", " + expiry.DueBy("reaper_x.at", expiry.Interval(*p.Tenants.Min))
	}
	s.Add("CASE WHEN own IS NOT NULL THEN ", grace, " END FROM (SELECT reaper_x.*, CASE state WHEN 'active' THEN greatest(", expiry.DueBy("reaper_x.at", "reaper_x.retention::interval"), floor, ") END AS own",
		" FROM (SELECT reaper_s.*, ", s.Cast(at, "timestamptz"), " AS at FROM ", p.Tenants.Write(s, sc), " reaper_s LIMIT 1) reaper_x) reaper_y")
	t = &Retention{}
	var text *string
	err = x.tx.QueryRow(ctx, s.String(), s.Args...).Scan(&t.Length, &t.Raised, &t.State, &text, &t.Cutoff, &own, &due)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, "", nil, nil, nil
	}
	if err != nil {
		return nil, "", nil, nil, fmt.Errorf("reading the tenant: %w", err)
	}
	if text != nil {
		cutoff = *text
	}
	if t.State != expiry.StateActive {
		t.Cutoff = nil
	}
	if p.Tenants.Min != nil {
		t.Min = p.Tenants.Min.String()
	}
	return t, cutoff, own, due, nil
}

// readTenant reads the state of the row's tenant, and when the row comes due by it.
func (x *asker) readTenant(ctx context.Context, r *subject) (err error) {
	if !r.owned {
		return nil
	}
	if r.Retention, r.cutoff, r.expiresOwn, r.ExpiresAt, err = x.stateOf(ctx, r.owner, r.Age.At); err != nil || r.Retention == nil {
		return err
	}
	r.state = r.Retention.State
	holds, err := x.origin(ctx, r.owner, r.Retention)
	r.Holds = append(r.Holds, holds...)
	return err
}

// origin finds out where a tenant's retention comes from, and what of the file holds it.
func (x *asker) origin(ctx context.Context, key *string, t *Retention) (holds []Hold, err error) {
	from := x.Plan.Tenants
	var override *int64
	var source *int32
	var held []bool
	s := from.OriginSQL(key)
	if err := x.tx.QueryRow(ctx, s.String(), s.Args...).Scan(&override, &source, &held); err != nil {
		return nil, fmt.Errorf("reading where the retention comes from: %w", err)
	}
	switch {
	case override != nil && from.Overrides[*override-1].Policy:
		t.Source = "override"
	case override != nil:
		t.Source = "tenants override"
	case source != nil:
		t.Source, t.SQL = from.Sources[*source-1].From, x.written(from.Sources[*source-1])
	}
	written := x.writtenHolds()
	for i, is := range held {
		if is {
			holds = append(holds, Hold{Kind: "file", Reason: written[i]})
		}
	}
	return holds, nil
}

// written is the SQL of a source as the file has it; empty: it is none.
func (x *asker) written(s expiry.Source) string {
	switch {
	case s.Constant != nil:
		return ""
	case s.From == "policy":
		return x.Plan.Policy.Retention.SQL.Value
	case s.From == "tenants":
		return x.Plan.File.Tenants.Retention.SQL.Value
	}
	return x.Plan.Tenants.Columns[1]
}

// writtenHolds are the conditions of Tenants.Holds as the file has them.
func (x *asker) writtenHolds() (all []string) {
	conditions := []policy.Text{x.Plan.Policy.Hold}
	if file := x.Plan.File.Tenants; file != nil && !x.Plan.NoTenant {
		conditions = []policy.Text{file.Hold, x.Plan.Policy.Hold}
	}
	if len(x.Plan.Tenants.Columns) > 2 {
		all = append(all, x.Plan.Tenants.Columns[2]) // of the query
	}
	for _, c := range conditions {
		if c.IsSet() {
			all = append(all, c.Value)
		}
	}
	return all
}

// readHolds reads what persons hold.
func (x *asker) readHolds(ctx context.Context, r *subject) error {
	p := x.Plan
	if p.Tenants.Held == nil { // there are none, or the role may not read them, which is said elsewhere
		return nil
	}
	if r.owned {
		holds, err := x.holdsOfTenant(ctx, r.owner)
		if err != nil {
			return err
		}
		r.Holds = append(r.Holds, holds...)
	}
	after := ""
	if p.Policy.Grace != nil {
		after = p.Policy.Grace.Interval()
	}
	ids := x.Ledger.RootHoldsSQL(p.Policy.Name, after)
	if ids == nil {
		return nil
	}
	s := &pg.Statement{}
	key := make([]string, len(r.keys))
	for i := range key {
		key[i] = s.Cast(r.Key[r.columns[i]], pg.TextType)
	}
	holds, err := x.holdsOf(ctx, s.Add("SELECT ", ids(key)), after)
	if err != nil {
		return err
	}
	r.holdsNow = len(holds) > 0
	r.Holds = append(r.Holds, holds...)
	return nil
}

// holdsOfTenant are what persons hold of a tenant, or of all.
func (x *asker) holdsOfTenant(ctx context.Context, key *string) ([]Hold, error) {
	if x.Plan.Tenants.Held == nil {
		return nil, nil
	}
	listing := *x.Plan.Tenants // gives ids where the plan asks whether there are any
	listing.Held = x.Ledger.HoldsSQL(x.Plan.Policy.Name)
	s := &pg.Statement{}
	return x.holdsOf(ctx, s.Add("SELECT ", listing.HeldKey(s, key)), "")
}

func (x *asker) holdsOf(ctx context.Context, s *pg.Statement, after string) (holds []Hold, err error) {
	var ids []int64
	if err := x.tx.QueryRow(ctx, s.String(), s.Args...).Scan(&ids); err != nil {
		return nil, fmt.Errorf("reading holds: %w", err)
	}
	found, err := x.Ledger.HoldsOf(ctx, x.pool, ids, after)
	if err != nil {
		return nil, err
	}
	for _, h := range found {
		holds = append(holds, Hold{ID: &h.ID, Kind: kindOf(h), Until: h.Until, Reason: h.Reason, By: h.By})
	}
	return holds, nil
}

func kindOf(h ledger.Hold) string {
	switch {
	case h.Roots != nil:
		return "row"
	case h.Tenant != nil:
		return "tenant"
	}
	return "all"
}
