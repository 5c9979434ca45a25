// Package purge runs plans: it searches expired rows, deletes them in batches with all that
// depends on them, retries, and reports.
package purge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// Runner holds what every run needs.
type Runner struct {
	Pool     *pgxpool.Pool
	Ledger   Ledger
	Observer Observer     // nil: Silent
	Log      *slog.Logger // nil: none
	// Stopping ends a run after the batch at hand when it is cancelled; nil:
	// nothing does.
	Stopping context.Context
	// Patience is how long a run waits for a server that went away; 0: 30 s.
	Patience time.Duration
	// Connections is how many batches may be under way at a time, each of another
	// tenant; 0: one.
	Connections int
	// VacuumTime bounds the vacuum of one table after a run; 0: 10 minutes.
	VacuumTime time.Duration
	// Control serves signs of life; nil: Pool does.
	Control *pgxpool.Pool
	// Closed is told the report when the run is recorded, and before anything is
	// vacuumed; nil: nobody is.
	Closed func(*Report)
	// Guard says whether rows may be deleted now; nil: they always may.
	Guard Guard
	// MaxPause is for how long it may pause a policy at a time, before the run ends
	// incomplete; 0: guard.DefaultMaxPause.
	MaxPause time.Duration
	// Shared is what runs share that are under way at once on one pool; nil: there
	// is no other.
	Shared *Shared
}

// Run is one run over several policies.
type Run struct {
	shared     *Shared
	guard      Guard // nil: nothing stands against it
	maxPause   time.Duration
	control    *pgxpool.Pool
	closed     func(*Report)
	pool       *pgxpool.Pool
	ledger     Ledger
	observer   Observer
	log        *slog.Logger
	opts       Options
	id         string
	base       string // the run's start by the database's clock, as text
	started    time.Time
	patience   time.Duration
	halt       context.Context
	workers    int
	vacuumTime time.Duration // bounds the vacuum of one table

	observing    sync.Mutex // the observer is told one thing at a time
	state        *runState
	currentRound *schedule // the round under way, set when no worker is; nil: there was none
}

// UsageError is a wrong option, found before anything was touched.
type UsageError struct{ msg string }

// Error is the message.
func (e *UsageError) Error() string { return e.msg }

// Run deletes what is due under the plans, and reports. Plans must be free of
// errors. A *UsageError means that nothing was touched; other errors that stop
// a policy stand in its report.
func (r *Runner) Run(ctx context.Context, plans []*plan.Plan, opts Options) (*Report, error) {
	run := &Run{state: &runState{}, guard: r.Guard, maxPause: cmp.Or(r.MaxPause, guard.DefaultMaxPause), control: cmp.Or(r.Control, r.Pool), closed: r.Closed, shared: cmp.Or(r.Shared, NewShared(r.Connections)), pool: r.Pool, ledger: r.Ledger, observer: r.Observer, log: r.Log, opts: opts, patience: r.Patience, halt: r.Stopping, workers: max(r.Connections, 1), vacuumTime: cmp.Or(r.VacuumTime, vacuumTime)}
	if opts.MaxRows > 0 {
		run.workers = 1 // only so is it a hard bound
	}
	if run.observer == nil {
		run.observer = Silent{}
	}
	if run.log == nil {
		run.log = slog.New(slog.DiscardHandler)
	}
	if run.patience == 0 {
		run.patience = 30 * time.Second
	}
	if run.halt == nil {
		run.halt = context.Background()
	}
	if opts.MaxDuration > 0 {
		var cancel context.CancelFunc
		run.halt, cancel = context.WithTimeoutCause(run.halt, opts.MaxDuration, errMaxDuration)
		defer cancel()
	}
	run.id = opts.RunID
	if run.id == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return nil, fmt.Errorf("making a run id: %w", err)
		}
		run.id = id.String()
	}
	run.log = run.log.With("run_id", run.id)
	return run.all(ctx, plans)
}

var errMaxDuration = errors.New("--max-duration is used up")

func (r *Run) all(ctx context.Context, plans []*plan.Plan) (*Report, error) {
	r.started = time.Now()
	report := &Report{RunID: r.id, Status: Complete, Policies: []*PolicyReport{}}
	var now int64 // a number reads the same under every DateStyle
	err := r.withServer(ctx, func() error {
		return pg.Pinned(r.pool).QueryRow(ctx, plan.ClockSQL).Scan(&now, &r.base)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the database's clock: %w", err)
	}
	report.StartedAt = time.UnixMicro(now)
	var policies []*policyRun
	for _, p := range plans {
		policies = append(policies, newPolicyRun(r, p))
	}
	if err := CheckTenants(ctx, r.pool, plans, r.opts.Tenants); err != nil {
		return nil, err
	}
	for _, w := range policies {
		w.open(ctx)
	}
	alive, died := context.WithCancel(ctx)
	var living sync.WaitGroup
	living.Go(func() { r.keepAlive(alive) })
	for _, w := range policies {
		w.begin(ctx)
	}
	r.rounds(ctx, policies)
	for _, w := range policies {
		w.close(ctx)
		report.Policies = append(report.Policies, w.report)
		report.WALBytes += w.report.WALBytes
	}
	died()
	living.Wait()
	report.Status = worst(report.Policies)
	report.FinishedAt = report.StartedAt.Add(time.Since(r.started))
	if r.closed != nil {
		r.closed(report)
	}
	r.vacuum(ctx, policies)
	report.FinishedAt = report.StartedAt.Add(time.Since(r.started))
	return report, nil
}

// begin is what comes before the rounds.
func (w *policyRun) begin(ctx context.Context) {
	if w.ended() {
		return
	}
	w.exclusively(ctx, w.recoverPartitions)
	if w.countTenants(ctx); w.ended() {
		return
	}
	w.exclusively(ctx, w.fixCutoffs)
}

// CheckTenants refuses, by a *UsageError, keys of tenants that not every plan
// knows. Plans must be free of errors.
func CheckTenants(ctx context.Context, pool *pgxpool.Pool, plans []*plan.Plan, tenants []string) error {
	if len(tenants) == 0 {
		return nil
	}
	for _, p := range plans {
		if p.Unplanned() != nil {
			continue
		}
		if p.NoTenant {
			return &UsageError{fmt.Sprintf("policy %s has no tenants: --tenant cannot narrow it; select others with --policy", p.Policy.Name)}
		}
		s, key := p.UnknownTenantsSQL(tenants), p.Tenants.Key
		var unknown []string
		err := pg.ReadOnly(ctx, pool, p.ReadingPath(), time.Minute, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, s.String(), s.Args...).Scan(&unknown)
		})
		if pg.HasCode(err, "22P02", "22003", "22007") {
			return &UsageError{fmt.Sprintf("--tenant: %s; keys of tenants are %s", pg.ErrorText(err), key.Type)}
		}
		if err != nil {
			return fmt.Errorf("looking up --tenant: %w", err)
		}
		if len(unknown) > 0 {
			return &UsageError{fmt.Sprintf("--tenant %s: policy %s knows no such tenant", strings.Join(unknown, ", "), p.Policy.Name)}
		}
	}
	return nil
}

// idleRounds is how many rounds in a row may find nothing but rows that are locked, or
// changed under them, before a run ends incomplete.
const idleRounds = 6

// rounds goes over all policies again and again until a whole round has
// deleted nothing: a later policy, or another worker, may have freed what an
// earlier one had to leave.
func (r *Run) rounds(ctx context.Context, policies []*policyRun) {
	for idle := 0; idle < idleRounds; {
		before, losses := r.state.progress()
		var open []*policyRun
		for _, w := range policies {
			if !w.ended() && !w.stopping() {
				w.startPass()
				open = append(open, w)
			}
		}
		workers := r.workers
		if idle > 0 {
			workers = 1 // what was locked may have been so by another worker of ours
		}
		r.round(ctx, open, workers)
		if r.stopping() || ctx.Err() != nil || len(open) == 0 {
			return
		}
		if deleted, _ := r.state.progress(); deleted > before {
			idle = 0
			continue
		}
		if r.mayHaveLostBatches(ctx, losses) {
			continue
		}
		waiting := false
		for _, w := range open {
			found := w.state.found()
			waiting = waiting || (found.busy || found.moved) && !w.ended()
		}
		if !waiting {
			return
		}
		r.sleep(ctx, r.backoff(idle))
		idle++
	}
}

// stopping tells whether the run ends after the batch at hand.
func (r *Run) stopping() bool {
	return r.halt.Err() != nil || r.opts.MaxRows > 0 && r.remainingRoots() <= 0
}

// left is how many roots may still go under --max-rows.
func (r *Run) remainingRoots() int64 { return r.opts.MaxRows - r.state.rootsDeleted() }

// stopReason says why.
func (r *Run) stopReason() string {
	switch {
	case errors.Is(context.Cause(r.halt), errMaxDuration):
		return errMaxDuration.Error()
	case r.halt.Err() != nil:
		return "interrupted by a signal"
	case r.opts.MaxRows > 0 && r.remainingRoots() <= 0:
		return "--max-rows is used up"
	}
	return ""
}

// quota is how many roots the next batch may take.
func (r *Run) quota(size int) int {
	if r.opts.MaxRows == 0 {
		return size
	}
	return int(min(int64(size), r.remainingRoots()))
}

// errHalted is a reading that was cut short because the run is to end.
var errHalted = errors.New("the run is to end")

// read runs fn in a short read-only transaction with the settings of a batch. A
// run that is to end does not wait for it: errHalted.
func (r *Run) read(ctx context.Context, path string, timeout time.Duration, fn func(pgx.Tx) error) error {
	return r.unlessHalted(ctx, func(ctx context.Context) error { return pg.ReadOnly(ctx, r.pool, path, timeout, fn) })
}

// query runs one statement as read does.
func (r *Run) query(ctx context.Context, path string, timeout time.Duration, s *pg.Statement, scan func(pgx.Rows) error) error {
	return r.unlessHalted(ctx, func(ctx context.Context) error { return pg.ReadOne(ctx, r.pool, path, timeout, s, scan) })
}

// unlessHalted cuts a reading short when the run is to end: errHalted.
func (r *Run) unlessHalted(ctx context.Context, read func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(r.halt, cancel)()
	err := read(ctx)
	if err != nil && r.halt.Err() != nil {
		return errHalted
	}
	return err
}

// tell tells the observer something.
func (r *Run) notify(what func(Observer)) {
	r.observing.Lock()
	defer r.observing.Unlock()
	what(r.observer)
}
