package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/web"
)

// runs are those of this process: how far each is, and what ends it.
type runs struct {
	log *slog.Logger
	// inForce is a policy as the file has it now; false: it no longer does.
	inForce func(policy string) (entry, bool)

	// stopping is done when runs end after the current batch, alive at once.
	stopping, alive context.Context
	stop, cancel    context.CancelFunc
	working         sync.WaitGroup

	mu       sync.Mutex
	policies perPolicy[ownRun]
}

// ownRun is the run of a policy in this process.
type ownRun struct {
	entry    entry              // of the policy when the run began
	progress *web.Progress      // nil: there is none
	stop     context.CancelFunc // ends it after the current batch
	claim    func()             // makes it the run of a claim
	failed   bool               // the last verdict was a failure
}

func newRuns(log *slog.Logger, inForce func(policy string) (entry, bool)) *runs {
	r := &runs{log: log, inForce: inForce}
	r.alive, r.cancel = context.WithCancel(context.Background())
	r.stopping, r.stop = context.WithCancel(r.alive)
	return r
}

// adopt takes over the policies of another file. Runs of policies that it changes or
// no longer has end after their batch; it gives the names of those that are to begin
// anew.
func (r *runs) adopt(entries []entry) (again []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	after := map[string]entry{}
	for _, e := range entries {
		after[e.name()] = e
	}
	for name, o := range r.policies.known {
		if o.progress == nil {
			continue
		}
		e, stays := after[name]
		if !stays {
			o.stop()
		} else if e.differs(o.entry) {
			o.stop()
			again = append(again, name)
		}
	}
	r.policies.adopt(namesOf(entries))
	return again
}

// begin enters a run of a policy, and gives the policy as it is in force, and what ends
// the run after the current batch. A policy that has just left the file is not run. claim
// is what promote calls.
func (r *runs) begin(e entry, p web.Progress, claim func()) (now entry, stopping context.Context, stop context.CancelFunc) {
	stopping, stop = context.WithCancel(r.stopping)
	r.mu.Lock()
	defer r.mu.Unlock()
	now, stays := r.inForce(e.name())
	if !stays {
		stop()
		return e, stopping, stop
	}
	o := r.policies.of(e.name())
	o.entry, o.progress, o.stop, o.claim = now, &p, stop, claim
	return now, stopping, stop
}

// progress changes how far the run of a policy is.
func (r *runs) progress(name string, change func(*web.Progress)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.policies.of(name)
	if o.progress == nil {
		return
	}
	next := *o.progress // the one before is in a picture, and does not change any more
	change(&next)
	o.progress = &next
}

// running is how far the run of a policy is; nil: there is none.
func (r *runs) running(name string) *web.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.policies.of(name).progress
}

// promote makes a run beside another's that of the claim, if it is still under way.
func (r *runs) promote(name, runID string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.policies.of(name)
	if o.progress == nil || o.progress.RunID != runID {
		return
	}
	next := *o.progress
	next.Trigger = byCatchUp
	o.progress = &next
	o.claim()
}

// any reports whether a run is under way.
func (r *runs) any() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.policies.known {
		if o.progress != nil {
			return true
		}
	}
	return false
}

// lendAfter is how long a run keeps its place for itself: one that takes long must not keep
// the others from beginning.
const lendAfter = 2 * time.Minute

// free reports whether there is a place for another run among so many.
func (r *runs) free(places int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, o := range r.policies.known {
		if o.progress != nil && time.Since(o.progress.StartedAt) < lendAfter {
			places--
		}
	}
	return places > 0
}

// end notes that the run of a policy has ended.
func (r *runs) end(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o := r.policies.of(name)
	o.progress, o.stop, o.claim = nil, nil, nil
}

// verdict takes over what a monitor is to be told of a run, and gives what it is told
// where several policies share it: no success while another of them fails, which it
// would hide.
func (r *runs) verdict(e entry, ping heartbeat.Ping) heartbeat.Ping {
	r.mu.Lock()
	defer r.mu.Unlock()
	if ping.Event != heartbeat.Log { // which is no verdict
		r.policies.of(e.name()).failed = ping.Event == heartbeat.Fail
	}
	if ping.Event != heartbeat.Success {
		return ping
	}
	for _, name := range r.policies.names {
		if name == e.name() || !r.policies.of(name).failed {
			continue
		}
		if o, ok := r.inForce(name); ok && o.monitor.Same(e.monitor) {
			ping = BesideFailure(ping, name)
		}
	}
	return ping
}

// lifetime is done when runs are killed.
func (r *runs) lifetime() context.Context { return r.alive }

// ending is done when runs end after the current batch.
func (r *runs) ending() context.Context { return r.stopping }

// start has a run work, for await to wait for.
func (r *runs) start(do func()) { r.working.Go(do) }

// kill ends all runs at once.
func (r *runs) kill() { r.cancel() }

// await has runs end after the current batch, and waits until all have; those that take
// too long for the grace time are killed, which rolls their batches back.
func (r *runs) await(grace time.Duration) {
	r.stop()
	done := make(chan struct{})
	go func() {
		r.working.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(grace * 6 / 10):
		r.log.Warn("batch exceeds the grace time; rolling it back")
		r.kill()
		select {
		case <-done:
		case <-time.After(grace / 10):
			r.log.Warn("run does not end; closing its connections") // the server rolls back
		}
	}
}
