package daemon

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

// begin begins a run of one policy.
func (d *Daemon) begin(s *state, runID, trigger string) {
	d.mu.Lock()
	file := d.file
	d.state(s.name()).running = &web.Progress{RunID: runID, Trigger: trigger, Instance: d.Instance, StartedAt: time.Now()}
	d.mu.Unlock()
	d.Metrics.RunStarted(s.name())
	d.runs.Go(func() {
		r := &run{d: d, s: s, id: runID, trigger: trigger, started: time.Now()}
		r.do(file)
	})
}

// run is one run of one policy in this process.
type run struct {
	d           *Daemon
	s           *state
	id, trigger string
	started     time.Time
}

// pinged tells whether a monitor hears of the run: of those of several processes
// on one occasion, only the one that has claimed it.
func (r *run) pinged() bool { return r.trigger != byAssist }

func (r *run) do(file *policy.File) {
	d, name := r.d, r.s.name()
	d.Log.Info("run begins", "run_id", r.id, "policy", name, "trigger", r.trigger)
	if r.pinged() {
		d.Pings.Send(r.s.monitor, heartbeat.Ping{Event: heartbeat.Start, RunID: r.id, Policy: name})
	}
	report := r.purge(file)
	ended := time.Now()
	d.Metrics.RunEnded(metrics.Run{
		Policy: name, Trigger: r.trigger, Status: string(report.Status), EndedAt: ended, Took: ended.Sub(r.started), Success: report.Status == purge.Complete,
	})
	if r.pinged() {
		d.Pings.Send(r.s.monitor, Verdict(r.s.policy, r.id, report))
	}
	d.mu.Lock()
	d.state(name).running = nil
	d.mu.Unlock()
	d.askScan()
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
// known to be well.
func Verdict(p policy.Policy, runID string, report *purge.PolicyReport) heartbeat.Ping {
	facts := heartbeat.Facts{
		Status: string(report.Status), Reason: report.Reason, Readable: report.Status != purge.Failed,
		Skipped: int(report.Tenants.Skipped + report.Tenants.Failed), MaxLag: maxLag(p),
	}
	if report.LagSeconds != nil {
		facts.LagKnown, facts.Lag = true, time.Duration(*report.LagSeconds*float64(time.Second))
	}
	event, reason := heartbeat.Decide(facts)
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

// purge plans the policy anew, for the schema may have changed, and runs it.
func (r *run) purge(file *policy.File) *purge.PolicyReport {
	d, name := r.d, r.s.name()
	ctx := d.alive
	plans, err := d.compile(ctx, file, name)
	if err != nil {
		return r.failed(ctx, err.Error())
	}
	d.mu.Lock()
	s := d.state(name)
	s.tables, s.problem = tablesOf(plans), ""
	d.mu.Unlock()
	runner := purge.Runner{
		Pool: d.Pool, Ledger: d.Ledger, Observer: &observer{d: d, policy: name}, Log: d.Log, Stopping: d.stopping,
		Patience: d.Patience, Connections: d.Connections, VacuumTime: d.VacuumTime, Shared: d.shared,
	}
	report, err := runner.Run(ctx, plans, purge.Options{RunID: r.id, Trigger: r.trigger, MaxDuration: d.Deadline, MaxRate: d.MaxRate})
	if err != nil {
		return r.failed(ctx, err.Error())
	}
	return report.Policies[0]
}

// compile plans one policy; an error says everything that stands against it.
func (d *Daemon) compile(ctx context.Context, file *policy.File, name string) (plans []*purge.Plan, err error) {
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
	var problems []string
	for _, p := range append(server.Problems(), plans[0].Problems...) {
		if p.Level == purge.LevelError {
			problems = append(problems, p.Text)
		}
	}
	if server.ClockSkew > purge.MaxClockSkew {
		problems = append(problems, fmt.Sprintf("the clocks of the database and of this machine are %s apart", server.ClockSkew.Round(time.Minute)))
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("nothing was touched: %s (reaper check tells more)", strings.Join(problems, "; "))
	}
	return plans, nil
}

func tablesOf(plans []*purge.Plan) (names []string) {
	for _, n := range plans[0].Nodes {
		if n.Deleted {
			names = append(names, n.Table.Name.String())
		}
	}
	return names
}

// failed records a run that could not begin, for silence is never success.
func (r *run) failed(ctx context.Context, reason string) *purge.PolicyReport {
	d, name := r.d, r.s.name()
	d.mu.Lock()
	d.state(name).problem = reason
	d.mu.Unlock()
	d.Log.Error("run failed before it began", "run_id", r.id, "policy", name, "reason", reason)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	err := d.Ledger.OpenRun(ctx, d.Pool, r.id, name, r.trigger, r.started.UTC().Format(time.RFC3339Nano))
	if err == nil {
		err = d.Ledger.CloseRun(ctx, d.Pool, r.id, name, string(purge.Failed), reason, 0, false)
	}
	if err != nil {
		d.Log.Error("cannot record a run that failed", "run_id", r.id, "policy", name, "error", err)
	}
	return &purge.PolicyReport{Name: name, Status: purge.Failed, Reason: reason, Rows: map[string]int64{}}
}

// observer tells metrics and page how far a run is.
type observer struct {
	d      *Daemon
	policy string
}

func (o *observer) progress(change func(*web.Progress)) {
	o.d.mu.Lock()
	defer o.d.mu.Unlock()
	if p := o.d.state(o.policy).running; p != nil {
		next := *p // those that are in a picture do not change any more
		change(&next)
		o.d.state(o.policy).running = &next
	}
	o.d.seen = time.Now()
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
func (o *observer) Retry(_, reason string) { o.d.Metrics.BatchRetried(o.policy, reason) }
