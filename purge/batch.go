package purge

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/schema"
)

// candidate is an expired root that a search found.
type candidate struct {
	key   []*string
	bytes int64
}

func keysOf(cands []candidate, columns int) values {
	v := newValues(columns)
	for _, c := range cands {
		for i := range v {
			v[i].add(c.key[i])
		}
	}
	return v
}

// outcome is what became of candidates.
type outcome struct {
	roots int64 // deleted
	rows  int64 // deleted over all tables
	kept  int64 // protected by a keeping edge
	left  int64 // still expired: locked, busy, or kept by a trigger
	busy  bool  // some were left because of a lock: worth coming back for
}

func (o *outcome) add(x outcome) {
	o.roots += x.roots
	o.rows += x.rows
	o.kept += x.kept
	o.left += x.left
	o.busy = o.busy || x.busy
}

// way is how a batch is tried.
type way struct {
	mode   *mode
	locked bool // lock the roots first, skipping locked ones
	proven bool // skip the redundant foreign key checks
	// firm locks the dependents as well where a foreign key would tell, by an
	// error, that something came to reference them: after it has.
	firm bool
	// long lets statements run for as long as a single root may need.
	long bool
}

// batcher carries out batches of one policy, one transaction each, for one
// worker.
type batcher struct {
	worker int // its number
	run    *Run
	work   *work
	plan   *Plan
	seq    int64 // of the batch at hand, in the ledger
	size   int   // roots aimed at in the next batch
	// wary counts batches to come that count before they delete, after one that
	// turned out too large.
	wary int
	// slow tells that the last single root took longer than a batch may.
	slow bool
	// drainSize is how many rows the next batch of a drain may delete; 0: not
	// drained yet.
	drainSize int
}

func (b *batcher) scope() scope { return b.work.scope() }

// statementTimeout bounds a batch's statements: twice the time aimed at, which a
// smaller batch will keep. A single root gets what it needs.
func (b *batcher) statementTimeout(w way) time.Duration {
	switch {
	case w.proven:
		return provenTime
	case w.long:
		return time.Minute
	}
	return max(2*b.plan.Policy.Limits.Time, 100*time.Millisecond)
}

// lockTimeout bounds a wait for a lock.
func (p *Plan) lockTimeout() time.Duration { return min(p.Policy.Limits.Time, 500*time.Millisecond) }

// lockKey is the advisory lock of one tenant of one policy.
func (b *batcher) lockKey(tenant *string) int64 {
	name := "reaper\x00" + b.plan.Policy.Name
	if tenant != nil {
		name += "\x00" + *tenant
	}
	sum := sha256.Sum256([]byte(name))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// delete deletes candidates of one tenant with all that depends on them, in as
// many transactions as it takes, and says what became of them. An error is
// either the tenant's (faultTenant, faultRetry) or the database's.
func (b *batcher) delete(ctx context.Context, t *who, cands []candidate) (outcome, error) {
	if b.plan.proven {
		return b.attempt(ctx, t, cands, way{mode: b.plan.modes.full, locked: true, proven: true})
	}
	return b.attempt(ctx, t, cands, b.ordinary())
}

// ordinary is the way that leaves the foreign key checks to PostgreSQL.
func (b *batcher) ordinary() way {
	if b.wary > 0 {
		b.wary--
		return way{mode: b.plan.modes.full, locked: true}
	}
	return way{mode: b.plan.modes.usual, locked: !b.plan.modes.usual.simple() || b.plan.watched()}
}

// retries is how often one root alone is tried before its tenant fails.
const retries = 4

// passing tells that others are at the rows: they are left, soon, and come back
// for in the next round.
func passing(err error) bool {
	return isCode(err, "55P03", "40P01") || errors.Is(err, errChanged)
}

// tooSlow tells that a batch did not end in its time.
func tooSlow(err error) bool { return isCode(err, "57014") || errors.Is(err, errSlow) }

func (b *batcher) attempt(ctx context.Context, t *who, cands []candidate, w way) (outcome, error) {
	for try := 0; ; try++ {
		if !b.work.waitForGuards(ctx, b.worker) {
			return outcome{left: int64(len(cands))}, nil
		}
		if ok, err := b.work.refresh(ctx, t); err != nil || !ok {
			return outcome{}, err
		}
		w.long = len(cands) == 1 && (try > 0 || b.slow)
		o, err := b.transaction(ctx, t, cands, w)
		if err == nil {
			return o, nil
		}
		if errors.Is(err, errBusy) {
			return outcome{left: int64(len(cands)), busy: true}, nil
		}
		if errors.Is(err, errHandPaused) || errors.Is(err, errGuarded) {
			b.found(err)
			try--
			continue
		}
		if w.proven && (errors.Is(err, errUnproven) || len(cands) == 1 && tooSlow(err)) {
			b.retried(err)
			w = b.ordinary()
			continue
		}
		if errors.Is(err, errOverflow) {
			b.retried(err)
			b.size = max(len(cands)/2, 1)
			if !w.proven {
				b.wary = 20
			}
			switch {
			case !w.mode.full:
				w = way{mode: b.plan.modes.full, locked: true}
				continue
			case len(cands) > 1:
				return b.halves(ctx, t, cands, w)
			}
			return b.drain(ctx, t, cands[0])
		}
		if errors.Is(err, errKept) {
			if len(cands) > 1 {
				return b.halves(ctx, t, cands, w)
			}
			return outcome{left: 1}, nil
		}
		if b.onebyone(err) {
			b.retried(err)
			continue
		}
		kind := classify(err)
		if kind == faultDatabase || kind == faultPolicy {
			return outcome{}, err // transaction has waited for the server already
		}
		b.retried(err)
		b.run.log.Debug("retrying batch", "policy", b.plan.Policy.Name, "roots", len(cands), "error", plain(err))
		if isCode(err, "55P03") && !w.locked {
			w.locked = true
			continue
		}
		if (isCode(err, "23503", "23001") || errors.Is(err, errChanged)) && !w.firm {
			w.firm = true
			continue
		}
		if isCode(err, "57014") && !w.mode.full {
			// Too slow as a whole: count before deleting, and drain what is large.
			b.wary = 20
			w = way{mode: b.plan.modes.full, locked: true}
		}
		if len(cands) > 1 {
			b.size = max(b.size/2, 1)
			if kind == faultRetry {
				b.run.sleep(ctx, b.run.backoff(try))
			}
			return b.halves(ctx, t, cands, w)
		}
		if kind == faultTenant {
			return outcome{}, err
		}
		if try > 0 && passing(err) {
			return outcome{left: 1, busy: true}, nil
		}
		if try >= retries {
			return outcome{}, err
		}
		b.run.sleep(ctx, b.run.backoff(try))
	}
}

// onebyone has the policy's tables deleted from one after the other from now on, when a
// trigger has changed a row that the same statement was about to delete; false: that
// is not it, or was done already.
func (b *batcher) onebyone(err error) bool {
	if !isCode(err, "27000") || b.work.state.deletesStepwise() {
		return false
	}
	b.work.state.deleteStepwise()
	return true
}

// found notes what a batch has found to stand against it, before it is tried again.
func (b *batcher) found(err error) {
	if errors.Is(err, errHandPaused) {
		b.work.findByHand()
	}
}

// retried tells that a batch is tried again.
func (b *batcher) retried(err error) {
	b.run.tell(func(o Observer) { o.Retry(b.plan.Policy.Name, reasonOf(err)) })
}

func (b *batcher) halves(ctx context.Context, t *who, cands []candidate, w way) (outcome, error) {
	var total outcome
	middle := len(cands) / 2
	for _, half := range [][]candidate{cands[:middle], cands[middle:]} {
		o, err := b.attempt(ctx, t, half, w)
		total.add(o)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// transaction runs one batch, waiting for the server where it went away. A
// connection that is lost while committing is looked up in the ledger.
func (b *batcher) transaction(ctx context.Context, t *who, cands []candidate, w way) (outcome, error) {
	return b.inTransaction(ctx, t, w, func(tx *batchTx) (outcome, error) { return b.body(ctx, tx, t, cands, w) })
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

// leaves are the tables that hold a node's rows.
func (p *Plan) leaves(n *Node) []uint32 {
	if n.Table.Kind == schema.Partitioned {
		return p.graph.Family(n.Table.OID)
	}
	return []uint32{n.Table.OID}
}

// body deletes candidates in an open transaction.
func (b *batcher) body(ctx context.Context, tx *batchTx, t *who, cands []candidate, w way) (outcome, error) {
	keys := keysOf(cands, len(b.plan.key))
	if !w.locked {
		s := b.plan.deleteRootsSQL(b.scope(), t, keys)
		var n int64
		batch := &pgx.Batch{}
		batch.Queue(s.String(), s.args...).Exec(func(tag pgconn.CommandTag) error {
			n = tag.RowsAffected()
			return nil
		})
		b.queueCounters(batch, tx, w)
		if err := send(ctx, tx.conn, batch); err != nil {
			return outcome{}, fmt.Errorf("deleting from %s: %w", b.plan.Root.Table.Name, err)
		}
		tx.count(b.plan.Root, n)
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
	o, err := b.deleteLocked(ctx, tx, t, roots, lockedKeys, w)
	if err != nil {
		return outcome{}, err
	}
	return b.stillDue(ctx, tx, t, keys, o)
}

// stillDue counts the candidates that are still expired, when not all went.
func (b *batcher) stillDue(ctx context.Context, tx *batchTx, t *who, keys values, o outcome) (outcome, error) {
	if o.roots+o.kept >= int64(keys.len()) {
		return o, nil
	}
	still, err := b.countRoots(ctx, tx, t, keys)
	if err != nil {
		return o, err
	}
	o.left = max(still-o.kept, 0)
	o.busy = o.left > 0
	return o, nil
}

// lockRoots locks the roots nobody else has, and gives them with their keys.
func (b *batcher) lockRoots(ctx context.Context, tx *batchTx, t *who, keys values) (*rowsOf, values, error) {
	found, locked := newRows(b.plan.Root), newValues(len(b.plan.key))
	if err := tx.read(ctx, b.plan.lockRootsSQL(b.scope(), t, keys), found.scan(locked...)); err != nil {
		return nil, nil, fmt.Errorf("locking rows of %s: %w", b.plan.Root.Table.Name, err)
	}
	return found, locked, nil
}

// deleteLocked deletes locked roots: those that nothing keeps.
func (b *batcher) deleteLocked(ctx context.Context, tx *batchTx, t *who, roots *rowsOf, keys values, w way) (o outcome, err error) {
	if roots.len() == 0 {
		return o, nil
	}
	known, err := b.collectRoots(ctx, tx, roots, w)
	if err != nil {
		return o, err
	}
	if b.plan.keeps() {
		free, err := b.free(ctx, tx, known, roots.len())
		if err != nil {
			return o, err
		}
		if o.kept = int64(roots.len() - len(free)); o.kept > 0 {
			if len(free) == 0 {
				return o, nil
			}
			roots, keys = roots.some(free), keys.some(free)
			if known, err = b.collectRoots(ctx, tx, roots, w); err != nil {
				return o, err
			}
		}
	}
	o.roots = int64(roots.len())
	if w.proven {
		return o, b.deleteProven(ctx, tx, t, known, keys)
	}
	return o, b.deleteKnown(ctx, tx, t, w.mode, known, keys)
}

// collectRoots collects what goes with roots. The proven way finds out how much
// that is by deleting it.
func (b *batcher) collectRoots(ctx context.Context, tx *batchTx, roots *rowsOf, w way) (map[*Node]*rowsOf, error) {
	limit := b.plan.Policy.Limits.TotalRows
	known, err := b.collect(ctx, tx, w.mode, map[*Node]*rowsOf{b.plan.Root: roots}, limit)
	if err != nil || w.proven {
		return known, err
	}
	return known, b.weigh(ctx, tx, w.mode, known, limit)
}

// countRoots counts the roots among keys that are expired now.
func (b *batcher) countRoots(ctx context.Context, tx *batchTx, t *who, keys values) (n int64, err error) {
	s := b.plan.countRootsSQL(b.scope(), t, keys)
	if err := tx.row(ctx, s).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting what is left: %w", err)
	}
	return n, nil
}
