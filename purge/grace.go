package purge

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/reaperdb/reaper/expiry"
)

// recordTries is how often a run reads the tenants again because another one has recorded their
// retentions meanwhile.
const recordTries = 5

// readRecorded reads what the ledger knows of the tenants' retentions, before the tenants are read.
func (w *policyRun) readRecorded(ctx context.Context) {
	if w.plan.Policy.Grace == nil {
		return
	}
	err := w.run.withServer(ctx, func() (err error) {
		w.recorded.version, w.recorded.digest, w.recorded.ended, err = w.run.ledger.RecordedRetentions(ctx, w.run.pool, w.plan.Policy.Name, w.run.base)
		return err
	})
	if err != nil {
		w.fail(fmt.Errorf("reading the retentions that earlier runs have seen: %w", err))
	}
}

// recordRetentions records the tenants' retentions, before anything is deleted: what a shorter one
// frees stays for the policy's grace. While all are as they are recorded, it only says so. From here
// on grace is a condition of the plan, but in the first run of a policy, if that is narrowed to some
// tenants: there is nothing to compare with.
func (w *policyRun) recordRetentions(ctx context.Context) {
	switch {
	case w.plan.Policy.Grace == nil || w.ended() || w.stopping():
		return
	case w.run.opts.Tenants == nil:
		if d := w.recorded.digest; d != nil && *d == w.digest && !w.recorded.ended {
			w.applyGrace()
			return
		}
	case w.recorded.version == 0:
		return
	}
	for range recordTries {
		ours, err := w.recordSeen(ctx)
		switch {
		case errors.Is(err, errHalted):
			return
		case err != nil:
			w.fail(err)
			return
		case ours:
			w.applyGrace()
			return
		}
		if w.readRecorded(ctx); w.ended() {
			return
		}
	}
	w.state.stop("other processes recorded the tenants' retentions again and again")
}

func (w *policyRun) applyGrace() {
	w.plan.Tenants.Grace = &expiry.Grace{Table: w.run.ledger.Retentions(), Policy: w.plan.Policy.Name, Length: *w.plan.Policy.Grace}
}

// recordSeen reads the tenants of which something else is to be recorded than is, and records it;
// false: another run has done so meanwhile.
func (w *policyRun) recordSeen(ctx context.Context) (ours bool, err error) {
	s := w.plan.SeenSQL(w.scope(), w.run.ledger.Retentions())
	err = w.storeTenants(ctx, s, func(list *tenantList) (err error) {
		ours, err = w.storeSeen(ctx, list)
		return err
	})
	return ours, err
}

// storeSeen writes the list to the ledger.
func (w *policyRun) storeSeen(ctx context.Context, list *tenantList) (ours bool, err error) {
	seen := &seenTenants{tenantList: list}
	return w.run.ledger.RecordRetentions(ctx, w.run.pool, w.plan.Policy.Name, w.recorded.version, w.run.base, w.plan.Policy.Grace.Interval(), func() *int64 {
		if w.run.opts.Tenants != nil {
			return nil
		}
		return seen.digest
	}, seen)
}

// seenTenants is the list without its first row, the digest of all tenants.
type seenTenants struct {
	*tenantList
	digest *int64
}

// Next implements pgx.CopyFromSource.
func (l *seenTenants) Next() bool {
	if !l.tenantList.Next() {
		return false
	}
	if l.next[0] != nil {
		return true
	}
	var digest int64
	digest, l.err = strconv.ParseInt(l.next[1].(string), 10, 64)
	l.digest = &digest
	return l.err == nil && l.Next()
}

// recordedState is what the ledger knows of the retentions that runs have seen.
type recordedState struct {
	version int64  // of what is recorded; 0: no whole run has recorded anything
	digest  *int64 // of all tenants; nil: not known
	ended   bool   // some no longer count, and can be deleted
}
