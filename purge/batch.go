package purge

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/expiry"
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

// outcome is what became of candidates.
type outcome struct {
	roots     int64 // deleted
	rows      int64 // deleted over all tables
	kept      int64 // protected by a keeping edge
	remaining int64 // still expired: locked, busy, or kept by a trigger
	busy      bool  // some were left because of a lock: worth coming back for
}

func (o *outcome) add(x outcome) {
	o.roots += x.roots
	o.rows += x.rows
	o.kept += x.kept
	o.remaining += x.remaining
	o.busy = o.busy || x.busy
}

// batcher carries out batches of one policy, one transaction each, for one
// worker.
type batcher struct {
	worker int // its number
	run    *Run
	policy *policyRun
	plan   *plan.Plan
	seq    int64 // of the batch at hand, in the ledger
	size   int   // roots aimed at in the next batch
	// countFirst counts batches to come that count before they delete, after one that
	// turned out too large.
	countFirst int
	// slow tells that the last single root took longer than a batch may.
	slow bool
	// drainSize is how many rows the next batch of a drain may delete; 0: not
	// drained yet.
	drainSize int
}

func (b *batcher) scope() expiry.Scope { return b.policy.scope() }

// statementTimeout bounds a batch's statements: twice the time aimed at, which a
// smaller batch will keep. A single root gets what it needs.
func (b *batcher) statementTimeout(opts attemptOptions) time.Duration {
	switch {
	case opts.proven:
		return provenTime
	case opts.singleRoot:
		return time.Minute
	}
	return max(2*b.plan.Policy.Limits.Time, 100*time.Millisecond)
}

// lockKey is the advisory lock of one tenant of one policy.
func (b *batcher) lockKey(tenant *string) int64 {
	name := "reaper\x00" + b.plan.Policy.Name
	if tenant != nil {
		name += "\x00" + *tenant
	}
	sum := sha256.Sum256([]byte(name))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// counting are the options of a batch that counts before it deletes.
func (b *batcher) counting() attemptOptions {
	return attemptOptions{traversal: b.plan.Full, locked: true}
}

// delete deletes candidates of one tenant with all that depends on them, in as
// many transactions as it takes, and says what became of them. An error is
// either the tenant's (faultTenant, faultRetry) or the database's.
func (b *batcher) delete(ctx context.Context, t *plan.TenantCutoff, cands []candidate) (outcome, error) {
	if b.plan.Proven {
		return b.attempt(ctx, t, cands, attemptOptions{traversal: b.plan.Full, locked: true, proven: true})
	}
	return b.attempt(ctx, t, cands, b.ordinary())
}

// ordinary is the way that leaves the foreign key checks to PostgreSQL.
func (b *batcher) ordinary() attemptOptions {
	if b.countFirst > 0 {
		b.countFirst--
		return b.counting()
	}
	return attemptOptions{traversal: b.plan.Usual, locked: !b.plan.Usual.Simple() || b.plan.Watched()}
}

// attempt tries candidates until they are gone, or decide has said what else becomes of
// them.
func (b *batcher) attempt(ctx context.Context, t *plan.TenantCutoff, cands []candidate, opts attemptOptions) (outcome, error) {
	for a := (attempt{roots: len(cands), options: opts}); ; {
		if !b.policy.waitForGuards(ctx, b.worker) {
			return outcome{remaining: int64(len(cands))}, nil
		}
		if ok, err := b.policy.refresh(ctx, t); err != nil || !ok {
			return outcome{}, err
		}
		a.size, a.stepwise = b.size, b.policy.state.deletesStepwise()
		a.options.singleRoot = len(cands) == 1 && (a.try > 0 || b.slow)
		o, err := b.transaction(ctx, t, cands, a.options)
		if err == nil {
			return o, nil
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
			return b.drain(ctx, t, cands[0])
		case leaveRoots, leaveBusy:
			return outcome{remaining: int64(len(cands)), busy: d.action == leaveBusy}, nil
		default:
			return outcome{}, err
		}
	}
}

// countFirstBatches is how many batches count before they delete after one that was too large.
const countFirstBatches = 20

// prepare carries out what a decision says of what comes before the next try, or in its
// place.
func (b *batcher) prepare(ctx context.Context, err error, a attempt, d decision) {
	if d.action == awaitResume {
		b.policy.findByHand()
	}
	if d.told {
		b.run.tell(func(o Observer) { o.Retry(b.plan.Policy.Name, reasonOf(err)) })
	}
	if d.logged {
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

// change makes the options of the next try.
func (b *batcher) change(opts attemptOptions, c change) attemptOptions {
	switch c {
	case ordinaryChecks:
		return b.ordinary()
	case countFirst:
		return b.counting()
	case lockRoots:
		opts.locked = true
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

// transaction runs one batch, waiting for the server where it went away. A
// connection that is lost while committing is looked up in the ledger.
func (b *batcher) transaction(ctx context.Context, t *plan.TenantCutoff, cands []candidate, opts attemptOptions) (outcome, error) {
	return b.inTransaction(ctx, t, opts, func(tx *batchTx) (outcome, error) { return b.body(ctx, tx, t, cands, opts) })
}

// adapt aims the next batch at the time wanted, and below the rows it may hold:
// it grows by a fifth at most and shrinks in proportion.
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

// body deletes candidates in an open transaction.
func (b *batcher) body(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, cands []candidate, opts attemptOptions) (outcome, error) {
	keys := keysOf(cands, len(b.plan.Key))
	if !opts.locked {
		s := b.plan.DeleteRootsSQL(b.scope(), t, keys)
		var n int64
		batch := &pgx.Batch{}
		batch.Queue(s.String(), s.Args...).Exec(func(tag pgconn.CommandTag) error {
			n = tag.RowsAffected()
			return nil
		})
		b.queueCounters(batch, tx, opts)
		if err := pg.Send(ctx, tx.conn, batch); err != nil {
			return outcome{}, fmt.Errorf("deleting from %s: %w", b.plan.Root.Table.Name, err)
		}
		tx.countDeleted(b.plan.Root, n)
		o, err := b.stillDue(ctx, tx, t, keys, outcome{roots: n})
		// This DELETE has waited for every lock: what stays was kept by a trigger
		// or a rule, and will be again.
		o.busy = false
		return o, err
	}
	roots, lockedKeys, err := b.lockRoots(ctx, tx, t, keys)
	if err != nil {
		return outcome{}, err
	}
	o, err := b.deleteLocked(ctx, tx, t, roots, lockedKeys, opts)
	if err != nil {
		return outcome{}, err
	}
	return b.stillDue(ctx, tx, t, keys, o)
}

// stillDue counts the candidates that are still expired, when not all went.
func (b *batcher) stillDue(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, keys pg.Values, o outcome) (outcome, error) {
	if o.roots+o.kept >= int64(keys.Len()) {
		return o, nil
	}
	still, err := b.countRoots(ctx, tx, t, keys)
	if err != nil {
		return o, err
	}
	o.remaining = max(still-o.kept, 0)
	o.busy = o.remaining > 0
	return o, nil
}

// lockRoots locks the roots nobody else has, and gives them with their keys.
func (b *batcher) lockRoots(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, keys pg.Values) (*plan.Rows, pg.Values, error) {
	found, locked := plan.NewRows(b.plan.Root), pg.NewValues(len(b.plan.Key))
	if err := tx.read(ctx, b.plan.LockRootsSQL(b.scope(), t, keys), found.Scan(locked...)); err != nil {
		return nil, nil, fmt.Errorf("locking rows of %s: %w", b.plan.Root.Table.Name, err)
	}
	return found, locked, nil
}

// deleteLocked deletes locked roots: those that nothing keeps.
func (b *batcher) deleteLocked(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, roots *plan.Rows, keys pg.Values, opts attemptOptions) (o outcome, err error) {
	if roots.Len() == 0 {
		return o, nil
	}
	known, err := b.collectRoots(ctx, tx, roots, opts)
	if err != nil {
		return o, err
	}
	if b.plan.Keeps() {
		free, err := b.free(ctx, tx, known, roots.Len())
		if err != nil {
			return o, err
		}
		if o.kept = int64(roots.Len() - len(free)); o.kept > 0 {
			if len(free) == 0 {
				return o, nil
			}
			roots, keys = roots.Some(free), keys.Some(free)
			if known, err = b.collectRoots(ctx, tx, roots, opts); err != nil {
				return o, err
			}
		}
	}
	o.roots = int64(roots.Len())
	if opts.proven {
		return o, b.deleteProven(ctx, tx, t, known, keys)
	}
	return o, b.deleteKnown(ctx, tx, t, opts.traversal, known, keys)
}

// collectRoots collects what goes with roots. The proven way finds out how much
// that is by deleting it.
func (b *batcher) collectRoots(ctx context.Context, tx *batchTx, roots *plan.Rows, opts attemptOptions) (map[*plan.Node]*plan.Rows, error) {
	limit := b.plan.Policy.Limits.TotalRows
	known, err := b.collect(ctx, tx, opts.traversal, map[*plan.Node]*plan.Rows{b.plan.Root: roots}, limit)
	if err != nil || opts.proven {
		return known, err
	}
	return known, b.checkLimits(ctx, tx, opts.traversal, known, limit)
}

// countRoots counts the roots among keys that are expired now.
func (b *batcher) countRoots(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, keys pg.Values) (n int64, err error) {
	s := b.plan.CountRootsSQL(b.scope(), t, keys)
	if err := tx.row(ctx, s).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting what is left: %w", err)
	}
	return n, nil
}

// firstRoots is how many roots the first batch takes at most: nothing is known
// yet of how long they take, and caches are cold. It grows from there.
const firstRoots = 100

// firstSize is the size of the first batch, by what the planner knows of the
// dependents of one root.
func firstSize(p *plan.Plan) int {
	limits := p.Policy.Limits
	perRoot := preview.RowsPerRoot(p)
	return max(1, min(limits.Rows, limits.TotalRows, int(float64(limits.TotalRows)/perRoot*0.8), firstRoots))
}
