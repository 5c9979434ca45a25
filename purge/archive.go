package purge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/pg"
)

// Rows of a policy with an archive go in three steps. A snapshot of its own reads which rows a batch
// deletes and empties, and writes them into a segment on this machine. Then, outside of any
// transaction, the store takes the segment and confirms it. Then the batch deletes what was copied,
// if nothing of it has changed (deletion/archived.go). With the batch the ledger commits which roots
// went; that list goes into the store next. Whoever finds a list in the ledger that the store lacks
// writes it: a process may have died in between. A segment without a list stays unused, and
// restoring ignores it.

// errArchive: the archive, or the disk of this machine, did not take something.
var errArchive = errors.New("archiving")

// sendTimeout bounds one attempt to give something to the store.
const sendTimeout = 2 * time.Minute

// archiving is how batches of a policy with an archive delete.
var archiving = deletion.Options{Method: deletion.Archived, LockRoots: true, LockDependents: true}

// archivingPieces is that for a single root that is too large for one batch, or one segment.
var archivingPieces = deletion.Options{Method: deletion.Archived, LockRoots: true, LockDependents: true, Piecewise: true}

// copied is what the current batch may delete, and the object that has the copy.
type copied struct {
	*deletion.Copy
	object archive.Object
	list   []byte // of the roots that went
}

// once tries a batch once.
func (b *batcher) once(ctx context.Context, parts []*deletion.Part, opts deletion.Options) (more bool, err error) {
	if opts.Method != deletion.Archived {
		return b.transaction(ctx, parts, opts)
	}
	segment, found, err := b.copy(ctx, parts, b.pieceLimit(opts))
	if err != nil {
		return false, err
	}
	defer segment.Discard()
	b.copied = &copied{Copy: found}
	defer func() { b.copied = nil }()
	if !found.Empty() {
		if err := b.send(ctx, segment); err != nil {
			return false, err
		}
		// That may have taken a while. What changed in the rows themselves the batch will see.
		active, err := b.policy.refreshParts(ctx, parts)
		if err != nil {
			return false, err
		}
		if len(active) < len(parts) || b.run.guardsForbid(b.plan.Policy.Name) {
			return false, errGuarded
		}
	}
	if more, err = b.transaction(ctx, parts, opts); err != nil || b.copied.list == nil {
		return more, err
	}
	if err := b.policy.writeList(ctx, b.run.shared.yieldSlot, b.copied.list); err != nil {
		b.policy.state.setUnlisted(err)
	}
	return more, nil
}

// pieceLimit is how many rows a piece of a root may have; 0: roots go whole.
func (b *batcher) pieceLimit(opts deletion.Options) int {
	switch {
	case !opts.Piecewise:
		return 0
	case b.drainSize > 0:
		return b.drainSize
	}
	return b.plan.Policy.Limits.TotalRows
}

// copy reads what a batch deletes into a segment on this machine. Both are nil after an error.
func (b *batcher) copy(ctx context.Context, parts []*deletion.Part, limit int) (segment deletion.Segment, found *deletion.Copy, err error) {
	err = b.policy.withArchive(ctx, b.run.shared.yieldSlot, func() error {
		return b.run.withServer(ctx, func() (err error) {
			segment, found, err = b.copyOnce(ctx, parts, limit)
			if errors.Is(err, deletion.ErrSpool) {
				err = fmt.Errorf("%w: %w", errArchive, err)
			}
			return err
		})
	})
	return segment, found, err
}

func (b *batcher) copyOnce(ctx context.Context, parts []*deletion.Part, limit int) (deletion.Segment, *deletion.Copy, error) {
	conn, err := b.run.pool.Acquire(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("beginning a copy: %w", err)
	}
	return deletion.MakeCopy(ctx, conn, b.plan, b.policy.scope(), parts, &b.tables, b.run.id, b.run.archive, limit)
}

// send gives the segment to the store.
func (b *batcher) send(ctx context.Context, segment deletion.Segment) error {
	return b.policy.withArchive(ctx, b.run.shared.yieldSlot, func() error {
		return b.policy.toStore(ctx, func(ctx context.Context) (err error) {
			b.copied.object, err = segment.Send(ctx)
			return err
		})
	})
}

// toStore does something with the store, unless the run is stopping.
func (w *policyRun) toStore(ctx context.Context, do func(context.Context) error) error {
	err := w.run.unlessHalted(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, sendTimeout)
		defer cancel()
		return do(ctx)
	})
	if err != nil && !errors.Is(err, errHalted) {
		return fmt.Errorf("%w: %w", errArchive, err)
	}
	return err
}

// withArchive does something, again and again while the archive does not take it. Meanwhile the
// policy is paused, under the guard archive; the longest allowed pause ends its run. Then, and if the
// run is stopping, it is errGuarded.
func (w *policyRun) withArchive(ctx context.Context, yield func(func()), do func() error) error {
	for try := 0; ; try++ {
		err := do()
		if errors.Is(err, errHalted) {
			return errGuarded
		}
		if !errors.Is(err, errArchive) {
			if try > 0 {
				w.state.archiveWorks()
			}
			return err
		}
		a := w.state.archiveFails(pg.ErrorText(err))
		w.noteAdvice(a)
		if time.Since(a.Since) > w.run.maxPause {
			w.stopAfterMaxPause(a)
		}
		if w.stopping() || ctx.Err() != nil {
			w.state.archiveWorks() // whoever else waits need not
			return errGuarded
		}
		yield(func() { w.run.sleep(ctx, w.run.backoff(try+1)) })
	}
}

// queueSegment queues the ledger's row of what the batch deletes of its segment.
func (b *batcher) queueSegment(in *pgx.Batch, tx *deletion.Tx) error {
	if b.copied == nil || b.copied.Empty() {
		return nil
	}
	var err error
	if b.copied.list, err = tx.List(b.run.id, b.seq, b.copied.object); err != nil {
		return err
	}
	b.run.ledger.RecordSegment(in, b.run.id, b.plan.Policy.Name, b.seq, b.copied.object.Name, b.copied.list)
	return nil
}

// listsAtOnce is how many lists are read from the ledger at a time.
const listsAtOnce = 10

// writeLists writes the lists that the ledger has and the store lacks, those of earlier runs and of
// other processes too.
func (w *policyRun) writeLists(ctx context.Context, yield func(func())) {
	for {
		var lists [][]byte
		err := w.run.withServer(ctx, func() (err error) {
			lists, err = w.run.ledger.UnlistedSegments(ctx, w.run.control, w.plan.Policy.Name, listsAtOnce)
			return err
		})
		for _, text := range lists {
			if err == nil {
				err = w.writeList(ctx, yield, text)
			}
		}
		if w.state.setUnlisted(err); err != nil || len(lists) < listsAtOnce {
			return
		}
	}
}

func (w *policyRun) writeList(ctx context.Context, yield func(func()), text []byte) error {
	var list archive.List
	if err := json.Unmarshal(text, &list); err != nil {
		return fmt.Errorf("reading a list of the ledger: %w", err)
	}
	err := w.withArchive(ctx, yield, func() error {
		return w.toStore(ctx, func(ctx context.Context) error { return w.run.archive.WriteList(ctx, list.Segment, list) })
	})
	if err != nil {
		return err
	}
	return w.run.withServer(ctx, func() error { return w.run.ledger.SegmentListed(ctx, w.run.control, list.Segment.Name) })
}
