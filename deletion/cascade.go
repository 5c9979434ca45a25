package deletion

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// cascadeDeleter leaves everything it safely can to ON DELETE; often a DELETE of the roots is
// enough. The counters tell afterwards what was deleted along with them.
type cascadeDeleter struct{}

func (cascadeDeleter) traversal(p *plan.Plan) *plan.Traversal { return p.Usual }

func (cascadeDeleter) checksLimits() bool { return false }

func (cascadeDeleter) statementTimeout(l policy.Limits, singleRoot bool) time.Duration {
	return usualTimeout(l, singleRoot)
}

func (cascadeDeleter) delete(ctx context.Context, tx *Tx) (Outcome, error) {
	if !tx.Opts.LockRoots {
		return tx.deleteRoots(ctx)
	}
	free, o, err := tx.collectFree(ctx, tx.plan.Usual, false)
	if err != nil || o.Roots == 0 {
		return o, err
	}
	return o, tx.deleteCollected(ctx, tx.plan.Usual, free.rows, free.keys)
}

// deleteRoots deletes the roots without locking them first and reads the counters, in one round
// trip.
func (tx *Tx) deleteRoots(ctx context.Context) (o Outcome, err error) {
	s := tx.deleteRootsSQL(tx.Share)
	batch := &pgx.Batch{}
	batch.Queue(s.String(), s.Args...).Exec(func(tag pgconn.CommandTag) error {
		o.Roots = tag.RowsAffected()
		return nil
	})
	tx.queueCounters(batch)
	if err := pg.Send(ctx, tx.Conn, batch); err != nil {
		return Outcome{}, fmt.Errorf("deleting from %s: %w", tx.plan.Root.Table.Name, err)
	}
	tx.countDeleted(tx.plan.Root, o.Roots)
	return o, nil
}

// deleteRootsSQL deletes the roots of a part that were not locked first.
func (tx *Tx) deleteRootsSQL(p *Share) *pg.Statement {
	if p.Range != nil {
		return tx.plan.DeleteRangeSQL(tx.scope, p.Tenant, p.Range)
	}
	return tx.plan.DeleteRootsSQL(tx.scope, p.Tenant, p.keys)
}

// deletePipelined deletes the roots of many tenants, a statement for each, and reads the
// counters behind each: a statement costs microseconds then, and an error names its tenant.
func (tx *Tx) deletePipelined(ctx context.Context) (err error) {
	p := pg.NewPipeline(tx.Conn, "reaper_batch")
	defer func() { err = errors.Join(err, p.Close(context.WithoutCancel(ctx))) }()
	traversal := tx.Traversal()
	counted, counters := traversal.Counters() > 1, tx.plan.CountersSQL(traversal)
	marks := make([][]int64, len(tx.Parts))
	for i, part := range tx.Parts {
		s := tx.deleteRootsSQL(part)
		if err := p.Queue(ctx, s, func(_ [][][]byte, n int64) error {
			part.Now.Roots = n
			part.countDeleted(tx.plan.Root, n)
			return nil
		}); err != nil {
			return fmt.Errorf("deleting from %s: %w", tx.plan.Root.Table.Name, err)
		}
		if !counted && i < len(tx.Parts)-1 {
			continue
		}
		if err := p.Queue(ctx, counters, func(rows [][][]byte, _ int64) (err error) {
			marks[i], err = integers(rows)
			return err
		}); err != nil {
			return fmt.Errorf("reading counters: %w", err)
		}
	}
	if at, err := p.Send(ctx); err != nil {
		if counted {
			at /= 2
		}
		tx.Share = tx.Parts[min(at, len(tx.Parts)-1)]
		return tx.named(fmt.Errorf("deleting from %s: %w", tx.plan.Root.Table.Name, err))
	}
	return tx.settleParts(ctx, marks)
}

// settleParts settles what each part has done, by the counters behind it.
func (tx *Tx) settleParts(ctx context.Context, marks [][]int64) (err error) {
	for i, part := range tx.Parts {
		tx.Share = part
		if tx.after = marks[i]; tx.after != nil {
			if err := tx.settleCounts(ctx); err != nil {
				return err
			}
		}
		if part.Now, err = tx.stillDue(ctx, part.Now); err != nil {
			return tx.named(err)
		}
	}
	return nil
}

// integers are the numbers of a single row.
func integers(rows [][][]byte) (numbers []int64, err error) {
	for _, row := range rows {
		for _, text := range row {
			n, err := strconv.ParseInt(string(text), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("reading counters: %w", err)
			}
			numbers = append(numbers, n)
		}
	}
	return numbers, nil
}
