package daemon

import (
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

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

func (o *observer) progress(change func(*web.Progress)) { o.d.runs.progress(o.policy, change) }

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
func (o *observer) Advised(_ string, a guard.Advice) {
	o.progress(func(p *web.Progress) {
		p.Held = nil
		if a.State != guard.Go {
			p.Held = &web.Held{Guard: a.Guard, State: a.State.String(), Reason: a.Reason, Since: a.Since}
		}
	})
	if a.State == guard.Pause && o.run.pinged() && time.Since(o.told) >= pauseAgain {
		o.told = time.Now()
		o.d.Pings.Send(o.run.entry.monitor, heartbeat.Ping{Event: heartbeat.Log, RunID: o.run.id, Policy: o.policy, Reason: "paused by the guard " + a.Guard + ": " + a.Reason})
	}
}
