package purge

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/partition"
	"github.com/reaperdb/reaper/schema"
	"github.com/reaperdb/reaper/search"
)

// partitioned describes the root to package partition.
func (w *policyRun) partitioned() *partition.Table {
	root := w.plan.Root.Table
	return &partition.Table{
		Run: dropRun{w}, Pool: w.run.pool, Ledger: w.run.ledger, Log: w.run.log, RunID: w.run.id, Policy: w.plan.Policy.Name,
		OID: root.OID, Name: root.Name, LockTimeout: w.plan.LockTimeout(), Path: w.plan.ReadingPath(),
		Counts: func(x schema.Partition) (string, []any) {
			s := search.ExpiredCountsSQL(w.plan, w.scope(), x)
			return s.String(), s.Args
		},
		Stopping: w.run.halt, Patience: w.run.patience,
	}
}

// dropRun is the policy's run as package partition sees it.
type dropRun struct{ policy *policyRun }

func (r dropRun) WithServer(ctx context.Context, fn func() error) error {
	return r.policy.run.withServer(ctx, fn)
}

func (r dropRun) Backoff(ctx context.Context, try int) {
	r.policy.run.sleep(ctx, r.policy.run.backoff(try))
}

func (r dropRun) Retry(err error) {
	r.policy.run.notify(func(o Observer) { o.Retry(r.policy.plan.Policy.Name, reasonOf(err)) })
}

func (r dropRun) HeldUp() bool { return r.policy.run.guardsForbid(r.policy.plan.Policy.Name) }

// Stays records that a partition is still detached: the run ends incomplete.
func (r dropRun) Stays(d partition.Detached, err error) {
	w := r.policy
	w.run.log.Warn("partition is detached and cannot be reattached yet", "policy", w.plan.Policy.Name, "partition", d.Name, "error", pg.ErrorText(err))
	w.parts.detached, w.parts.lastError = append(w.parts.detached, d), pg.ErrorText(err)
}

// recoverPartitions completes or undoes drops that an earlier run left unfinished.
func (w *policyRun) recoverPartitions(ctx context.Context) {
	if w.ended() {
		return
	}
	if err := w.partitioned().Recover(ctx); err != nil {
		w.fail(err)
	}
}

// reattachPartitions makes a last attempt, at the end of a run.
func (w *policyRun) reattachPartitions(ctx context.Context) {
	for _, d := range w.parts.detached {
		if w.partitioned().Attach(ctx, d) {
			w.run.log.Info("partition reattached", "policy", w.plan.Policy.Name, "partition", d.Name)
			w.parts.reattached = append(w.parts.reattached, d.Name)
		}
	}
}

// accountDrop adds a dropped partition to the report.
func (w *policyRun) accountDrop(x schema.Partition, t *partition.Dropped) {
	took := time.Since(t.Started)
	wal := w.state.addDrop(w.plan.Root.Table.Name.String(), x.Name.String(), t, took)
	name := w.plan.Policy.Name
	w.run.notify(func(o Observer) {
		o.Batch(BatchEvent{Policy: name, Roots: t.Rows, Rows: t.Rows, Duration: took, WALBytes: wal, Deleted: map[string]int64{w.plan.Root.Table.Name.String(): t.Rows}})
	})
	w.run.log.Info("partition dropped", "policy", name, "partition", x.Name.String(), "rows", t.Rows, "duration_seconds", took.Seconds())
}
