package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/partition"
	"github.com/reaperdb/reaper/schema"
	"github.com/reaperdb/reaper/search"
)

// lookTimeout bounds the check whether all rows of a partition are expired.
const lookTimeout = 15 * time.Second

// detachedPartitions are those that the policy's run could not reattach. Only one worker at a
// time drops partitions of a policy.
type detachedPartitions struct {
	detached   []partition.Detached // not reattached
	lastError  string               // why
	reattached []string             // names of those reattached at the end
}

// reasons explains why a run that left partitions detached is incomplete.
func (x *detachedPartitions) reasons() []string {
	var reasons []string
	for _, d := range x.detached {
		if slices.Contains(x.reattached, d.Name) {
			reasons = append(reasons, "partition "+d.Name+" was detached, and reattached only at the end of the run")
		} else {
			reasons = append(reasons, "partition "+d.Name+" is detached; its rows are not visible until a later run reattaches it: "+x.lastError)
		}
	}
	return reasons
}

// dropPartitions drops the partitions whose rows are all expired. Rows of a partition that
// cannot be dropped are deleted like any others.
func (w *policyRun) dropPartitions(ctx context.Context, worker int) {
	if w.ended() || w.cutoffCount == 0 || len(w.parts.detached) > 0 || !w.plan.Parts.Droppable() || w.run.opts.Selection().SomeRows() || w.stopping() {
		return
	}
	if w.run.pool.Config().MaxConns < 2 {
		w.run.log.Info("partitions not dropped whole: this takes two connections, and the pool has one", "policy", w.plan.Policy.Name)
		return
	}
	found, siblings, err := w.expiredPartitions(ctx)
	if err != nil {
		w.notDropped(w.plan.Root.Table.Name, err)
		return
	}
	for len(found) > 0 {
		x := found[0]
		if siblings < 2 || !w.waitForGuards(ctx, worker) || ctx.Err() != nil {
			return
		}
		var dropped bool
		w.exclusively(ctx, func(ctx context.Context) { dropped, err = w.dropPartition(ctx, x) })
		switch {
		case errors.Is(err, partition.ErrPaused):
			w.notePausedByHand()
			continue
		case errors.Is(err, partition.ErrHeldUp):
			continue // waitForGuards will wait
		}
		found = found[1:]
		if err != nil {
			w.notDropped(x.Name, err)
			return // the obstacle may apply to all
		}
		if dropped {
			siblings--
		}
	}
}

func (w *policyRun) notDropped(what schema.Name, err error) {
	switch {
	case errors.Is(err, errHalted), errors.Is(err, partition.ErrStopping):
	case errors.Is(err, partition.ErrBusy):
		w.run.log.Info("another process is dropping partitions of the table", "policy", w.plan.Policy.Name)
	default:
		w.run.log.Warn("partition not dropped; deleting its expired rows instead", "policy", w.plan.Policy.Name, "partition", what.String(), "error", pg.ErrorText(err))
	}
}

// expiredPartitions returns the partitions whose range has expired, and the number of all
// partitions.
func (w *policyRun) expiredPartitions(ctx context.Context) (found []schema.Partition, siblings int, err error) {
	s := search.ExpiredPartitionsSQL(w.plan, w.scope())
	err = w.run.withServer(ctx, func() error {
		found = nil
		return w.run.read(ctx, w.plan.ReadingPath(), searchTimeout, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, s.String(), s.Args...)
			if err != nil {
				return err
			}
			var x schema.Partition
			var oid int64
			var obstacle string
			_, err = pgx.ForEachRow(rows, []any{&oid, &x.Name.Schema, &x.Name.Name, &x.Bound, &x.Upper, &x.Dated, &siblings, &x.Checks, &obstacle}, func() error {
				if x.OID = uint32(oid); obstacle == "" {
					found = append(found, x)
				} else {
					w.run.log.Info("partition not dropped", "policy", w.plan.Policy.Name, "partition", x.Name.String(), "reason", obstacle)
				}
				x.Checks = nil
				return nil
			})
			return err
		})
	})
	return found, siblings, err
}

// allExpired reports whether a partition has rows, all of them expired.
func (w *policyRun) allExpired(ctx context.Context, x schema.Partition) (bool, error) {
	s := search.AllExpiredSQL(w.plan, w.scope(), x)
	var some, all bool
	err := w.run.withServer(ctx, func() error {
		return w.run.read(ctx, w.plan.ReadingPath(), lookTimeout, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, s.String(), s.Args...).Scan(&some, &all)
		})
	})
	if err != nil {
		return false, fmt.Errorf("checking whether all rows are expired: %w", err)
	}
	return some && all, nil
}

// dropPartition drops a partition if all its rows are expired. After an error the partition is
// attached as before, or recorded as detached.
func (w *policyRun) dropPartition(ctx context.Context, x schema.Partition) (bool, error) {
	if ok, err := w.allExpired(ctx, x); err != nil || !ok {
		return false, err
	}
	dropped, err := w.partitioned().Drop(ctx, x, w.state.recordedDrops())
	if err != nil {
		return false, err
	}
	w.accountDrop(x, dropped)
	return true, nil
}
