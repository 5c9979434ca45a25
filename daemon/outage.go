package daemon

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
)

const (
	// outageAfter is how long the database must be down until monitors are told: a
	// failover is over by then.
	outageAfter = time.Minute
	// outageAgain is how often the log says that it is still down.
	outageAgain = 5 * time.Minute
)

// outage tells monitors and log of a database that stays down: no run can.
type outage struct {
	log  *slog.Logger
	down func(reason string)       // the database has been down for a while
	back func(after time.Duration) // after down alone
	now  func() time.Time

	mu     sync.Mutex
	since  time.Time // of what was last seen; zero: it was up
	told   bool      // the monitors
	logged time.Time // when the log last said so
}

func newOutage(now func() time.Time, log *slog.Logger, down func(reason string), back func(after time.Duration)) *outage {
	return &outage{now: now, log: log, down: down, back: back}
}

// look takes over what was last heard of the database.
func (o *outage) look(r reachable) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	if r.since == nil {
		o.end(now, r.up)
		return
	}
	if o.since.IsZero() {
		o.since, o.logged = *r.since, *r.since // which the pulse has logged
	}
	if !o.told && now.Sub(o.since) >= outageAfter {
		o.told = true
		o.down(r.err)
	}
	if now.Sub(o.logged) >= outageAgain {
		o.logged = now
		o.log.Error("database is still down", "duration_seconds", inSeconds(now.Sub(o.since)), "error", r.err)
	}
}

// end notes that the database is not down. The lock is held.
func (o *outage) end(now time.Time, up bool) {
	if !up || o.since.IsZero() { // it was not asked yet, or was never down
		return
	}
	if o.told {
		o.back(now.Sub(o.since))
	}
	o.since, o.told = time.Time{}, false
}

// tellDown tells every monitor that the database is down.
func (d *Daemon) tellDown(reason string) {
	d.tellMonitors(heartbeat.Ping{Event: heartbeat.Fail, Reason: "the database does not answer: " + reason})
}

// tellBack tells every monitor that it is back. That is no success: the next run's verdict
// says whether all is well.
func (d *Daemon) tellBack(after time.Duration) {
	d.tellMonitors(heartbeat.Ping{Event: heartbeat.Log, Reason: "the database answers again, after " + after.Round(time.Second).String()})
}

// tellMonitors sends a ping about the process to every monitor, once.
func (d *Daemon) tellMonitors(p heartbeat.Ping) {
	entries := d.timetable.entries()
	for i, e := range entries {
		if !slices.ContainsFunc(entries[:i], func(o entry) bool { return o.monitor.Same(e.monitor) }) {
			d.Pings.Send(e.monitor, p)
		}
	}
}
