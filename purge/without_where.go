package purge

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// searchPlan is the plan for finding expired rows: the policy's own, or, once `where` has
// failed on a row, one without it. Batches still apply `where`; one that fails is split until
// the row is found, and only its tenant fails.
func (w *policyRun) searchPlan() *plan.Plan {
	if p := w.state.planWithoutWhere(); p != nil {
		return p
	}
	return w.plan
}

func (w *policyRun) searchRows(read func(p *plan.Plan) error) error {
	return w.search("searching for expired rows of "+w.plan.Root.Table.Name.String(), read)
}

// search reads by the search plan, and again without `where` if that fails on a row. Errors are
// prefixed with what.
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
