package purge

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// candidate is an expired root that a search found.
type candidate struct {
	key   []*string
	bytes int64
}

func keysOf(cands []candidate, columns int) pg.Values {
	v := pg.NewValues(columns)
	for _, c := range cands {
		for i := range v {
			v[i].Add(c.key[i])
		}
	}
	return v
}

// outcome is the result of deleting candidates.
type outcome struct {
	roots     int64 // deleted
	rows      int64 // deleted over all tables
	kept      int64 // protected by a keep edge
	remaining int64 // still expired: locked, busy, or kept by a trigger
	busy      bool  // some were skipped because of a lock; the next round retries them
	more      bool  // the root is still there and needs another batch
}

func (o *outcome) add(x outcome) {
	o.roots += x.roots
	o.rows += x.rows
	o.kept += x.kept
	o.remaining += x.remaining
	o.busy = o.busy || x.busy
}

// batcher runs the batches of one policy for one worker, one transaction each.
type batcher struct {
	worker int
	run    *Run
	policy *policyRun
	plan   *plan.Plan
	seq    int64 // of the current batch, in the ledger
	size   int   // target number of roots in the next batch
	// countFirst is how many of the next batches count before they delete. It is set after a
	// batch exceeded its limits.
	countFirst int
	// slow reports whether the last single root took longer than a batch may.
	slow bool
	// drainSize is how many rows the next batch of a drain may delete; 0: no drain yet.
	drainSize int
}

// lockKey is the advisory lock key of one tenant of one policy.
func (b *batcher) lockKey(tenant *string) int64 {
	name := "reaper\x00" + b.plan.Policy.Name
	if tenant != nil {
		name += "\x00" + *tenant
	}
	sum := sha256.Sum256([]byte(name))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// delete deletes candidates of one tenant and everything that depends on them, in as many
// transactions as needed. An error is either the tenant's (faultTenant, faultRetry) or the
// database's.
func (b *batcher) delete(ctx context.Context, t *plan.TenantCutoff, cands []candidate) (outcome, error) {
	opts := b.ordinary()
	if b.plan.Proven {
		opts = attemptOptions{method: proven, lockRoots: true}
	}
	return b.attempt(ctx, t, cands, opts)
}

// ordinary returns the options of a batch that leaves the foreign key checks to PostgreSQL.
// Where triggers or rules can fire, nothing is left to ON DELETE.
func (b *batcher) ordinary() attemptOptions {
	if b.countFirst > 0 {
		b.countFirst--
		return counting
	}
	if b.plan.Usual.Full {
		return counting
	}
	return attemptOptions{method: cascade, lockRoots: !b.plan.Usual.Simple()}
}

var (
	// counting is for a batch that counts before it deletes.
	counting = attemptOptions{method: closure, lockRoots: true}
	// draining is for a single root that is too large for one batch.
	draining = attemptOptions{method: drain, lockRoots: true, lockDependents: true}
)

// attempt retries candidates until they are deleted or decide settles on something else.
func (b *batcher) attempt(ctx context.Context, t *plan.TenantCutoff, cands []candidate, opts attemptOptions) (total outcome, err error) {
	for a := (attempt{roots: len(cands), options: opts}); ; {
		if !b.policy.waitForGuards(ctx, b.worker) {
			total.remaining += int64(len(cands))
			return total, nil
		}
		if ok, err := b.policy.refresh(ctx, t); err != nil || !ok {
			return total, err
		}
		a.size, a.stepwise = b.size, b.policy.state.deletesStepwise()
		a.options.singleRoot = len(cands) == 1 && (a.try > 0 || b.slow)
		o, err := b.transaction(ctx, t, cands, a.options)
		if err == nil {
			total.add(o)
			if !o.more {
				return total, nil
			}
			a.try = 0
			continue
		}
		d := decide(err, a)
		b.prepare(ctx, err, a, d)
		switch d.action {
		case awaitGuards, awaitResume:
		case retryBatch:
			a.options = b.change(a.options, d.change)
			a.try++
		case splitBatch:
			return b.halves(ctx, t, cands, b.change(a.options, d.change))
		case drainRoot:
			a = attempt{roots: 1, options: draining}
		case leaveRoots, leaveBusy:
			total.add(outcome{remaining: int64(len(cands)), busy: d.action == leaveBusy})
			return total, nil
		default:
			return total, err
		}
	}
}

// countFirstBatches is how many batches count before they delete after one exceeded its limits.
const countFirstBatches = 20

// prepare does what a decision asks for before the next attempt, or instead of it.
func (b *batcher) prepare(ctx context.Context, err error, a attempt, d decision) {
	if d.action == awaitResume {
		b.policy.notePausedByHand()
	}
	if d.notify {
		b.run.notify(func(o Observer) { o.Retry(b.plan.Policy.Name, reasonOf(err)) })
	}
	if d.log {
		b.run.log.Debug("retrying batch", "policy", b.plan.Policy.Name, "roots", a.roots, "error", pg.ErrorText(err))
	}
	b.size = d.size
	if d.countFirst {
		b.countFirst = countFirstBatches
	}
	if d.backoff {
		b.run.sleep(ctx, b.run.backoff(a.try))
	}
}

// change returns the options of the next attempt.
func (b *batcher) change(opts attemptOptions, c change) attemptOptions {
	switch c {
	case ordinaryChecks:
		return b.ordinary()
	case countFirst:
		return counting
	case lockRoots:
		opts.lockRoots = true
	case lockDependents:
		opts.lockDependents = true
	case tableByTable:
		b.policy.state.deleteStepwise()
	}
	return opts
}

func (b *batcher) halves(ctx context.Context, t *plan.TenantCutoff, cands []candidate, opts attemptOptions) (outcome, error) {
	var total outcome
	middle := len(cands) / 2
	for _, half := range [][]candidate{cands[:middle], cands[middle:]} {
		o, err := b.attempt(ctx, t, half, opts)
		total.add(o)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// adapt sets the size of the next batch from the target time and the row limits. It grows by at
// most a fifth and shrinks in proportion.
func (b *batcher) adapt(o outcome, took time.Duration) {
	limits, roots := b.plan.Policy.Limits, o.roots
	b.slow = roots == 1 && took > 2*limits.Time
	if roots == 0 {
		return
	}
	switch ratio := float64(limits.Time) / float64(took); {
	case ratio < 1:
		b.size = max(int(float64(roots)*max(ratio, 0.5)), 1)
	case int(roots) >= b.size:
		b.size = b.size + b.size/5 + 1
	}
	fit := b.rows() * roots / max(o.rows, roots)
	b.size = max(min(b.size, limits.Rows, int(fit-fit/10)), 1)
}

// firstRoots is the most roots the first batch takes: nothing is known yet about how long they
// take, and caches are cold. The size grows from there.
const firstRoots = 100

// firstSize is the size of the first batch, from the planner's estimate of dependents per root.
func firstSize(p *plan.Plan) int {
	limits := p.Policy.Limits
	perRoot := preview.RowsPerRoot(p)
	return max(1, min(limits.Rows, limits.TotalRows, int(float64(limits.TotalRows)/perRoot*0.8), firstRoots))
}

// adaptDrain sets the size of the next batch of a drain from the target time; it at most
// doubles or halves. With a cycle of tables, finding the far end costs the same however few
// rows are deleted, so a smaller batch would be no faster.
func (b *batcher) adaptDrain(size int, took time.Duration) {
	limits := b.plan.Policy.Limits
	if slices.ContainsFunc(b.plan.Full.Order, plan.Cyclic) {
		return
	}
	ratio := min(max(float64(limits.Time)/float64(took+1), 0.5), 2)
	b.drainSize = min(max(int(float64(size)*ratio), 100), limits.TotalRows)
}
