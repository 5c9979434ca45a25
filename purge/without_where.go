package purge

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// finds is the plan by which expired rows are looked for: the policy's own, until its
// `where` has failed on a row, from then on one that leaves it out. What it would have
// rejected is rejected by the batch, whose statements all have it; and a batch that
// fails is split until the row is found, whose tenant fails alone.
func (w *policyRun) searchPlan() *plan.Plan {
	if p := w.state.planWithoutWhere(); p != nil {
		return p
	}
	return w.plan
}

// findRows finds expired rows of the root.
func (w *policyRun) searchRows(read func(p *plan.Plan) error) error {
	return w.search("looking for expired rows of "+w.plan.Root.Table.Name.String(), read)
}

// find reads by the plan that finds, and again without `where` when that fails on a row.
// Its error says where it is from.
func (w *policyRun) search(what string, read func(p *plan.Plan) error) error {
	p := w.searchPlan()
	err := read(p)
	if err == nil {
		return nil
	}
	if p.Where != "" && errors.As(err, new(*pgconn.PgError)) && classify(err) == faultTenant {
		without := *p
		without.Where = ""
		if w.state.leaveOutWhere(&without) {
			w.run.log.Warn("where failed on a row; searching without it and applying it in each batch",
				"policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
		}
		if err = read(w.searchPlan()); err == nil {
			return nil
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}
