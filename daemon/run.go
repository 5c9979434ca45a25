package daemon

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/tracing"
	"github.com/reaperdb/reaper/web"
)

// begin begins a run of one policy.
func (d *Daemon) begin(e entry, runID, trigger string) {
	r := &run{d: d, id: runID, trigger: trigger, started: time.Now()}
	r.claimed.Store(trigger != byAssist)
	r.entry, r.stopping, r.stop = d.runs.begin(e, web.Progress{RunID: runID, Trigger: trigger, Instance: d.Instance, StartedAt: r.started}, r.claim)
	d.Metrics.RunStarted(e.name())
	d.Log.Info("run started", "run_id", runID, "policy", e.name(), "trigger", trigger)
	r.tellStart()
	d.runs.start(r.do)
}

// run is one run of one policy in this process.
type run struct {
	d           *Daemon
	entry       entry // as it was when the run began
	id, trigger string
	claimed     atomic.Bool // it is the run of a claim, from the beginning or by now
	started     time.Time
	stopping    context.Context
	stop        context.CancelFunc
	ended       sync.Once
}

// pinged reports whether a monitor hears of the run: of those of several processes
// on one occasion, only the one that has claimed it.
func (r *run) pinged() bool { return r.claimed.Load() }

// cause is what started the run, or what it has become since.
func (r *run) cause() string {
	if r.trigger == byAssist && r.claimed.Load() {
		return byCatchUp
	}
	return r.trigger
}

// claim makes a run beside another's that of the claim: the other's process is gone.
func (r *run) claim() {
	r.claimed.Store(true)
	r.d.Log.Info("run took over the claim of a process that is gone", "run_id", r.id, "policy", r.entry.name())
	r.tellStart()
}

func (r *run) tellStart() {
	if r.pinged() {
		r.d.Pings.Send(r.entry.monitor, heartbeat.Ping{Event: heartbeat.Start, RunID: r.id, Policy: r.entry.name()})
	}
}

func (r *run) do() {
	defer r.stop()
	// One policy must not take the others along.
	defer func() {
		if p := recover(); p != nil {
			r.end(r.failed(fmt.Sprintf("a fault of reaper itself: %v", p)))
		}
	}()
	d := r.d
	observed, traced := d.Tracer.Begin(tracing.Run{ID: r.id, Trigger: r.trigger, Policies: []string{r.entry.name()}}, &observer{run: r, d: d, policy: r.entry.name()})
	defer traced(nil)
	plans, err := r.plan()
	if err != nil {
		r.end(r.failed(pg.OneLine(err)))
		return
	}
	d.planned(r.entry.name(), plans[0])
	into, err := deletion.ArchiveOf(r.entry.file)
	if err != nil {
		r.end(r.failed(pg.OneLine(err)))
		return
	}
	runner := purge.Runner{
		Archive: countArchive(into, d.Metrics), Gate: d.gates(d.Pool), Pool: d.Pool, Control: d.Control, Ledger: d.Ledger, Observer: observed, Log: d.Log, Stopping: r.stopping,
		Patience: d.Patience, Connections: d.Connections, VacuumTime: d.VacuumTime, Shared: d.shared, Guard: d.watching.guards(), MaxPause: r.entry.file.Guards.MaxPause,
		// A run has ended when it is recorded: what is vacuumed after it may take long.
		Closed: func(report *purge.Report) {
			traced(report)
			r.end(report.Policies[0])
		},
	}
	if _, err := runner.Run(d.runs.lifetime(), plans, purge.Options{RunID: r.id, Trigger: r.trigger, MaxDuration: d.Deadline, MaxRate: d.MaxRate}); err != nil {
		r.end(r.failed(pg.OneLine(err)))
	}
	d.pruneArchive(d.runs.lifetime(), r.entry.file, &r.entry.policy)
}

// plan plans the policy, and waits for a server that went away.
func (r *run) plan() ([]*plan.Plan, error) {
	d := r.d
	plans, err := compile(d.runs.lifetime(), d.Pool, d.Ledger, r.entry.file, r.entry.name(), all)
	for began := time.Now(); passing(err) && time.Since(began) < d.Patience && r.stopping.Err() == nil; {
		select {
		case <-time.After(controlEvery):
		case <-r.stopping.Done():
		}
		plans, err = compile(d.runs.lifetime(), d.Pool, d.Ledger, r.entry.file, r.entry.name(), all)
	}
	return plans, err
}

// end tells everybody how the run ended.
func (r *run) end(report *purge.PolicyReport) {
	r.ended.Do(func() {
		d, name := r.d, r.entry.name()
		at := time.Now()
		d.Metrics.RunEnded(metrics.Run{
			Policy: name, Trigger: r.cause(), Status: string(report.Status), EndedAt: at, Took: at.Sub(r.started), Success: report.Status == purge.Complete,
		})
		LogRun(d.Log, r.id, r.cause(), report)
		ping := Verdict(r.entry.policy, r.id, report)
		if handedOver(r.cause(), string(report.Status), report.Reason) {
			ping.Event, ping.Reason = heartbeat.Log, report.Reason+"; the next run resumes it"
		}
		d.runs.end(name)
		d.scans.again(name)
		if r.pinged() {
			d.Pings.Send(r.entry.monitor, d.runs.verdict(r.entry, ping))
		}
		ask(d.rescan)
		ask(d.reread)
	})
}

// BesideFailure is what a success becomes while another policy fails that has the
// same monitor.
func BesideFailure(success heartbeat.Ping, other string) heartbeat.Ping {
	success.Event, success.Reason = heartbeat.Log, "no success is told while the policy "+other+" fails, which has the same monitor"
	return success
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

// failed records a run that could not begin, for silence is never success. If even
// that cannot be done, the occasion is not seen to.
func (r *run) failed(reason string) *purge.PolicyReport {
	d, name := r.d, r.entry.name()
	if r.stopping.Err() != nil {
		reason += "; " + ledger.StoppedReason
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.runs.lifetime()), askTimeout)
	defer cancel()
	err := d.Ledger.OpenRun(ctx, d.Control, r.id, name, r.trigger, r.started.UTC().Format(time.RFC3339Nano))
	if err == nil {
		_, err = d.Ledger.CloseRun(ctx, d.Control, r.id, name, string(purge.Failed), reason, 0, false)
	}
	if err != nil {
		d.Log.Error("cannot record a failed run in the ledger", "run_id", r.id, "policy", name, "error", safe(err))
		d.timetable.handle(name, time.Time{})
	}
	return &purge.PolicyReport{Name: name, Status: purge.Failed, Reason: reason, Seconds: time.Since(r.started).Seconds(), Rows: map[string]int64{}}
}
