package daemon

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

// begin begins a run of one policy.
func (d *Daemon) begin(s *state, runID, trigger string) {
	stopping, stop := context.WithCancel(d.stopping)
	r := &run{d: d, s: s, id: runID, trigger: trigger, started: time.Now(), stopping: stopping, stop: stop}
	d.mu.Lock()
	now := d.state(s.name())
	now.running = &web.Progress{RunID: runID, Trigger: trigger, Instance: d.Instance, StartedAt: r.started}
	now.stop = stop
	d.mu.Unlock()
	d.Metrics.RunStarted(s.name())
	d.Log.Info("run begins", "run_id", runID, "policy", s.name(), "trigger", trigger)
	if r.pinged() {
		d.Pings.Send(s.monitor, heartbeat.Ping{Event: heartbeat.Start, RunID: runID, Policy: s.name()})
	}
	d.runs.Go(r.do)
}

// run is one run of one policy in this process.
type run struct {
	d           *Daemon
	s           *state // as it was when the run began: a reload replaces it
	id, trigger string
	started     time.Time
	stopping    context.Context
	stop        context.CancelFunc
	ended       sync.Once
}

// pinged tells whether a monitor hears of the run: of those of several processes
// on one occasion, only the one that has claimed it.
func (r *run) pinged() bool { return r.trigger != byAssist }

func (r *run) do() {
	defer r.stop()
	// One policy must not take the others along.
	defer func() {
		if p := recover(); p != nil {
			r.end(r.failed(fmt.Sprintf("a fault of reaper itself: %v", p)))
		}
	}()
	d := r.d
	plans, err := d.compile(d.alive, r.s.file, r.s.name())
	for began := time.Now(); passing(err) && time.Since(began) < d.Patience && r.stopping.Err() == nil; {
		select {
		case <-time.After(controlEvery):
		case <-r.stopping.Done():
		}
		plans, err = d.compile(d.alive, r.s.file, r.s.name())
	}
	if err != nil {
		r.end(r.failed(err.Error()))
		return
	}
	d.mu.Lock()
	d.planned(d.state(r.s.name()), plans)
	d.mu.Unlock()
	runner := purge.Runner{
		Pool: d.Pool, Control: d.Control, Ledger: d.Ledger, Observer: &observer{run: r, d: d, policy: r.s.name()}, Log: d.Log, Stopping: r.stopping,
		Patience: d.Patience, Connections: d.Connections, VacuumTime: d.VacuumTime, Shared: d.shared, Guard: d.heed(), MaxPause: r.s.file.Guards.MaxPause,
		// A run has ended when it is recorded: what is vacuumed after it may take long.
		Closed: func(report *purge.Report) { r.end(report.Policies[0]) },
	}
	if _, err := runner.Run(d.alive, plans, purge.Options{RunID: r.id, Trigger: r.trigger, MaxDuration: d.Deadline, MaxRate: d.MaxRate}); err != nil {
		r.end(r.failed(err.Error()))
	}
}

// passing tells that the database was not reached, or had no connection left.
func passing(err error) bool {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case err == nil:
		return false
	case errors.As(err, &pg):
		return strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08")
	}
	return errors.As(err, &connect) || pgconn.SafeToRetry(err) || errors.Is(err, context.DeadlineExceeded)
}

// end tells everybody how the run ended.
func (r *run) end(report *purge.PolicyReport) {
	r.ended.Do(func() {
		d, name := r.d, r.s.name()
		at := time.Now()
		d.Metrics.RunEnded(metrics.Run{
			Policy: name, Trigger: r.trigger, Status: string(report.Status), EndedAt: at, Took: at.Sub(r.started), Success: report.Status == purge.Complete,
		})
		ping := Verdict(r.s.policy, r.id, report)
		d.mu.Lock()
		s := d.state(name)
		s.running, s.stop, s.scanAfter = nil, nil, time.Time{}
		if r.pinged() {
			s.failed = ping.Event == heartbeat.Fail
			ping = d.together(s, ping)
		}
		d.mu.Unlock()
		if r.pinged() {
			d.Pings.Send(r.s.monitor, ping)
		}
		ask(d.rescan)
		ask(d.reread)
	})
}

// together is what a monitor is told that several policies share: no success while
// another of them fails, which it would hide.
func (d *Daemon) together(s *state, ping heartbeat.Ping) heartbeat.Ping {
	if ping.Event != heartbeat.Success {
		return ping
	}
	for _, o := range d.policies {
		if o.failed && o.name() != s.name() && o.monitor.Same(s.monitor) {
			ping = BesideFailure(ping, o.name())
		}
	}
	return ping
}

// BesideFailure is what a success becomes while another policy fails that has the
// same monitor.
func BesideFailure(success heartbeat.Ping, other string) heartbeat.Ping {
	success.Event, success.Reason = heartbeat.Log, "no success is told while the policy "+other+" fails, which has the same monitor"
	return success
}

// state is what is known of a policy now: a reload replaces it. One that is gone
// from the file gets a state that nobody sees.
func (d *Daemon) state(name string) *state {
	for _, s := range d.policies {
		if s.name() == name {
			return s
		}
	}
	return &state{}
}

// Verdict is the last ping of a run of a policy: a success only if all of it is
// known to be well; neither that nor a failure where a pause by hand, or a window, has
// ended it.
func Verdict(p policy.Policy, runID string, report *purge.PolicyReport) heartbeat.Ping {
	facts := heartbeat.Facts{
		Status: string(report.Status), Reason: report.Reason, Readable: report.Status != purge.Failed,
		Skipped: int(report.Tenants.Skipped + report.Tenants.Failed), MaxLag: maxLag(p),
	}
	if report.LagSeconds != nil {
		facts.LagKnown, facts.Lag = true, time.Duration(*report.LagSeconds*float64(time.Second))
	}
	event, reason := heartbeat.Decide(facts)
	if facts.Skipped == 0 && meant(facts.Status, facts.Reason) {
		event = heartbeat.Log
	}
	return heartbeat.Ping{
		Event: event, RunID: runID, Policy: report.Name, Status: string(report.Status), Reason: reason, ExitStatus: report.Status.ExitCode(),
		Rows: report.RowsTotal, Tables: report.Rows, Batches: report.Batches, Duration: time.Duration(report.Seconds * float64(time.Second)),
	}
}

// maxLag is a policy's max_lag on the clock, a month taken as 31 days; 0: none.
func maxLag(p policy.Policy) time.Duration {
	if p.MaxLag == nil {
		return 0
	}
	return p.MaxLag.Approximately()
}

// compile plans one policy anew, for the schema may have changed; an error says
// everything that stands against it.
func (d *Daemon) compile(ctx context.Context, file *policy.File, name string) (plans []*purge.Plan, err error) {
	ctx, cancel := context.WithTimeout(ctx, compileTimeout)
	defer cancel()
	var server purge.Server
	err = d.Pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if server, err = purge.ReadServer(ctx, c.Conn()); err != nil {
			return err
		}
		plans, err = purge.Compile(ctx, c.Conn(), file, server, []string{name})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("looking at the database: %w", err)
	}
	problems := server.Problems()
	if len(plans) > 0 {
		if err := plans[0].Unplanned(); err != nil {
			return nil, err
		}
		problems = append(problems, plans[0].Problems...)
	}
	var errs []string
	for _, p := range problems {
		if p.Level == purge.LevelError {
			errs = append(errs, p.Text)
		}
	}
	switch {
	case server.ClockSkew > purge.MaxClockSkew:
		errs = append(errs, fmt.Sprintf("the clocks of the database and of this machine are %s apart", server.ClockSkew.Round(time.Minute)))
	case len(plans) != 1:
		errs = append(errs, "the policy is not in the policy file")
	}
	if len(errs) > 0 {
		return nil, fmt.Errorf("nothing was touched: %s (reaper check tells more)", strings.Join(errs, "; "))
	}
	return plans, nil
}

// compileTimeout bounds the planning of one policy.
const compileTimeout = 2 * time.Minute

// planned notes the tables that the policy's runs delete from.
func (d *Daemon) planned(s *state, plans []*purge.Plan) {
	if s.oids == nil {
		ask(d.resize)
	}
	s.tables, s.oids = tablesOf(plans[0])
	s.root = plans[0].Root.Table.OID
	d.watch.Touch(s.oids)
}

// failed records a run that could not begin, for silence is never success. If even
// that cannot be done, the occasion is not seen to.
func (r *run) failed(reason string) *purge.PolicyReport {
	d, name := r.d, r.s.name()
	d.Log.Error("run failed before it began", "run_id", r.id, "policy", name, "reason", reason)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.alive), askTimeout)
	defer cancel()
	err := d.Ledger.OpenRun(ctx, d.Control, r.id, name, r.trigger, r.started.UTC().Format(time.RFC3339Nano))
	if err == nil {
		_, err = d.Ledger.CloseRun(ctx, d.Control, r.id, name, string(purge.Failed), reason, 0, false)
	}
	if err != nil {
		d.Log.Error("cannot record a run that failed", "run_id", r.id, "policy", name, "error", safe(err))
		d.handle(r.s, time.Time{})
	}
	return &purge.PolicyReport{Name: name, Status: purge.Failed, Reason: reason, Rows: map[string]int64{}}
}

// observer tells metrics and page how far a run is.
type observer struct {
	run    *run
	d      *Daemon
	policy string
	told   time.Time // when the monitor last heard of a pause; zero: it has not
}

// pauseAgain is how long after one pause a monitor hears of no other of the run: a
// guard may pause a run every few seconds.
const pauseAgain = 10 * time.Minute

func (o *observer) progress(change func(*web.Progress)) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	s := o.d.state(o.policy)
	if s.running == nil {
		return
	}
	next := *s.running // the one before is in a picture, and does not change any more
	change(&next)
	s.running = &next
}

// Due is purge.Observer's.
func (o *observer) Due(_ string, roots int64) {
	if roots >= 0 {
		o.progress(func(p *web.Progress) { p.Due = &roots })
	}
}

// Batch is purge.Observer's.
func (o *observer) Batch(e purge.BatchEvent) {
	o.d.Metrics.BatchDone(o.policy, e.Duration)
	for table, n := range e.Deleted {
		o.d.Metrics.RowsDeleted(o.policy, table, n)
	}
	o.progress(func(p *web.Progress) {
		p.Roots += e.Roots
		p.Rows += e.Rows
		p.Batches++
		p.Tenant = e.Tenant
	})
}

// Retry is purge.Observer's.
func (o *observer) Retry(_, reason string) {
	if reason == purge.Overrun {
		o.d.Metrics.BatchOverrun(o.policy)
		return
	}
	o.d.Metrics.BatchRetried(o.policy, reason)
}

// Advised is purge.Observer's. A pause is told to the monitor too, which may wonder
// why the run takes so long; not each, where one follows the other.
func (o *observer) Advised(_ string, a purge.Advice) {
	o.progress(func(p *web.Progress) {
		p.Held = nil
		if a.State != purge.GuardGo {
			p.Held = &web.Held{Guard: a.Guard, State: string(a.State), Reason: a.Reason, Since: a.Since}
		}
	})
	if a.State == purge.GuardPause && o.run.pinged() && time.Since(o.told) >= pauseAgain {
		o.told = time.Now()
		o.d.Pings.Send(o.run.s.monitor, heartbeat.Ping{Event: heartbeat.Log, RunID: o.run.id, Policy: o.policy, Reason: "paused by the guard " + a.Guard + ": " + a.Reason})
	}
}
