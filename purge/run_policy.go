package purge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// sliceTime is about how long to work on one tenant before the next. It is below the 5 s after
// which tenants are reread.
const sliceTime = 2 * time.Second

// namedTenants is how many skipped or failed tenants a reason names.
const namedTenants = 10

// policyRun is one policy of a run: its batches, walk and report. State shared by its workers
// is in state.
type policyRun struct {
	run         *Run
	plan        *plan.Plan
	state       *policyState
	report      *PolicyReport // nil until the workers have ended
	batchers    []*batcher    // one per worker
	started     time.Time
	opened      bool
	walk        walk     // guarded by its schedule's mutex
	skipped     []string // some of the skipped tenants
	latest      string   // latest of the cutoffs, as text
	overdue     int64    // tenants with something due at the end
	cutoffCount int64    // tenants with a cutoff fixed at the start
	parts       detachedPartitions
	sizing      sizing
	adviceMu    sync.Mutex // keeps reports of advice in order
}

func newPolicyRun(r *Run, p *plan.Plan) *policyRun {
	strategy, _ := p.Shown(r.opts.Selection())
	report := &PolicyReport{Name: p.Policy.Name, Status: Complete, Strategy: strategy, Rows: map[string]int64{}, Partitions: []string{}}
	for _, n := range p.Nodes {
		if n.Deleted {
			report.Rows[n.Table.Name.String()] = 0
		}
	}
	w := &policyRun{run: r, plan: p, state: r.state.addPolicy(report), started: time.Now()}
	if p.Unplanned() != nil {
		w.fail(p.Unplanned())
	}
	for i := range r.workers {
		if p.Unplanned() != nil {
			break
		}
		w.batchers = append(w.batchers, &batcher{worker: i, run: r, policy: w, plan: p, size: firstSize(p)})
	}
	return w
}

func (w *policyRun) ended() bool { return w.state.failure() != nil }

func (w *policyRun) fail(err error) { w.state.fail(err) }

// open records the run in the ledger before anything is deleted.
func (w *policyRun) open(ctx context.Context) {
	err := w.run.withServer(ctx, func() error {
		return w.run.ledger.OpenRun(ctx, w.run.pool, w.run.id, w.plan.Policy.Name, w.run.opts.Trigger, w.run.base)
	})
	if err != nil {
		w.fail(fmt.Errorf("opening the run in the ledger: %w", err))
		return
	}
	w.opened = true
}

// countTenants counts the held, forever and skipped tenants, and validates their list.
func (w *policyRun) countTenants(ctx context.Context) {
	s := w.plan.CountTenantsSQL(w.scope())
	var all, distinct, longest int64
	var c TenantCounts
	err := w.run.withServer(ctx, func() error {
		if err := w.run.query(ctx, w.plan.ReadingPath(), preview.ListTimeout, s, pg.ScanOne(&all, &distinct, &longest, &c.Held, &c.Forever, &c.Skipped)); err != nil || c.Skipped == 0 || w.plan.NoTenant {
			return err
		}
		return w.nameSkipped(ctx)
	})
	w.state.setTenants(c.Held, c.Forever, c.Skipped)
	switch {
	case errors.Is(err, errHalted):
	case err != nil:
		w.fail(fmt.Errorf("reading tenants: %w", err))
	case w.plan.NoTenant:
		if c.Skipped > 0 {
			w.skipped = []string{"all rows (retention " + w.plan.ConstantRetention() + ")"}
		}
	default:
		if err := preview.ValidateTenantList(w.plan, all, distinct, longest); err != nil {
			w.fail(err)
		}
	}
}

// nameSkipped reads some of the skipped tenants, and why each is skipped.
func (w *policyRun) nameSkipped(ctx context.Context) error {
	return w.run.query(ctx, w.plan.ReadingPath(), preview.ListTimeout, w.plan.SkippedTenantsSQL(w.scope(), namedTenants), pg.ScanOne(&w.skipped))
}

// scope returns the tenants that the run covers: all, or those of --tenant.
func (w *policyRun) scope() expiry.Scope {
	return expiry.Scope{Base: w.run.base, Only: w.run.opts.Tenants, OlderThan: w.run.opts.OlderThan, Run: w.run.id, Cutoffs: w.run.ledger.Cutoffs(), WhereFailed: w.state.planWithoutWhere() != nil}
}

func (w *policyRun) startPass() {
	w.state.startPass()
	if w.plan.Sweeps() {
		w.walk = &sweep{policy: w, open: map[string]bool{}, busy: map[string]bool{}}
	} else {
		w.walk = &keyset{policy: w, open: map[string]bool{}}
	}
}

// countAfter is how long a run must last before what is due is counted; nobody watches a
// shorter one.
const countAfter = 2 * time.Second

// countOnce counts what was due at the start, once the run has lasted a while. A worker does it
// between turns: the spare connection is for the guards.
func (w *policyRun) countOnce(ctx context.Context) {
	now, gone := w.state.claimDueCount(w.started, countAfter)
	if !now {
		return
	}
	due := w.countDue(ctx)
	if due >= 0 {
		due += gone
	}
	w.run.notify(func(o Observer) { o.Due(w.plan.Policy.Name, due) })
}

// delete deletes candidates, keeps the counts, and fails a tenant whose rows cannot be deleted.
// A returned error ends the policy.
func (w *policyRun) delete(ctx context.Context, b *batcher, t *plan.TenantCutoff, cands []candidate) (outcome, error) {
	o, err := b.delete(ctx, t, cands)
	if lost := w.state.addOutcome(o, len(cands), err != nil); lost && !w.plan.NoTenant {
		// Some are no longer expired. If the tenant's key became ambiguous, report that.
		_, err = w.reread(ctx, t)
	}
	if err == nil {
		return o, nil
	}
	switch end := abandon(err); {
	case end == stopPolicy:
		w.state.stop(err.Error())
		return o, nil
	case end == failPolicy, ctx.Err() != nil:
		return o, err
	}
	name := tenantName(t.Key)
	why := pg.ErrorText(err)
	if names := w.plan.Firing(); len(names) > 0 && !errors.Is(err, errInterfered) {
		why += "; possibly caused by " + strings.Join(names, ", ")
	}
	w.state.failTenant(name, why)
	w.run.log.Warn("tenant failed", "policy", w.plan.Policy.Name, "tenant", name, "error", why)
	return o, nil
}

func tenantName(key *string) string {
	if key == nil {
		return "null"
	}
	return *key
}

func (w *policyRun) tenantFailed(key *string) bool { return w.state.tenantFailed(tenantName(key)) }

// refresh rereads a tenant's hold and retention at the start of every slice and between the
// batches of a long one, so that they are never older than 5 s. false: nothing of the tenant
// may be deleted any more.
func (w *policyRun) refresh(ctx context.Context, t *plan.TenantCutoff) (bool, error) {
	if w.plan.NoTenant || time.Since(t.ReadAt) < sliceTime {
		return true, nil
	}
	return w.reread(ctx, t)
}

func (w *policyRun) reread(ctx context.Context, t *plan.TenantCutoff) (bool, error) {
	s := w.plan.TenantSQL(w.scope(), t)
	var n int
	var active bool
	var cutoff *string
	err := w.run.withServer(ctx, func() error {
		return w.run.query(ctx, w.plan.ReadingPath(), searchTimeout, s, pg.ScanOne(&n, &active, &cutoff))
	})
	if err != nil {
		return false, fmt.Errorf("reading tenants: %w", err)
	}
	if n > 1 {
		return false, preview.ErrKeyTwice
	}
	if !active {
		return false, nil
	}
	t.Cutoff, t.ReadAt = *cutoff, time.Now()
	return true, nil
}
