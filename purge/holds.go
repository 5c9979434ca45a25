package purge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/nearest"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// Holds are what persons hold, besides the policy file.
type Holds interface {
	held
	// HasHolds reports whether there can be holds; it fails if the role may not read them.
	HasHolds(ctx context.Context, conn *pgx.Conn) (bool, error)
	// HeldPolicies returns the policies that are held, those of which roots are held by row, and those
	// of whose tenants retentions are recorded for grace.
	HeldPolicies(ctx context.Context, conn *pgx.Conn) (named, byRow, recorded []string, err error)
	// Retentions is the quoted name of the table of those.
	Retentions() string
}

type held interface {
	// HeldSQL returns an SQL condition for whether a tenant of a policy is held now, by an
	// expression of its key as text; NULL for a policy without tenants.
	HeldSQL(policy string) func(key string, same func(tenant string) string) string
	// HeldRootSQL returns an SQL condition for whether a root of a policy is held by row now, by
	// expressions of its key's columns, or without any, for whether any root is; nil: none can be. It
	// protects for a while after its end, the text of an interval; empty: none.
	HeldRootSQL(policy, after string) func(key []string) string
}

// ApplyHolds makes holds and grace conditions of plans, and returns the policies that are held. A run
// does so by itself.
func ApplyHolds(ctx context.Context, conn *pgx.Conn, h Holds, plans []*plan.Plan) (named []string, err error) {
	has, err := h.HasHolds(ctx, conn)
	if err != nil || !has {
		return nil, err
	}
	named, byRow, recorded, err := h.HeldPolicies(ctx, conn)
	if err != nil {
		return nil, err
	}
	applyHolds(h, plans, byRow)
	for _, p := range plans {
		if p.Policy.Grace != nil && p.Tenants != nil && slices.Contains(recorded, p.Policy.Name) {
			p.Tenants.Grace = &expiry.Grace{Table: h.Retentions(), Policy: p.Policy.Name, Length: *p.Policy.Grace}
		}
	}
	return named, nil
}

func applyHolds(h held, plans []*plan.Plan, byRow []string) {
	for _, p := range plans {
		p.Hold(h.HeldSQL(p.Policy.Name))
		after := ""
		if p.Policy.Grace != nil {
			after = p.Policy.Grace.Interval()
		}
		p.HoldRoots(h.HeldRootSQL(p.Policy.Name, after), slices.Contains(byRow, p.Policy.Name))
	}
}

// KnownTenants returns the keys of tenants as PostgreSQL prints them, and a *UsageError for one that
// its type cannot hold or, without unknown, that a plan does not know, with the nearest that it
// knows. nil: no plan has tenants that can be read.
func KnownTenants(ctx context.Context, pool *pgxpool.Pool, plans []*plan.Plan, tenants []string, unknown bool) (known []string, err error) {
	for _, p := range plans {
		if p.NoTenant || !p.Readable() {
			continue
		}
		if known, err = knownTenants(ctx, pool, p, tenants, unknown); err != nil {
			return nil, err
		}
	}
	return known, nil
}

func knownTenants(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, tenants []string, unknown bool) ([]string, error) {
	var printed []*string
	err := lookUp(ctx, pool, p, p.PrintedKeysSQL(tenants, unknown), &printed)
	if err != nil {
		return nil, err
	}
	known := make([]string, len(tenants))
	for i, key := range printed {
		if key != nil {
			known[i] = *key
			continue
		}
		text := fmt.Sprintf("--tenant %s: policy %s has no such tenant", tenants[i], p.Policy.Name)
		var alike []string
		if err := lookUp(ctx, pool, p, p.KeysLikeSQL(tenants[i]), &alike); err != nil {
			return nil, err
		}
		if at := nearest.Index(tenants[i], alike, len(tenants[i])); at >= 0 {
			text += "; the nearest is " + alike[at]
		}
		return nil, &UsageError{text}
	}
	return known, nil
}

// lookUp reads tenants' keys.
func lookUp(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, s *pg.Statement, into any) error {
	err := pg.ReadOnly(ctx, pool, p.ReadingPath(), time.Minute, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, s.String(), s.Args...).Scan(into)
	})
	if pg.HasCode(err, "22P02", "22003", "22007") {
		return &UsageError{fmt.Sprintf("--tenant: %s; tenant keys are of type %s", pg.ErrorText(err), p.Tenants.Key.Type)}
	}
	if err != nil {
		return fmt.Errorf("looking up --tenant: %w", err)
	}
	return nil
}

// CheckTenants returns a *UsageError for tenant keys unknown to one of the plans, which must be
// free of errors.
func CheckTenants(ctx context.Context, pool *pgxpool.Pool, plans []*plan.Plan, tenants []string) error {
	if len(tenants) == 0 {
		return nil
	}
	for _, p := range plans {
		if p.Unplanned() != nil {
			continue
		}
		if p.NoTenant {
			return &UsageError{fmt.Sprintf("policy %s has no tenants, so --tenant does not apply; select other policies with --policy", p.Policy.Name)}
		}
		var printed []*string
		if err := lookUp(ctx, pool, p, p.PrintedKeysSQL(tenants, false), &printed); err != nil {
			return err
		}
		var unknown []string
		for i, key := range printed {
			if key == nil {
				unknown = append(unknown, tenants[i])
			}
		}
		if len(unknown) > 0 {
			return &UsageError{fmt.Sprintf("--tenant %s: policy %s has no such tenant", strings.Join(unknown, ", "), p.Policy.Name)}
		}
	}
	return nil
}
