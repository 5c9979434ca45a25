package purge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/deletion"
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
	// Stopping, when cancelled, ends a run after its current batches; nil: nothing does.
	Stopping context.Context
	// Patience is how long to wait for an unavailable server; 0: 30 s.
	Patience time.Duration
	// Connections is how many batches may run at a time, each of a different tenant; 0: one.
	Connections int
	// VacuumTime limits the vacuum of one table after a run; 0: 10 minutes.
	VacuumTime time.Duration
	// Control is the pool for lease renewals and the like; nil: Pool.
	Control *pgxpool.Pool
	// Closed is called with the report once the run is recorded, before any vacuum; nil: no
	// call.
	Closed func(*Report)
	// Guard decides whether rows may be deleted now; nil: always.
	Guard Guard
	// MaxPause is the longest pause of a policy before its run ends incomplete; 0:
	// guard.DefaultMaxPause.
	MaxPause time.Duration
	// Shared is shared by concurrent runs on one pool; nil: there are none.
	Shared *Shared
	// Gate decides whether a policy's run needs a person's word first; nil: none does.
	Gate Gate
	// Archive takes copies of the rows of policies with an archive; nil: there is none, and such
	// policies fail.
	Archive deletion.Archive
}

// Gate decides, before anything of a policy is touched, whether its run needs a person's word.
type Gate interface {
	Pass(ctx context.Context, runID string, p *plan.Plan) (Passage, error)
}

// Passage is the run of a policy at the gate. A refusal says why it must wait; empty: it need not.
type Passage interface {
	// Refusal is about what the run deletes.
	Refusal() string
	// Rows refuses a run of a whole policy for how many rows it would delete. base is its start by
	// the database's clock, as text.
	Rows(ctx context.Context, base string) (refusal string, err error)
	// Again refuses a run under way in which a batch has found another timeline.
	Again(ctx context.Context) (refusal string, err error)
	// Close is called when the run has ended and is recorded: how many roots went, and whether it
	// was complete, and of the whole policy.
	Close(ctx context.Context, roots int64, complete bool) error
}

// Run is one run over several policies.
type Run struct {
	shared     *Shared
	gate       Gate             // nil: none
	archive    deletion.Archive // nil: there is none
	guard      Guard            // nil: none
	maxPause   time.Duration
	control    *pgxpool.Pool
	closed     func(*Report)
	pool       *pgxpool.Pool
	ledger     Ledger
	observer   Observer
	log        *slog.Logger
	opts       Options
	id         string
	base       string // start of the run by the database's clock, as text
	started    time.Time
	patience   time.Duration
	halt       context.Context
	workers    int
	vacuumTime time.Duration

	observerMu   sync.Mutex // serializes calls of the observer
	state        *runState
	currentRound *schedule // written only between rounds; nil: there was none
}

// UsageError is an invalid option, found before anything was touched.
type UsageError struct{ msg string }

// Error implements error.
func (e *UsageError) Error() string { return e.msg }

// Run deletes what is due under the plans, which must be free of errors, and reports. It makes
// holds a condition of the plans, so concurrent runs need plans of their own. A *UsageError means
// that nothing was touched; errors that stop a single policy are in its report.
func (r *Runner) Run(ctx context.Context, plans []*plan.Plan, opts Options) (*Report, error) {
	run := &Run{state: &runState{}, gate: r.Gate, archive: r.Archive, guard: r.Guard, maxPause: cmp.Or(r.MaxPause, guard.DefaultMaxPause), control: cmp.Or(r.Control, r.Pool), closed: r.Closed, shared: cmp.Or(r.Shared, NewShared(r.Connections)), pool: r.Pool, ledger: r.Ledger, observer: r.Observer, log: r.Log, opts: opts, patience: r.Patience, halt: r.Stopping, workers: max(r.Connections, 1), vacuumTime: cmp.Or(r.VacuumTime, vacuumTime)}
	if opts.MaxRows > 0 {
		run.workers = 1 // otherwise the limit could be exceeded
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
			return nil, fmt.Errorf("generating a run ID: %w", err)
		}
		run.id = id.String()
	}
	run.log = run.log.With("run_id", run.id)
	return run.all(ctx, plans)
}

var errMaxDuration = errors.New("--max-duration reached")

func (r *Run) all(ctx context.Context, plans []*plan.Plan) (*Report, error) {
	r.started = time.Now()
	report := &Report{RunID: r.id, Status: Complete, Policies: []*PolicyReport{}}
	var now int64 // independent of DateStyle
	var byRow []string
	err := r.withServer(ctx, func() error {
		return pg.Pinned(r.pool).QueryRow(ctx, pg.ClockSQL+", "+r.ledger.RootsHeldSQL()).Scan(&now, &r.base, &byRow)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the database's clock: %w", err)
	}
	applyHolds(r.ledger, plans, byRow)
	report.StartedAt = time.UnixMicro(now)
	var policies []*policyRun
	for _, p := range plans {
		policies = append(policies, newPolicyRun(r, p))
	}
	if err := CheckTenants(ctx, r.pool, plans, r.opts.Tenants); err != nil {
		return nil, err
	}
	r.each(policies, func(w *policyRun) { w.open(ctx) })
	stopAlive := KeepAlive(ctx, r.log, func(ctx context.Context) error { return r.ledger.KeepAlive(ctx, r.control, r.id) })
	r.each(policies, func(w *policyRun) { w.begin(ctx) })
	r.rounds(ctx, policies)
	r.each(policies, func(w *policyRun) { w.close(ctx) })
	r.ledger.NumberEmitted(ctx, r.pool)
	for _, w := range policies {
		report.Policies = append(report.Policies, w.report)
		report.WALBytes += w.report.WALBytes
	}
	stopAlive()
	report.Status = worst(report.Policies)
	report.FinishedAt = report.StartedAt.Add(time.Since(r.started))
	if r.closed != nil {
		r.closed(report)
	}
	r.vacuum(ctx, policies)
	report.FinishedAt = report.StartedAt.Add(time.Since(r.started))
	return report, nil
}

// each does something for all policies, on as many connections as delete: most of it is waiting for
// the server.
func (r *Run) each(policies []*policyRun, do func(*policyRun)) {
	next := make(chan *policyRun)
	var working sync.WaitGroup
	for range min(r.workers, len(policies)) {
		working.Go(func() {
			for w := range next {
				do(w)
			}
		})
	}
	for _, w := range policies {
		next <- w
	}
	close(next)
	working.Wait()
}

// begin prepares the policy for the rounds.
func (w *policyRun) begin(ctx context.Context) {
	if w.ended() {
		return
	}
	w.passGate(ctx)
	if w.run.archive != nil && !w.ended() { // the policy may have had it once
		w.writeLists(ctx, func(wait func()) { wait() }) // this holds no slot; a refused run does not wait
	}
	if w.state.refused() {
		w.countTenants(ctx) // a list that cannot be read is said all the same
	}
	if w.ended() || w.state.refused() {
		return
	}
	if w.plan.Whole != nil && w.run.archive == nil {
		w.fail(errors.New("the policy has an archive, and the run has none"))
		return
	}
	w.exclusively(ctx, w.recoverPartitions)
	w.readRecorded(ctx)
	if w.ended() {
		return
	}
	if w.countTenants(ctx); w.ended() {
		return
	}
	w.exclusively(ctx, w.recordRetentions)
	if w.ended() {
		return
	}
	if w.exclusively(ctx, w.fixCutoffs); !w.ended() {
		w.passRows(ctx)
	}
}

// idleRounds is how many rounds in a row may find only locked or concurrently changed rows
// before a run ends incomplete.
const idleRounds = 6

// rounds repeats rounds over all policies until one deletes nothing: a later policy or another
// worker may have unblocked rows that an earlier one had to leave.
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
			workers = 1 // the lock may have been another worker's
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

// stopping reports whether the run ends after the current batches.
func (r *Run) stopping() bool {
	return r.halt.Err() != nil || r.opts.MaxRows > 0 && r.remainingRoots() <= 0
}

// remainingRoots is how many roots may still be deleted under --max-rows.
func (r *Run) remainingRoots() int64 { return r.opts.MaxRows - r.state.rootsDeleted() }

// stopReason says why; empty: not stopping.
func (r *Run) stopReason() string {
	switch {
	case errors.Is(context.Cause(r.halt), errMaxDuration):
		return errMaxDuration.Error()
	case r.halt.Err() != nil:
		return "interrupted by a signal"
	case r.opts.MaxRows > 0 && r.remainingRoots() <= 0:
		return "--max-rows reached"
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

// errHalted: a read was cancelled because the run is stopping.
var errHalted = errors.New("the run is stopping")

// read runs fn in a short read-only transaction. If the run is stopping, it returns errHalted
// instead of waiting.
func (r *Run) read(ctx context.Context, path string, timeout time.Duration, fn func(pgx.Tx) error) error {
	return r.unlessHalted(ctx, func(ctx context.Context) error { return pg.ReadOnly(ctx, r.pool, path, timeout, fn) })
}

// query does the same for one statement.
func (r *Run) query(ctx context.Context, path string, timeout time.Duration, s *pg.Statement, scan func(pgx.Rows) error) error {
	return r.unlessHalted(ctx, func(ctx context.Context) error { return pg.ReadOne(ctx, r.pool, path, timeout, s, scan) })
}

// unlessHalted cancels a read when the run is stopping, with errHalted.
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

// notify calls the observer.
func (r *Run) notify(what func(Observer)) {
	r.observerMu.Lock()
	defer r.observerMu.Unlock()
	what(r.observer)
}
