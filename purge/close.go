package purge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/preview"
)

// close determines how the policy ended and records it.
func (w *policyRun) close(ctx context.Context) {
	w.report = w.state.finish()
	rep := w.report
	rep.Seconds = time.Since(w.started).Seconds()
	// Record the end even when the run was interrupted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if !w.opened {
		w.setStatus()
		return
	}
	w.reattachPartitions(ctx)
	if _, losses := w.run.state.progress(); losses > 0 {
		w.recount(ctx)
	}
	if !w.ended() {
		w.measure(ctx)
		w.countTenantOutcomes(ctx)
		w.sampleUnowned(ctx)
	}
	w.setStatus()
	if len(w.skipped) > 0 {
		w.run.log.Warn("tenants skipped: no usable retention", "policy", rep.Name, "count", rep.Tenants.Skipped, "tenants", strings.Join(w.skipped, ", "))
	}
	w.logFailedTenants()
	success := rep.Status == Complete && !w.run.opts.narrowed()
	var ours bool
	closing := func() (err error) {
		ours, err = w.run.ledger.CloseRun(ctx, w.run.pool, w.run.id, rep.Name, string(rep.Status), rep.Reason, rep.WALBytes, success)
		return err
	}
	err := w.run.withServer(ctx, closing)
	if err == nil && !ours {
		// This run may have missed what the other process removed, its cutoffs for instance, so
		// its own status is unreliable.
		err = errors.New("another process closed the run, taking this one for dead")
	}
	if err != nil {
		// Without this row the next run will record that the process ended.
		w.run.log.Error("cannot record the end of the run", "policy", rep.Name, "error", pg.ErrorText(err))
		rep.Status = Failed
		rep.Reason = strings.TrimPrefix(rep.Reason+"; the end of the run could not be recorded: "+pg.ErrorText(err), "; ")
	}
	if w.passage != nil && ours {
		if err := w.run.withServer(ctx, func() error { return w.passage.Close(ctx, rep.Roots, success) }); err != nil {
			w.run.log.Warn("cannot record what was deleted, for the next run to compare with", "policy", rep.Name, "error", pg.ErrorText(err))
		}
	}
	w.run.log.Debug("policy done", "policy", rep.Name, "status", rep.Status, "reason", rep.Reason, "roots", rep.Roots, "rows", rep.RowsTotal,
		"batches", rep.Batches, "duration_seconds", time.Since(w.started).Seconds())
}

// recount replaces the report's counts with the ledger's: a server crash may have undone
// batches whose COMMIT was acknowledged.
func (w *policyRun) recount(ctx context.Context) {
	rep := w.report
	var rows map[string]int64
	err := w.run.withServer(ctx, func() (err error) {
		rows, rep.RowsNullified, rep.Batches, err = w.run.ledger.Totals(ctx, w.run.pool, w.run.id, rep.Name)
		return err
	})
	if err != nil {
		w.run.log.Warn("cannot compare the report with the ledger", "policy", rep.Name, "error", pg.ErrorText(err))
		return
	}
	rep.RowsTotal = 0
	for table := range rep.Rows {
		rep.Rows[table] = rows[table]
		rep.RowsTotal += rows[table]
	}
}

// countTenantOutcomes counts the tenants that were due and those that are done.
func (w *policyRun) countTenantOutcomes(ctx context.Context) {
	unfinished := w.unfinished()
	c := &w.report.Tenants
	if w.report.Batches > 0 {
		var err error
		if c.Done, err = w.run.ledger.DoneTenants(ctx, w.run.pool, w.run.id, w.report.Name, slices.Sorted(maps.Keys(unfinished))); err != nil {
			w.run.log.Warn("cannot count tenants", "policy", w.report.Name, "error", pg.ErrorText(err))
		}
	}
	c.Due = c.Done + max(int64(len(unfinished)), w.overdue)
	if w.stopReason() != "" && !w.plan.NoTenant && !w.plan.Sweeps() {
		c.Due = max(c.Due, w.cutoffCount) // due at the start, visited or not
	}
}

// unfinished returns the tenants that the last pass left with due rows, as far as it got.
func (w *policyRun) unfinished() map[string]bool {
	names := map[string]bool{}
	for name := range w.state.failedTenants() {
		names[name] = true
	}
	if w.walk == nil || w.stopReason() != "" && w.report.BacklogRows != nil && *w.report.BacklogRows == 0 {
		return names // interrupted, but nothing was left
	}
	maps.Copy(names, w.walk.unfinished())
	return names
}

// setStatus derives status and reason.
func (w *policyRun) setStatus() {
	rep := w.report
	var reasons []string
	if len(w.skipped) > 0 {
		reasons = append(reasons, fmt.Sprintf("%s skipped, without a usable retention: %s", visible.Count(max(rep.Tenants.Skipped, 1), "tenant", "tenants"), strings.Join(w.skipped, ", ")))
	}
	if failed := w.state.failedTenants(); len(failed) > 0 {
		reasons = append(reasons, fmt.Sprintf("%s failed: %s", visible.Count(int64(len(failed)), "tenant", "tenants"), failedText(failed)))
	}
	reasons = append(reasons, w.parts.reasons()...)
	stop, found := w.stopReason(), w.state.found()
	archived, uncopied := w.state.archiveReasons()
	reasons = append(reasons, archived...)
	found.remaining -= uncopied
	switch {
	case w.state.refused() && w.ended(): // the failure says more
	case w.state.refused():
		reasons = append([]string{stop}, reasons...) // it begins with what the gates are told by
	case stop != "":
		if w.unfinishedWork() {
			stop += w.pauseSuffix()
			reasons = append(reasons, stop)
		}
	case uncopied > 0 && found.remaining <= 0: // said
	case found.busy && found.remaining == 0:
		reasons = append(reasons, "a table was locked by others")
	case found.busy:
		reasons = append(reasons, visible.Count(found.remaining, "expired row was", "expired rows were")+" locked by others")
	case found.moved && w.report.BacklogRows != nil && *w.report.BacklogRows > 0:
		reasons = append(reasons, visible.Count(*w.report.BacklogRows, "expired row was", "expired rows were")+" changed by others while being deleted")
	case found.remaining > 0:
		by := "a trigger or a rule"
		if names := w.plan.Firing(); len(names) > 0 {
			by = strings.Join(names, " or ")
		}
		reasons = append(reasons, visible.Count(found.remaining, "expired row", "expired rows")+" not deleted: kept by "+by)
	}
	rep.Reason = strings.Join(reasons, "; ")
	switch {
	case w.ended():
		rep.Status = Failed
		reasons = append([]string{plainChain(w.state.failure())}, reasons...)
		rep.Reason = strings.Join(reasons, "; ")
	case w.state.refused():
		rep.Status = Refused
	case len(reasons) > 0:
		rep.Status = Incomplete
	}
	if !w.ended() && rep.Unowned.Most() {
		rep.Reason = strings.TrimPrefix(rep.Reason+"; "+rep.Unowned.Text(), "; ")
	}
}

// plainChain is an error's text without row data.
func plainChain(err error) string {
	if errors.Is(err, preview.ErrTenants) {
		return err.Error()
	}
	text := err.Error()
	if i := strings.Index(text, ": ERROR:"); i > 0 {
		return text[:i] + ": " + pg.ErrorText(err)
	}
	return pg.ErrorText(err)
}

// unfinishedWork reports whether a stopped run left anything; if unknown, true.
func (w *policyRun) unfinishedWork() bool {
	if w.run.halt.Err() != nil {
		return true
	}
	return w.report.BacklogRows == nil || *w.report.BacklogRows > 0
}
