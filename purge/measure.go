package purge

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/search"
)

// countTimeout bounds a count that is only reported, never acted on.
const countTimeout = 5 * time.Second

// countDue counts the due roots; -1 if that takes too long.
func (w *policyRun) countDue(ctx context.Context) int64 {
	rows, _, _, err := w.backlog(ctx)
	if err != nil {
		return -1
	}
	return rows
}

func (w *policyRun) backlog(ctx context.Context) (rows int64, lag float64, tenants int64, err error) {
	s := search.BacklogSQL(w.plan, w.scope(), "")
	err = pg.ReadOne(ctx, w.run.pool, w.plan.ReadingPath(), countTimeout, s, pg.ScanOne(&rows, &lag, &tenants))
	return rows, lag, tenants, err
}

// measure sets lag and backlog at the end of a run. They are zero after a full pass that found
// nothing but kept rows.
func (w *policyRun) measure(ctx context.Context) {
	var rows int64
	var lag float64
	found := w.state.found()
	if w.stopReason() != "" || found.remaining > 0 || found.busy || found.moved || w.report.Tenants.Failed > 0 {
		var err error
		if rows, lag, w.overdue, err = w.backlog(ctx); err != nil {
			w.run.log.Info("backlog not measured", "policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
			return
		}
	}
	w.report.BacklogRows, w.report.LagSeconds = &rows, &lag
}

// sampleUnowned samples once per run whether most rows reach no tenant. A stopping run skips
// it.
func (w *policyRun) sampleUnowned(ctx context.Context) {
	if w.run.halt.Err() != nil {
		return
	}
	var err error
	if w.report.Unowned, err = preview.SampleUnowned(ctx, w.run.pool, w.plan); err != nil {
		w.run.log.Info("rows without a tenant not sampled", "policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
	}
}
