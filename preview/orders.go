package preview

import (
	"context"

	"github.com/reaperdb/reaper/plan"
)

// Order is one of the orders in which a purge could search for expired rows, and what it would
// read.
type Order struct {
	Strategy string `json:"strategy"`
	// RowsRead are the rows of the root that a whole run reads to find those that it deletes.
	RowsRead int64 `json:"rows_read"`
	Chosen   bool  `json:"chosen"`
	// Needs: it takes an index that is not there.
	Needs string `json:"needs,omitempty"`
}

// orders compares the order that the plan has chosen with the others. By an index that leads from
// the tenant to the age, a run reads what it deletes; a sweep reads the table, or what is old enough
// for some tenant, and what it has left once more, to confirm that nothing is due any more.
func (l *previewer) orders(ctx context.Context) error {
	p, due := l.plan, l.view.ExpiredRows
	rows, err := l.rowsOf(ctx, p.Root)
	if err != nil || rows < 0 {
		return err
	}
	add := func(strategy string, read int64, needs string) {
		l.view.Orders = append(l.view.Orders, Order{Strategy: strategy, RowsRead: read, Chosen: strategy == p.Strategy, Needs: needs})
	}
	keyset, needs := plan.TenantKeyset, ""
	if p.NoTenant {
		keyset = plan.AgeKeyset
	}
	if p.MissingIndex() {
		needs = "an index"
	}
	add(keyset, due, needs)
	if p.Strategy == plan.AgeSweep {
		old := rows
		if !l.estimate {
			if old, err = l.oldEnough(ctx, p.Root); err != nil {
				return err
			}
		}
		add(plan.AgeSweep, sweeps(old, due), "")
	}
	add(plan.KeySweep, sweeps(rows, due), "")
	return nil
}

// sweeps is what a run of sweeps reads: everything, and then once more what is left of it.
func sweeps(pass, due int64) int64 {
	pass = max(pass, due) // an estimate may be less than the count
	return 2*pass - due
}
