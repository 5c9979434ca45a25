package main

import (
	"context"

	"github.com/reaperdb/reaper/daemon"
	"github.com/reaperdb/reaper/erasing"
	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/purge"
)

// eraseOnce does what is due of erasures, as the daemon does, after a run --once. How they end is in
// the log and the ledger, and not in the exit code, which is that of the policies.
func (a *app) eraseOnce(ctx context.Context, s *session) {
	l, err := a.ledger()
	if err == nil {
		err = a.eraseDue(ctx, s, l)
	}
	if err != nil && ctx.Err() == nil {
		a.log.Error("erasures failed", "error", oneLine(err))
	}
}

func (a *app) eraseDue(ctx context.Context, s *session, l *ledger.Ledger) error {
	p, err := a.plannedErasure(ctx, s, l)
	if err != nil {
		return err
	}
	watching, stop := context.WithCancel(a.running)
	guards, unwatched := daemon.HeedOnce(watching, a.watch(s, l))
	defer unwatched()
	defer stop()
	runner := &erasing.Runner{
		Pool: s.pool, Ledger: l, Gates: &gate.Gates{Pool: s.pool, Ledger: l, Log: a.log}, Plan: p, Policies: s.plans, Log: a.log, Trigger: triggerOnce,
		Stopping: ctx, Guard: guards, MaxPause: s.file.Guards.MaxPause, Patience: a.Patience,
	}
	if err := runner.RequestDue(a.running); err != nil {
		return err
	}
	due, err := erasing.ReadDue(a.running, l, s.pool)
	if err != nil {
		return err
	}
	defer l.NumberEmitted(context.WithoutCancel(a.running), s.pool)
	return runner.Do(a.running, due, func(r *erasing.Report) {
		if r.Status == purge.Complete {
			a.log.Info("erasure run ended", "erasure_id", r.ErasureID, "status", r.Status, "rows", r.RowsTotal)
		}
	})
}
