package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reaperdb/reaper/erasing"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

// erasures are those that the ledger knows, as they were read last.
type erasures struct {
	metrics *metrics.Metrics

	mu     sync.Mutex
	shown  []web.Erasure
	again  map[string]time.Time // when an erasure that did not end is tried again, by its id
	looked time.Time            // when tenants were last looked for that `when` chooses
}

func newErasures(m *metrics.Metrics) *erasures { return &erasures{metrics: m} }

// How long an ended erasure is shown, and how many there are at most.
const (
	erasureShown  = 7 * 24 * time.Hour
	mostErasures  = 100
	erasuresEvery = 15 * time.Second // how often the daemon looks what is due
	whenEvery     = 5 * time.Minute  // and for which tenants `when` holds
	erasureAgain  = 10 * time.Minute // how long an erasure that did not end is left alone
)

// see takes over what the ledger has of erasures, and what their last sweeps left.
func (e *erasures) see(now time.Time, all []ledger.Erasure, left map[string]int64, rows map[string]int64) {
	states := map[string]int{}
	for _, s := range ledger.ErasureStates() {
		states[s] = 0
	}
	var overdue time.Duration
	var shown []web.Erasure
	for _, x := range all {
		states[x.State]++
		if x.Open() {
			overdue = max(overdue, now.Sub(x.DueAt))
		}
		if len(shown) < mostErasures && (x.Open() || x.SweepAt != nil || x.AgainAt != nil || left[x.ID] > 0 || x.FinishedAt != nil && now.Sub(*x.FinishedAt) < erasureShown) {
			shown = append(shown, ShownErasure(x, left[x.ID]))
		}
	}
	e.metrics.SetErasures(states, overdue)
	e.metrics.SetLeftovers(rows)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shown = shown
}

// all are those that the page shows.
func (e *erasures) all() []web.Erasure {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.shown
}

// ShownErasure is an erasure as the page has it; left is what its last sweep left.
func ShownErasure(x ledger.Erasure, left int64) web.Erasure {
	return web.Erasure{
		ID: x.ID, Tenant: x.Tenant, Hash: x.Hash, Origin: x.Origin, By: x.By, Reason: x.Reason, RequestedAt: x.RequestedAt, DueAt: x.DueAt, State: x.State, Note: x.Note,
		FinishedAt: x.FinishedAt, NextSweepAt: x.SweepAt, AgainAt: x.AgainAt, LeftoverRows: left,
	}
}

func (d *Daemon) readErasures(ctx context.Context) error {
	all, left, rows, err := d.book.Erasures(ctx)
	if err == nil {
		d.erasures.see(time.Now(), all, left, rows)
	}
	return err
}

// ready are the erasures that may be tried now.
func (e *erasures) ready(all []ledger.Erasure, now time.Time) []ledger.Erasure {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.DeleteFunc(all, func(x ledger.Erasure) bool { return now.Before(e.again[x.ID]) })
}

// tried notes that an erasure was tried.
func (e *erasures) tried(id string, ended bool, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.again == nil {
		e.again = map[string]time.Time{}
	}
	if delete(e.again, id); !ended {
		e.again[id] = now.Add(erasureAgain)
	}
}

// lookNow reports whether it is time to look for tenants that `when` chooses, and notes that it is done.
func (e *erasures) lookNow(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.Sub(e.looked) < whenEvery {
		return false
	}
	e.looked = now
	return true
}

// erase does what is due of erasures and sweeps, in the one process that leads. ctx ends it after the
// current batch.
func (d *Daemon) erase(ctx context.Context) {
	file := d.file.inForce()
	if file.Erasure == nil || !d.control.ready() || !d.pulse.up() || !d.lease.leads() {
		return
	}
	if err := d.eraseDue(ctx, file); err != nil && ctx.Err() == nil {
		d.pulse.complain("erasures", err)
	}
}

func (d *Daemon) eraseDue(ctx context.Context, file *policy.File) error {
	due, err := erasing.ReadDue(ctx, d.Ledger, d.Control)
	if err != nil {
		return err
	}
	due.Erasures = d.erasures.ready(due.Erasures, time.Now())
	look := file.Erasure.When.IsSet() && d.erasures.lookNow(time.Now())
	if due.None() && !look {
		return nil
	}
	runner, err := d.eraser(ctx, file)
	if err != nil {
		return d.noteErasures(ctx, due.Erasures, err)
	}
	if look {
		if err := runner.RequestDue(d.runs.lifetime()); err != nil {
			return err
		}
	}
	defer ask(d.reread)
	return runner.Do(d.runs.lifetime(), due, func(r *erasing.Report) {
		d.erasures.tried(r.ErasureID, r.Status == purge.Complete, time.Now())
		d.Log.Info("erasure run ended", "erasure_id", r.ErasureID, "run_id", r.RunID, "status", r.Status, "reason", r.Reason, "rows", r.RowsTotal)
		ask(d.reread)
	})
}

// eraser plans the erasure of a file's tenants. All policies are planned, since their holds count.
func (d *Daemon) eraser(ctx context.Context, file *policy.File) (*erasing.Runner, error) {
	plans, server, err := compileAll(ctx, d.Pool, d.Ledger, file, nil)
	if err != nil {
		return nil, err
	}
	p, problems, err := erasing.Compile(ctx, d.Pool, file, server, d.Ledger)
	if err != nil {
		return nil, err
	}
	for _, x := range slices.Concat(server.Problems(), problems) {
		if x.Level == plan.LevelError {
			return nil, fmt.Errorf("nothing was touched: %s (reaper check tells more)", x.Text)
		}
	}
	if server.ClockSkew > plan.MaxClockSkew {
		return nil, errors.New("the clocks of the database and of this machine are over an hour apart")
	}
	return &erasing.Runner{
		Pool: d.Pool, Control: d.Control, Ledger: d.Ledger, Gates: d.gates(d.Pool), Plan: p, Policies: plans, Log: d.Log, Stopping: ctx,
		Guard: d.watching.guards(), MaxPause: file.Guards.MaxPause, Patience: d.Patience, Trigger: bySchedule,
	}, nil
}

// noteErasures says with all that are due why they do not go on, and returns that.
func (d *Daemon) noteErasures(ctx context.Context, due []ledger.Erasure, why error) error {
	for _, e := range due {
		if err := d.Ledger.NoteErasure(ctx, d.Control, e.ID, safe(why)); err != nil {
			return err
		}
		d.erasures.tried(e.ID, false, time.Now())
	}
	return why
}
