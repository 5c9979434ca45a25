package deletion

import (
	"context"
	"errors"

	"github.com/reaperdb/reaper/internal/pg"
)

// A root with more dependents than a batch or a segment may hold goes in pieces, from the leaves up:
// each batch copies some of its dependents, with everything below them, and deletes these. The root is
// locked and must still be expired each time; the last piece has the root itself. The segment says
// whose piece it is (archive.Manifest.Piece), and its list names the root, which may live on: restoring
// puts back what is gone of it.

// rowsAtOnce is how many rows of one root go at once, in one segment, where none can go before the
// others: a large cycle, or references of the root that are emptied.
const rowsAtOnce = 100_000

// readPiece reads the next piece of the only candidate of a part, of at most limit rows. What is left
// is read whole if it fits, or if nothing of it can go separately; then, too many rows are ErrOverflow.
func (c *Copy) readPiece(ctx context.Context, part *Part, limit int) error {
	tx, p := c.tx, c.tx.plan
	found, root, err := c.readRoots(ctx, part)
	if err != nil || root.Len() == 0 {
		return err
	}
	whole, err := tx.collect(ctx, p.Whole, collection{p.Root: root}, limit)
	if err == nil {
		err = tx.checkLimits(ctx, p.Whole, whole, limit)
	}
	switch {
	case err == nil:
		found.rows = whole
		return tx.inTime(nil)
	case !errors.Is(err, ErrOverflow):
		return err
	}
	d := &drainer{tx: tx, m: p.Whole, limit: limit}
	some, err := d.deleteBelow(ctx, p.Root, root)
	if err != nil {
		return err
	}
	if !some {
		c.atOnce = max(10*p.Policy.Limits.TotalRows, rowsAtOnce)
		found.rows, err = tx.collect(ctx, p.Whole, collection{p.Root: root}, c.atOnce)
		return tx.inTime(err)
	}
	keys := found.keys
	found.rows, found.keys = d.piece, pg.NewValues(len(p.Key))
	for i := range keys {
		c.piece = append(c.piece, *keys[i].All()[0])
	}
	return tx.inTime(nil)
}

// deletePiece deletes the piece of a root that was copied, if the root is still expired.
func (tx *Tx) deletePiece(ctx context.Context) (Outcome, error) {
	root, keys, err := tx.lockRoots(ctx)
	if err != nil || root.Len() == 0 {
		return Outcome{}, err
	}
	if err := tx.compare(ctx); err != nil {
		return Outcome{}, err
	}
	if err := tx.deleteCollected(ctx, tx.plan.Whole, tx.Copied.rows, nil); err != nil {
		return Outcome{}, err
	}
	if err := tx.checkCounters(ctx); err != nil {
		return Outcome{}, err
	}
	return Outcome{More: true}, tx.checkDrained(ctx, keys)
}
