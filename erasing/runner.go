package erasing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
)

// Runner holds what every erasure of one database needs.
type Runner struct {
	Pool     *pgxpool.Pool
	Ledger   *ledger.Ledger
	Gates    *gate.Gates
	Plan     *erasure.Plan
	Policies []*plan.Plan   // of the same file, whose holds count
	Observer purge.Observer // nil: purge.Silent
	Log      *slog.Logger   // nil: none
	// Control is the pool for lease renewals and for what helps the last batch; nil: Pool.
	Control *pgxpool.Pool
	// Stopping, when cancelled, ends an erasure after its current batch; nil: nothing does.
	Stopping context.Context
	// Guard decides whether rows may be deleted now; nil: always.
	Guard purge.Guard
	// MaxPause is the longest pause before a run ends incomplete; 0: guard.DefaultMaxPause.
	MaxPause time.Duration
	// Patience is how long to wait for an unavailable server; 0: 30 s.
	Patience time.Duration
	// Trigger says what started the run.
	Trigger string
	// AtOnce: without `wait` in the file the first batch does not wait for the application.
	AtOnce bool
	// Sweeps is how long after its end an erasure is swept, in order; nil: an hour, a day, a week.
	Sweeps []time.Duration
}

// DefaultSweeps is how long after its end an erasure is swept.
var DefaultSweeps = []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}

// Compile plans the erasure of a file's tenants; nil: the file has no section erasure.
func Compile(ctx context.Context, pool *pgxpool.Pool, file *policy.File, server plan.Server, l *ledger.Ledger) (p *erasure.Plan, problems []plan.Problem, err error) {
	err = pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		p, problems, err = erasure.Compile(ctx, c.Conn(), file, server, l.Schema())
		return err
	})
	return p, problems, err
}

// Remaining counts what is there of a tenant.
func (r *Runner) Remaining(ctx context.Context, key string) (counts []erasure.Count, err error) {
	x := r.prepare(&ledger.Erasure{}, "")
	err = x.read(ctx, func(tx pgx.Tx) error {
		counts, err = x.Plan.Remaining(ctx, tx, key)
		return err
	})
	return counts, err
}

// Report is what a run did for one erasure, as `reaper erase -o json` prints it.
type Report struct {
	ErasureID     string           `json:"erasure_id"`
	RunID         string           `json:"run_id"`
	Tenant        string           `json:"tenant"`
	State         string           `json:"state"` // of the erasure
	Status        purge.Status     `json:"status"`
	Reason        string           `json:"reason"`
	StartedAt     time.Time        `json:"started_at"`
	FinishedAt    time.Time        `json:"finished_at"`
	Rows          map[string]int64 `json:"rows"` // deleted, by schema.table
	RowsTotal     int64            `json:"rows_total"`
	RowsRedacted  int64            `json:"rows_redacted"`
	RowsNullified int64            `json:"rows_nullified"`
	Kept          []ledger.Kept    `json:"kept"`
	Batches       int64            `json:"batches"`
	WALBytes      int64            `json:"wal_bytes"`
	Seconds       float64          `json:"seconds"`
}

// run is one run over one erasure.
type run struct {
	*Runner
	e       *ledger.Erasure
	key     string
	gone    bool // the tenants' table has no such row
	print   string
	seq     int64
	size    int // rows that the next batch takes
	started time.Time
	report  *Report

	heldAt  time.Time // when nothing was last found to hold the tenant by the file
	paused  time.Duration
	advised guard.State
}

// stop ends a run before its end: incomplete, with this reason.
type stop struct{ reason string }

// Error implements error.
func (s stop) Error() string { return s.reason }

func stopf(format string, args ...any) error { return stop{fmt.Sprintf(format, args...)} }

// Erase erases the tenant of one erasure, as far as it gets, and reports. An error means that not even
// that could be recorded; nothing was touched.
func (r *Runner) Erase(ctx context.Context, e *ledger.Erasure) (*Report, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("generating a run ID: %w", err)
	}
	x := r.prepare(e, id.String())
	if e.Tenant == nil {
		return nil, errors.New("erasing: the ledger no longer knows the tenant")
	}
	var now int64
	var base string
	if err := pg.Pinned(r.Pool).QueryRow(ctx, pg.ClockSQL).Scan(&now, &base); err != nil {
		return nil, fmt.Errorf("reading the database's clock: %w", err)
	}
	x.report.StartedAt = time.UnixMicro(now)
	if err := r.Ledger.OpenRun(ctx, r.Pool, x.report.RunID, policy.ErasurePolicy, r.Trigger, base); err != nil {
		return nil, fmt.Errorf("recording the run: %w", err)
	}
	done := purge.KeepAlive(ctx, x.Log, func(ctx context.Context) error { return x.Ledger.KeepAlive(ctx, x.Control, x.report.RunID) })
	err = x.all(ctx)
	done()
	return x.report, x.close(ctx, err)
}

// prepare fills in the defaults.
func (r *Runner) prepare(e *ledger.Erasure, id string) *run {
	own := *r
	own.Control, own.MaxPause, own.Patience = cmp.Or(r.Control, r.Pool), cmp.Or(r.MaxPause, guard.DefaultMaxPause), cmp.Or(r.Patience, 30*time.Second)
	if own.Observer == nil {
		own.Observer = purge.Silent{}
	}
	if own.Log == nil {
		own.Log = slog.New(slog.DiscardHandler)
	}
	if own.Stopping == nil {
		own.Stopping = context.Background()
	}
	if own.Sweeps == nil {
		own.Sweeps = DefaultSweeps
	}
	x := &run{Runner: &own, e: e, gone: e.Gone || e.State == ledger.ErasureEnded && !e.RowStays, size: firstSize, started: time.Now(), report: &Report{ErasureID: e.ID, RunID: id, State: e.State, Rows: map[string]int64{}, Kept: []ledger.Kept{}}}
	if e.Tenant != nil {
		x.key = *e.Tenant
	}
	x.report.Tenant = x.key
	own.Log = own.Log.With("run_id", id, "erasure_id", e.ID)
	return x
}

// refused ends a run that needs a person's word first.
type refused struct{ reason string }

// Error implements error.
func (r refused) Error() string { return r.reason }

// all does everything between the run's first row in the ledger and its last.
func (x *run) all(ctx context.Context) error {
	if err := x.claim(ctx); err != nil {
		return err
	}
	if err := x.keptOfAnother(ctx); err != nil {
		return err
	}
	if err := x.fileHolds(ctx); err != nil {
		return err
	}
	if err := x.tell(ctx); err != nil {
		return err
	}
	if err := x.wait(ctx); err != nil {
		return err
	}
	if err := x.drain(ctx); err != nil {
		return err
	}
	return x.recheck(ctx)
}

// keptOfAnother leaves the kept rows of a tenant that is gone alone while another one has its key: nothing
// tells whose they are.
func (x *run) keptOfAnother(ctx context.Context) error {
	if x.e.State != ledger.ErasureEnded || !x.gone {
		return nil
	}
	taken, err := x.taken(ctx)
	if err != nil || taken == "" {
		return err
	}
	if err := x.Ledger.PutOffErasure(ctx, x.Pool, x.e.ID, lookAgainAfter); err != nil {
		return err
	}
	return stopf("%s: the tenants' table has a row of this key, so rows that were kept stay", inUse)
}

// claim passes the gates, and makes this run that of the erasure.
func (x *run) claim(ctx context.Context) error {
	x.print = Print(x.Plan).Digest()
	if x.Gates != nil {
		why, err := x.Gates.PassErasure(ctx, x.report.RunID, Judged(x.Plan, x.e.Origin == ledger.ByWhen && x.e.State == ledger.ErasureRequested))
		if err != nil {
			return err
		}
		if why != "" {
			return refused{why}
		}
	}
	ours, err := x.Ledger.ClaimErasure(ctx, x.Pool, x.e.ID, x.report.RunID, x.print)
	if err != nil || ours {
		return err
	}
	now, err := x.Ledger.Erasure(ctx, x.Pool, x.e.ID)
	switch {
	case err != nil:
		return err
	case now == nil || !now.Open():
		return stopf("the erasure is no longer open")
	}
	return stopf("another process is at it, in run %s", *now.RunID)
}

// close records how the run ended.
func (x *run) close(ctx context.Context, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), x.Patience)
	defer cancel()
	r := x.report
	r.Status, r.Reason = ending(err)
	if r.Status != purge.Complete {
		x.Log.Warn("erasure did not end", "status", r.Status, "reason", r.Reason)
		if err := x.Ledger.NoteErasure(ctx, x.Pool, x.e.ID, r.Reason); err != nil {
			return err
		}
	}
	_, err = x.Ledger.CloseRun(ctx, x.Pool, r.RunID, policy.ErasurePolicy, string(r.Status), r.Reason, r.WALBytes, r.Status == purge.Complete)
	if err != nil {
		return fmt.Errorf("recording the end of the run: %w", err)
	}
	r.Seconds = time.Since(x.started).Seconds()
	r.FinishedAt = r.StartedAt.Add(time.Since(x.started))
	now, err := x.Ledger.Erasure(ctx, x.Pool, x.e.ID)
	if err == nil && now != nil {
		r.State = now.State
	}
	return err
}

// ending is the status of a run that an error ended, with the reason.
func ending(err error) (purge.Status, string) {
	var halt stop
	var no refused
	switch {
	case err == nil:
		return purge.Complete, ""
	case errors.As(err, &no):
		return purge.Refused, no.reason
	case errors.As(err, &halt):
		return purge.Incomplete, halt.reason
	case errors.Is(err, context.Canceled):
		return purge.Incomplete, ledger.StoppedReason
	case errors.Is(err, erasure.ErrSchemaChanged):
		return purge.Incomplete, err.Error()
	}
	return purge.Failed, pg.ErrorText(err)
}
