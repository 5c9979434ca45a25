package purge

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/search"
)

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
	// copied is what the batch may delete, where the policy has an archive; tables describes them.
	copied *copied
	tables deletion.Tables
	// drainSize is how many rows the next batch of a drain, or piece of a root, may have; 0: no drain
	// yet.
	drainSize int
}

// lockKey is the advisory lock key of one tenant of the policy.
func (b *batcher) lockKey(tenant *string) int64 { return LockKey(b.plan.Policy.Name, tenant) }

// LockKey is the advisory lock key under which rows of one tenant of a policy are deleted; nil: of a
// policy without tenants.
func LockKey(policy string, tenant *string) int64 {
	name := "reaper\x00" + policy
	if tenant != nil {
		name += "\x00" + *tenant
	}
	sum := sha256.Sum256([]byte(name))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

func (b *batcher) lockKeys(parts []*deletion.Part) []int64 {
	keys := make([]int64, len(parts))
	for i, p := range parts {
		keys[i] = b.lockKey(p.Tenant.Key)
	}
	return keys
}

// delete deletes the candidates of tenants with all that depends on them, in as
// many transactions as it takes; the parts' outcomes say what became of them. An error is
// either the one tenant's (faultTenant, faultRetry) or the database's.
func (b *batcher) delete(ctx context.Context, parts []*deletion.Part) error {
	opts := b.ordinary()
	if b.plan.Proven {
		opts = deletion.Options{Method: deletion.Proven, LockRoots: true}
	}
	opts.Together = b.together(opts)
	return b.attempt(ctx, parts, opts)
}

// ordinary returns the options of a batch that leaves the foreign key checks to PostgreSQL.
// Where triggers or rules can fire, nothing is left to ON DELETE.
func (b *batcher) ordinary() deletion.Options {
	if b.countFirst > 0 && b.plan.Whole == nil {
		b.countFirst--
		return counting
	}
	return b.usual()
}

// usual is ordinary, where no batch has exceeded its limits.
func (b *batcher) usual() deletion.Options {
	switch {
	case b.plan.Whole != nil:
		return archiving
	case b.plan.Usual.Full:
		return counting
	}
	return deletion.Options{Method: deletion.Cascade, LockRoots: !b.plan.Usual.Simple()}
}

// lockFirst reports whether batches usually lock the roots before they delete them, and
// collect what depends on them.
func (b *batcher) lockFirst() bool { return b.plan.Proven || b.usual().LockRoots }

// together reports whether the statements of a batch are those of all its tenants.
func (b *batcher) together(opts deletion.Options) bool {
	switch {
	case opts.Method == deletion.Closure || b.policy.state.deletesStepwise():
		return false
	case opts.LockRoots:
		return b.plan.Together()
	}
	return b.plan.Server.Loops && !b.plan.RootsHeld()
}

// paysPerTenant reports whether each tenant of the next batch costs it some ten statements.
func (b *batcher) paysPerTenant() bool {
	return b.lockFirst() && (b.countFirst > 0 || !b.plan.Together())
}

// takesRanges reports whether the next batch may delete roots whose keys nobody has read.
func (b *batcher) takesRanges() bool {
	return (!b.lockFirst() || b.plan.Together()) && b.countFirst == 0 && search.HasRanges(b.plan) && b.run.opts.MaxRows == 0
}

var (
	// counting is for a batch that counts before it deletes.
	counting = deletion.Options{Method: deletion.Closure, LockRoots: true}
	// draining is for a single root that is too large for one batch.
	draining = deletion.Options{Method: deletion.Drain, LockRoots: true, LockDependents: true}
)

// attempt tries candidates until they are gone, or decide has settled what else becomes of
// them.
func (b *batcher) attempt(ctx context.Context, parts []*deletion.Part, opts deletion.Options) error {
	shared := len(parts) > 1
	for a := (attempt{options: opts}); len(parts) > 0; {
		if !b.policy.waitForGuards(ctx, b.worker) {
			deletion.LeaveAll(parts, false)
			return nil
		}
		parts = slices.DeleteFunc(slices.Clone(parts), func(p *deletion.Part) bool { return p.Elsewhere })
		active, err := b.policy.refreshParts(ctx, parts)
		if err != nil || len(active) == 0 {
			return err
		}
		parts = active
		a.tenants, a.roots = len(parts), deletion.CountRoots(parts)
		a.size, a.stepwise = b.size, b.policy.state.deletesStepwise()
		a.divides, a.piece = b.plan.Whole != nil && !b.plan.Keeps(), b.pieceLimit(a.options)
		if a.options.Together = a.options.Together && a.tenants > 1; a.options.LockRoots && !a.options.Together {
			if parts, err = b.policy.readKeys(ctx, parts); err != nil || len(parts) == 0 {
				return err
			}
		}
		a.options.SingleRoot = a.roots == 1 && (a.try > 0 || b.slow)
		more, err := b.once(ctx, parts, a.options)
		if err == nil && !more {
			return nil
		}
		if err == nil {
			a.try = 0
			continue
		}
		d := decide(err, a)
		b.prepare(ctx, err, a, d)
		if d.retries() {
			var failed error
			if parts, failed = b.policy.readKeys(ctx, parts); failed != nil {
				return failed
			}
		}
		switch d.action {
		case awaitGuards, awaitResume:
		case retryBatch:
			a.options = b.change(a.options, d.change)
			a.try++
		case isolateTenant:
			parts = isolate(parts, err)
			a = attempt{options: opts}
		case splitTenants:
			return b.splitTenants(ctx, parts, opts)
		case splitBatch:
			return setAside(ctx, parts, shared, b.splitRoots(ctx, parts[0], b.change(a.options, d.change)))
		case drainRoot:
			if a = (attempt{options: draining}); b.plan.Whole != nil {
				a.options = archivingPieces
			}
		case leaveRoots, leaveBusy:
			if errors.Is(err, errBusy) {
				deletion.LeaveElsewhere(parts)
			} else {
				deletion.LeaveAll(parts, d.action == leaveBusy)
			}
			return nil
		case leaveUncopied:
			b.policy.state.leaveUncopied(parts[0], err)
			deletion.LeaveAll(parts, contended(err))
			return nil
		default:
			return setAside(ctx, parts, shared, err)
		}
	}
	return nil
}

// setAside leaves the last of several tenants to batches of its own if it has failed: what
// else there is of it may still be deleted. Any other error is the caller's.
func setAside(ctx context.Context, parts []*deletion.Part, shared bool, err error) error {
	if err != nil && shared && len(parts) == 1 && abandon(err) == failTenant && ctx.Err() == nil {
		parts[0].Alone = true
		return nil
	}
	return err
}

// isolate sets the tenant aside that an error names: its rows are left to batches of its
// own. It returns the others.
func isolate(parts []*deletion.Part, err error) []*deletion.Part {
	named, _ := errors.AsType[*deletion.TenantError](err)
	return slices.DeleteFunc(slices.Clone(parts), func(p *deletion.Part) bool {
		p.Alone = p.Alone || p.Tenant == named.Tenant
		return p.Tenant == named.Tenant
	})
}

// splitTenants tries the halves of the tenants, one after the other. One that is left by
// itself, and fails, has failed alone.
func (b *batcher) splitTenants(ctx context.Context, parts []*deletion.Part, opts deletion.Options) error {
	middle := len(parts) / 2
	for _, half := range [][]*deletion.Part{parts[:middle], parts[middle:]} {
		if err := setAside(ctx, half, true, b.attempt(ctx, half, opts)); err != nil {
			return err
		}
	}
	return nil
}

// splitRoots tries the halves of one tenant's candidates, one after the other.
func (b *batcher) splitRoots(ctx context.Context, p *deletion.Part, opts deletion.Options) error {
	middle := len(p.Candidates) / 2
	for _, half := range [][]deletion.Candidate{p.Candidates[:middle], p.Candidates[middle:]} {
		h := deletion.NewPart(p.Tenant, half)
		err := b.attempt(ctx, []*deletion.Part{h}, opts)
		p.Outcome.Add(h.Outcome)
		if err != nil {
			return err
		}
	}
	return nil
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
	if d.piece > 0 {
		b.drainSize = d.piece
	}
	if d.countFirst {
		b.countFirst = countFirstBatches
	}
	if d.backoff {
		b.run.sleep(ctx, b.run.backoff(a.try))
	}
}

// change returns the options of the next attempt.
func (b *batcher) change(opts deletion.Options, c change) deletion.Options {
	switch c {
	case ordinaryChecks:
		return b.ordinary()
	case countFirst:
		return counting // never of a policy with an archive: see decide
	case lockRoots:
		opts.LockRoots = true
	case lockDependents:
		opts.LockDependents = true
	case separately:
		opts.Together = false
	case tableByTable:
		b.policy.state.deleteStepwise()
	}
	return opts
}

// adapt aims the next batch at the time wanted, and below the rows it may hold:
// far from that time it doubles, or has four times as many where a batch takes a tenth of it;
// near it, it grows by a fifth, and shrinks in proportion. A step of a cohort seldom finds
// exactly as many roots as were asked for.
func (b *batcher) adapt(o deletion.Outcome, took time.Duration) {
	limits, roots := b.plan.Policy.Limits, o.Roots
	b.slow = roots == 1 && took > 2*limits.Time
	if roots == 0 {
		return
	}
	full := int(roots) >= b.size-b.size/4
	switch ratio := float64(limits.Time) / float64(took); {
	case ratio < 1:
		b.size = max(int(float64(roots)*max(ratio, 0.5)), 1)
	case full && ratio > 10:
		b.size *= 4
	case full && ratio > 2:
		b.size *= 2
	case int(roots) >= b.size:
		b.size = b.size + b.size/5 + 1
	}
	fit := b.rows() * roots / max(o.Rows, roots)
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
