package erasing

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// tell tells the application that the erasure begins, once.
func (x *run) tell(ctx context.Context) error {
	if x.e.State == ledger.ErasureEnded {
		return nil
	}
	state := ledger.ErasureRunning
	if x.e.BegunAt == nil && x.waits() > 0 {
		state = ledger.ErasureWaiting
	}
	_, err := x.batch(ctx, func(ctx context.Context, t *transaction) error {
		now, err := x.Ledger.Erasure(ctx, x.Control, x.e.ID) // a lost commit may have told it
		if err != nil {
			return err
		}
		t.toldOf.Queue(durably)
		x.Ledger.BeginErasure(t.toldOf, x.e.ID, state)
		if now == nil || now.BegunAt != nil {
			return nil
		}
		return x.emit(t, ledger.ErasureBegun, map[string]any{"wait_seconds": x.waits().Seconds()})
	})
	return err
}

// waits is how long the application has before the first batch.
func (x *run) waits() time.Duration {
	w := x.Plan.Section.Wait
	if x.AtOnce && w.Pos.Line == 0 {
		return 0
	}
	return w.Approximately()
}

// wait waits until the application has had its time, by the database's clock.
func (x *run) wait(ctx context.Context) error {
	if x.waits() == 0 || x.e.State == ledger.ErasureEnded {
		return nil
	}
	now, err := x.Ledger.Erasure(ctx, x.Pool, x.e.ID)
	if err != nil || now == nil || now.BegunAt == nil {
		return err
	}
	var left float64
	err = pg.Pinned(x.Pool).QueryRow(ctx, `SELECT extract(epoch FROM $1::timestamptz - clock_timestamp())::float8`, now.BegunAt.Add(x.waits())).Scan(&left)
	if err != nil {
		return fmt.Errorf("reading the database's clock: %w", err)
	}
	if left > 0 {
		x.Log.Info("waiting for the application to close its inlets", "seconds", left)
		x.sleep(ctx, time.Duration(left*float64(time.Second)))
	}
	if x.ended(ctx) {
		return x.whyEnded(ctx)
	}
	in := &pgx.Batch{}
	x.Ledger.BeginErasure(in, x.e.ID, ledger.ErasureRunning)
	return x.tellLedger(ctx, in)
}

// whyEnded is the end of a run whose context has ended, or that is to stop.
func (x *run) whyEnded(ctx context.Context) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return stop{ledger.StoppedReason}
}

// ready waits until a batch may begin, without a lock or transaction.
func (x *run) ready(ctx context.Context) error {
	if x.ended(ctx) {
		return x.whyEnded(ctx)
	}
	if err := x.fileHolds(ctx); err != nil {
		return err
	}
	if x.Guard == nil {
		return nil
	}
	since := time.Now()
	for {
		changed := x.Guard.Changed() // before the advice
		a := x.Guard.Advice(policy.ErasurePolicy)
		if a.State != x.advised {
			x.advised = a.State
			x.Observer.Advised(policy.ErasurePolicy, a)
		}
		switch {
		case a.State == guard.Stop:
			return stopf("stopped by the guard %s", a.Because())
		case a.State != guard.Pause:
			return nil
		}
		if err := x.pause(ctx, changed, since, a.Because()); err != nil {
			return err
		}
	}
}

// pause waits for a change of the guards' advice, at most for the longest pause.
func (x *run) pause(ctx context.Context, changed <-chan struct{}, since time.Time, why string) error {
	left := time.Until(since.Add(x.MaxPause))
	over := time.NewTimer(max(left, 0))
	defer over.Stop()
	select {
	case <-changed:
		return nil
	case <-over.C:
		return stopf("paused for %s (max_pause) by the guard %s", x.MaxPause, why)
	case <-ctx.Done():
	case <-x.Stopping.Done():
	}
	return x.whyEnded(ctx)
}

// pauseRecheck is how long to wait before a pause by hand is looked at again, where no guard tells
// its end.
const pauseRecheck = time.Second

// awaitResume waits for the end of a pause by hand that a batch has found.
func (x *run) awaitResume(ctx context.Context) error {
	if x.paused += pauseRecheck; x.paused > x.MaxPause {
		return stopf("paused for %s (max_pause) by hand (reaper resume ends it)", x.MaxPause)
	}
	x.sleep(ctx, pauseRecheck)
	if x.ended(ctx) {
		return x.whyEnded(ctx)
	}
	return nil
}

// heldFor is how long it is believed that nothing holds the tenant by a policy of the file.
const heldFor = 2 * time.Second

// fileHolds refuses a tenant that is held by the file, under any policy, or of which a policy's row is
// held.
func (x *run) fileHolds(ctx context.Context) error {
	if time.Since(x.heldAt) < heldFor {
		return nil
	}
	for _, p := range x.Policies {
		switch {
		case p.Unplanned() == nil && p.NoTenant:
			continue
		case p.Tenants == nil || !p.Readable():
			return stopf("policy %s cannot be planned, so it is not known whether the tenant is held under it; reaper check says why", p.Policy.Name)
		}
		s := &pg.Statement{}
		relation := p.Tenants.Write(s, expiry.Scope{Base: clock(x.report.StartedAt), Only: []string{x.key}})
		held := &pg.Statement{Args: s.Args}
		held.Add("SELECT EXISTS (SELECT FROM ", relation, " reaper_t WHERE reaper_t.state = 'held')")
		var is bool
		if err := pg.ReadOne(ctx, x.Pool, p.ReadingPath(), statementTimeout, held, pg.ScanOne(&is)); err != nil {
			return fmt.Errorf("reading the holds of policy %s: %w", p.Policy.Name, err)
		}
		if is {
			return stopf("the tenant is held under policy %s (its hold in the policy file, or reaper holds)", p.Policy.Name)
		}
	}
	if err := x.rowHolds(ctx); err != nil {
		return err
	}
	x.heldAt = time.Now()
	return nil
}

// clock is a time as PostgreSQL reads it in any setting.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999999+00") }

// rowHolds refuses a tenant of which a row is held by hand. What depends on such a row would go first,
// so nothing goes.
func (x *run) rowHolds(ctx context.Context) error {
	for _, p := range x.Policies {
		after := ""
		if p.Policy.Grace != nil {
			after = p.Policy.Grace.Interval()
		}
		held := x.Ledger.HeldRootSQL(p.Policy.Name, after)
		if p.Root == nil || held == nil {
			continue
		}
		var is bool
		err := x.read(ctx, func(tx pgx.Tx) (err error) {
			is, err = x.Plan.AnyHeld(ctx, tx, x.key, p.Root.Table.Name, plan.ColumnNames(p.Key), held)
			return err
		})
		if err != nil {
			return err
		}
		if is {
			return stopf("a row of policy %s that is the tenant's is held (reaper holds)", p.Policy.Name)
		}
	}
	return nil
}
