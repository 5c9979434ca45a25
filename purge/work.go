package purge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
)

// sliceTime is about how long one tenant is worked on before the next one's
// turn. It stays below the 5 s after which a query of tenants is read again.
const sliceTime = 2 * time.Second

// namedTenants is how many skipped or failed tenants a reason names.
const namedTenants = 10

// work is one policy of a run: its batches, its walk, its report. What its workers
// change is in its state.
type work struct {
	run      *Run
	plan     *Plan
	state    *policyState
	report   *PolicyReport // nil until the workers have ended
	batchers []*batcher    // one a worker
	started  time.Time
	opened   bool
	walk     walk     // its schedule's mutex guards it
	skipped  []string // names of skipped tenants
	latest   string   // of those cutoffs, as text
	behind   int64    // tenants with something due at the end
	fixed    int64    // tenants whose cutoffs were settled at the start
	parts    partitionsWork
	sizing   sizing
	telling  sync.Mutex // of what the guards say
}

func newWork(r *Run, p *Plan) *work {
	strategy, _ := p.shown(r.opts.Selection())
	report := &PolicyReport{Name: p.Policy.Name, Status: Complete, Strategy: strategy, Rows: map[string]int64{}, Partitions: []string{}}
	for _, n := range p.Nodes {
		if n.Deleted {
			report.Rows[n.Table.Name.String()] = 0
		}
	}
	w := &work{run: r, plan: p, state: r.state.addPolicy(report), started: time.Now()}
	if p.unplanned != nil {
		w.fail(p.unplanned)
	}
	for i := range r.workers {
		if p.unplanned != nil {
			break
		}
		w.batchers = append(w.batchers, &batcher{worker: i, run: r, work: w, plan: p, size: firstSize(p)})
	}
	return w
}

func (w *work) ended() bool { return w.state.failure() != nil }

func (w *work) fail(err error) { w.state.fail(err) }

// open records the run in the ledger before anything is deleted.
func (w *work) open(ctx context.Context) {
	err := w.run.withServer(ctx, func() error {
		return w.run.ledger.OpenRun(ctx, w.run.pool, w.run.id, w.plan.Policy.Name, w.run.opts.Trigger, w.run.base)
	})
	if err != nil {
		w.fail(fmt.Errorf("opening the run in the ledger: %w", err))
		return
	}
	w.opened = true
}

// countTenants looks at all tenants once: how many are held, forever and
// skipped, and whether the list of them can be trusted at all.
func (w *work) countTenants(ctx context.Context) {
	s := w.plan.countTenantsSQL(w.scope())
	var all, distinct, longest int64
	var c TenantCounts
	err := w.run.withServer(ctx, func() error {
		if err := w.run.query(ctx, w.plan.readingPath(), listTimeout, s, scanOne(&all, &distinct, &longest, &c.Held, &c.Forever, &c.Skipped)); err != nil || c.Skipped == 0 || w.plan.noTenant {
			return err
		}
		return w.nameSkipped(ctx)
	})
	w.state.setTenants(c.Held, c.Forever, c.Skipped)
	switch {
	case errors.Is(err, errHalted):
	case err != nil:
		w.fail(fmt.Errorf("reading tenants: %w", err))
	case w.plan.noTenant:
		if c.Skipped > 0 {
			w.skipped = []string{"all rows (retention " + w.plan.constantRetention() + ")"}
		}
	default:
		if err := w.plan.trust(all, distinct, longest); err != nil {
			w.fail(err)
		}
	}
}

// nameSkipped reads some of the tenants that are skipped, and what makes them so.
func (w *work) nameSkipped(ctx context.Context) error {
	return w.run.query(ctx, w.plan.readingPath(), listTimeout, w.plan.skippedTenantsSQL(w.scope(), namedTenants), scanOne(&w.skipped))
}

// scope is what the run reads of the tenants: all, or those of --tenant.
func (w *work) scope() scope {
	return scope{base: w.run.base, only: w.run.opts.Tenants, olderThan: w.run.opts.OlderThan, run: w.run.id, cutoffs: w.run.ledger.Cutoffs(), whereFailed: w.state.planWithoutWhere() != nil}
}

func (w *work) startPass() {
	w.state.startPass()
	if w.plan.sweeps() {
		w.walk = &sweep{work: w, open: map[string]bool{}, busy: map[string]bool{}}
	} else {
		w.walk = &keyset{work: w, open: map[string]bool{}}
	}
}

// countAfter is how long a run has to last until what is due is counted: who
// watches a shorter one learns nothing from it.
const countAfter = 2 * time.Second

// countOnce counts what was due at the start, once that is worth it. The worker
// does it between two turns: the connection beside the batches is for the guards.
func (w *work) countOnce(ctx context.Context) {
	now, gone := w.state.tellDue(w.started, countAfter)
	if !now {
		return
	}
	due := w.countDue(ctx)
	if due >= 0 {
		due += gone
	}
	w.run.tell(func(o Observer) { o.Due(w.plan.Policy.Name, due) })
}

// delete hands candidates to a batcher, keeps the count, and gives up a tenant
// whose rows cannot be deleted. An error is the database's.
func (w *work) delete(ctx context.Context, b *batcher, t *TenantCutoff, cands []candidate) (outcome, error) {
	o, err := b.delete(ctx, t, cands)
	if lost := w.state.addOutcome(o, len(cands), err != nil); lost && !w.plan.noTenant {
		// Some are no longer expired. If that is because the tenant's key has come
		// to be there twice, it must be said.
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
	if names := w.plan.firing(); len(names) > 0 && !errors.Is(err, errInterfered) {
		why += "; what can have a part in it: " + strings.Join(names, ", ")
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

func (w *work) gaveUp(key *string) bool { return w.state.gaveUp(tenantName(key)) }

// refresh reads a tenant's hold and retention again: at the start of every
// slice, and between the batches of a long one, so that a query of tenants is
// never older than 5 s. false: nothing of the tenant may go any more.
func (w *work) refresh(ctx context.Context, t *TenantCutoff) (bool, error) {
	if w.plan.noTenant || time.Since(t.ReadAt) < sliceTime {
		return true, nil
	}
	return w.reread(ctx, t)
}

func (w *work) reread(ctx context.Context, t *TenantCutoff) (bool, error) {
	s := w.plan.tenantSQL(w.scope(), t)
	var n int
	var active bool
	var cutoff *string
	err := w.run.withServer(ctx, func() error {
		return w.run.query(ctx, w.plan.readingPath(), searchTimeout, s, scanOne(&n, &active, &cutoff))
	})
	if err != nil {
		return false, fmt.Errorf("reading tenants: %w", err)
	}
	if n > 1 {
		return false, errKeyTwice
	}
	if !active {
		return false, nil
	}
	t.Cutoff, t.ReadAt = *cutoff, time.Now()
	return true, nil
}
