package purge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/deletion"
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
	passage     Passage       // nil: there is no gate
	walk        walk          // guarded by its schedule's mutex
	skipped     []string      // some of the skipped tenants
	latest      string        // latest of the cutoffs, as text
	overdue     int64         // tenants with something due at the end
	cutoffCount int64         // tenants with a cutoff fixed at the start
	recorded    recordedState // of their retentions, for grace, before the run
	digest      int64         // of the tenants, to compare with that
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

// passGate asks whether what the run deletes needs a person's word first.
func (w *policyRun) passGate(ctx context.Context) {
	if w.run.gate == nil {
		return
	}
	err := w.run.withServer(ctx, func() (err error) {
		w.passage, err = w.run.gate.Pass(ctx, w.run.id, w.plan)
		return err
	})
	switch {
	case err != nil:
		w.fail(err)
	case w.passage.Refusal() != "":
		w.state.refuse(w.passage.Refusal())
	}
}

// passRows asks whether how many rows the run deletes needs a person's word first.
func (w *policyRun) passRows(ctx context.Context) {
	if w.passage == nil || w.cutoffCount == 0 || w.run.opts.narrowed() || w.run.opts.MaxRows > 0 || w.stopping() {
		return
	}
	var refusal string
	err := w.run.withServer(ctx, func() (err error) {
		refusal, err = w.passage.Rows(ctx, w.run.base)
		return err
	})
	switch {
	case pg.HasCode(err, "55P03"):
		w.state.stop("a table was locked by others while what is due was counted")
	case err != nil:
		w.fail(err)
	case refusal != "":
		w.state.refuse(refusal)
	}
}

// passAgain asks whether the run may go on although the server was promoted or restored. The batch
// is tried again, unless that ends the policy's run.
func (w *policyRun) passAgain(ctx context.Context) error {
	refusal, err := w.passage.Again(ctx)
	if err != nil {
		return err
	}
	if refusal != "" {
		w.state.stop(refusal)
	}
	return errGuarded
}

// countTenants counts the held, forever and skipped tenants, and validates their list.
func (w *policyRun) countTenants(ctx context.Context) {
	var all, distinct, longest int64
	var c TenantCounts
	sc, into := w.scope(), []any{&all, &distinct, &longest, &c.Held, &c.Forever, &c.Skipped}
	if sc.Recorded = w.plan.Policy.Grace != nil; sc.Recorded {
		into = append(into, &w.digest)
	}
	s := w.plan.CountTenantsSQL(sc)
	err := w.run.withServer(ctx, func() error {
		if err := w.run.query(ctx, w.plan.ReadingPath(), preview.ListTimeout, s, pg.ScanOne(into...)); err != nil || c.Skipped == 0 || w.plan.NoTenant {
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

// delete hands candidates of one tenant to a batcher.
func (w *policyRun) delete(ctx context.Context, b *batcher, t *plan.TenantCutoff, cands []deletion.Candidate) (deletion.Outcome, error) {
	p := deletion.NewPart(t, cands)
	err := w.deleteParts(ctx, b, []*deletion.Part{p})
	return p.Outcome, err
}

// deleteParts hands candidates to a batcher and settles what became of them.
func (w *policyRun) deleteParts(ctx context.Context, b *batcher, parts []*deletion.Part) error {
	return w.settleParts(ctx, parts, b.delete(ctx, parts))
}

// settleParts counts what became of candidates, and gives up a tenant whose rows cannot be
// deleted. err is what deleting them gave; the error returned is the database's.
func (w *policyRun) settleParts(ctx context.Context, parts []*deletion.Part, err error) error {
	var lost []*plan.TenantCutoff
	for _, p := range parts {
		if p.Alone {
			w.state.setAlone(deletion.TenantName(p.Tenant.Key))
		}
		if w.state.addOutcome(p.Outcome, max(p.Roots(), p.Counted), err != nil || p.Alone) {
			lost = append(lost, p.Tenant)
		}
	}
	if len(lost) > 0 && !w.plan.NoTenant {
		// Some are no longer expired. If that is because a tenant's key has come to be there
		// twice, it must be said.
		if _, reread := w.reread(ctx, lost); reread != nil {
			err = reread
		}
	}
	if err == nil {
		return nil
	}
	switch end := abandon(err); {
	case end == stopPolicy:
		w.state.stop(err.Error())
		return nil
	case end == failPolicy, len(parts) > 1, ctx.Err() != nil:
		return err
	}
	w.failTenant(parts[0].Tenant, err)
	return nil
}

// failTenant gives up a tenant whose rows cannot be deleted.
func (w *policyRun) failTenant(t *plan.TenantCutoff, err error) {
	name, why := deletion.TenantName(t.Key), pg.ErrorText(err)
	if names := w.plan.Firing(); len(names) > 0 && !errors.Is(err, deletion.ErrInterfered) {
		why += "; possibly caused by " + strings.Join(names, ", ")
	}
	w.state.failTenant(name, why)
	w.run.log.Debug("tenant failed", "policy", w.plan.Policy.Name, "tenant", name, "error", why)
}

func (w *policyRun) tenantFailed(key *string) bool {
	return w.state.tenantFailed(deletion.TenantName(key))
}

// refresh reads the hold and the retention of those tenants again that were read some time ago:
// at the start of every slice, and between the batches of a long one, so that a query of
// tenants is never older than 5 s. It returns those whose rows may be deleted. The others are
// asked about again the next time.
func (w *policyRun) refresh(ctx context.Context, tenants []*plan.TenantCutoff) (active map[*plan.TenantCutoff]bool, err error) {
	active = map[*plan.TenantCutoff]bool{}
	var stale []*plan.TenantCutoff
	for _, t := range tenants {
		if w.plan.NoTenant || time.Since(t.ReadAt) < sliceTime {
			active[t] = true
		} else {
			stale = append(stale, t)
		}
	}
	if len(stale) == 0 {
		return active, nil
	}
	found, err := w.reread(ctx, stale)
	maps.Copy(active, found)
	return active, err
}

// refreshParts returns the parts whose tenants' rows may be deleted.
func (w *policyRun) refreshParts(ctx context.Context, parts []*deletion.Part) ([]*deletion.Part, error) {
	tenants := make([]*plan.TenantCutoff, len(parts))
	for i, p := range parts {
		tenants[i] = p.Tenant
	}
	active, err := w.refresh(ctx, tenants)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(parts), func(p *deletion.Part) bool { return !active[p.Tenant] }), nil
}

// reread reads tenants again, and returns those whose rows may go.
func (w *policyRun) reread(ctx context.Context, tenants []*plan.TenantCutoff) (active map[*plan.TenantCutoff]bool, err error) {
	s := w.plan.TenantsSQL(w.scope(), tenants)
	twice := false
	err = w.run.withServer(ctx, func() error {
		active, twice = map[*plan.TenantCutoff]bool{}, false
		var ordinal, n int
		var may bool
		var cutoff *string
		return w.run.query(ctx, w.plan.ReadingPath(), searchTimeout, s, func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&ordinal, &n, &may, &cutoff}, func() error {
				twice = twice || n > 1
				if t := tenants[ordinal-1]; may && cutoff != nil {
					active[t], t.Cutoff, t.ReadAt = true, *cutoff, time.Now()
				}
				return nil
			})
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("reading tenants: %w", err)
	}
	if twice {
		return nil, preview.ErrKeyTwice
	}
	return active, nil
}
