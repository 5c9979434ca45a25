package daemon

import (
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/purge"
)

// pauses are what is paused by hand, by whichever process.
type pauses struct {
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics.Metrics

	mu       sync.Mutex
	inForce  []ledger.Pause
	policies perPolicy[pausing]
}

// pausing is how a policy is paused by hand.
type pausing struct {
	pause   *ledger.Pause // in force, that ends last; nil: none
	resumed time.Time     // when the last pause was seen to have ended; zero: there was none
}

func newPauses(now func() time.Time, log *slog.Logger, m *metrics.Metrics) *pauses {
	return &pauses{now: now, log: log, metrics: m}
}

func (p *pauses) adopt(names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policies.adopt(names)
}

// see takes over what is paused now.
func (p *pauses) see(all []ledger.Pause) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inForce = all
	for _, name := range p.policies.names {
		s := p.policies.of(name)
		before := s.pause
		s.pause = pauseOf(all, name)
		var until time.Time
		switch {
		case s.pause != nil:
			until = s.pause.Until
			if before == nil {
				p.log.Warn("policy paused by hand", "policy", name, "until", until, "reason", s.pause.Reason, "by", s.pause.By)
			}
		case before != nil:
			s.resumed = p.now()
			p.log.Info("pause by hand ended", "policy", name)
		}
		p.metrics.SetPolicyPaused(name, until)
	}
	p.metrics.SetPaused(len(all) > 0)
}

// of is how a policy is paused.
func (p *pauses) of(name string) pausing {
	p.mu.Lock()
	defer p.mu.Unlock()
	return *p.policies.of(name)
}

// all are those in force.
func (p *pauses) all() []ledger.Pause {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inForce
}

// meant reports whether a run has ended because a pause by hand, or the end of a window,
// outlasted it: that is what a person wanted, and no failure.
func meant(status, reason string) bool {
	if status != string(purge.Incomplete) || !strings.HasPrefix(reason, "paused for ") {
		return false
	}
	return strings.Contains(reason, " by the guard "+guard.ByHand+": ") || strings.Contains(reason, " by the guard "+guard.WindowsGuard+": ")
}

// handedOver reports whether a run was ended with its process, or for a change of the
// policy file: its claim is free, and another run resumes it. What somebody has begun by
// hand, or a CronJob, nobody resumes.
func handedOver(trigger, status, reason string) bool {
	return trigger != byHand && trigger != byOnce && status != string(purge.Complete) && strings.Contains(reason, ledger.StoppedReason)
}

// pauseOf is the pause that keeps a policy paused for longest; nil: none does.
func pauseOf(pauses []ledger.Pause, policy string) *ledger.Pause {
	var last *ledger.Pause
	for i, p := range pauses {
		if (p.Policy == nil || *p.Policy == policy) && (last == nil || p.Until.After(last.Until)) {
			last = &pauses[i]
		}
	}
	return last
}
