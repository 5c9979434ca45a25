package explain

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
)

// Blocked is why the next run of a policy would delete nothing, besides the errors of its plan: a gate
// that waits for a person's word, or a pause by hand. Where there is no ledger yet, or the role may
// not read it, nothing is known.
func Blocked(ctx context.Context, pool *pgxpool.Pool, l *ledger.Ledger, p *plan.Plan) (all []Reason, err error) {
	if !p.HasErrors() {
		verdict, err := verdict(ctx, pool, l, p)
		if err != nil && !unreadable(err) {
			return nil, err
		}
		if err == nil && verdict.Text() != "" {
			all = append(all, Reason{Gate, verdict.Text() + "; if that is meant: " + verdict.Fix()})
		}
	}
	pauses, err := l.Pauses(ctx, pool)
	if err != nil && !unreadable(err) {
		return nil, err
	}
	for _, x := range pauses {
		if x.Policy == nil || *x.Policy == p.Policy.Name {
			all = append(all, Reason{Paused, fmt.Sprintf("paused by hand until %s: %s (%s)", timeText(x.Until), x.Reason, x.By)})
		}
	}
	return all, nil
}

// verdict is what the gates say of a run in which nobody answers for the number of rows.
func verdict(ctx context.Context, pool *pgxpool.Pool, l *ledger.Ledger, p *plan.Plan) (*gate.Verdict, error) {
	gates := gate.Gates{Pool: pool, Ledger: l, Plans: []*plan.Plan{p}}
	d, err := gates.LookAtDatabase(ctx)
	if err != nil {
		return nil, err
	}
	return gates.Look(ctx, d, p)
}

// unreadable reports whether the ledger is not there, or the role may not read it.
func unreadable(err error) bool { return pg.HasCode(err, "42P01", "3F000", "42501") }
