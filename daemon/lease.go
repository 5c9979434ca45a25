package daemon

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/reaperdb/reaper/metrics"
)

const leaseLength = 20 * time.Second

// leaseName is that of the one process that measures.
const leaseName = "scan"

// leases give the lease to one process at a time. A book has them.
type leases interface {
	Lease(ctx context.Context) (holder string, err error)
	Release(ctx context.Context) error
}

// lease is which of the processes on a database measures. What the ledger says is
// believed for as long as the lease lasts.
type lease struct {
	instance string
	leases   leases
	now      func() time.Time
	log      *slog.Logger
	metrics  *metrics.Metrics
	changed  func() // it is another process than before

	mu     sync.Mutex
	holder string    // empty: none, or not known
	told   time.Time // when the ledger last said so
}

func newLease(instance string, from leases, now func() time.Time, log *slog.Logger, m *metrics.Metrics, changed func()) *lease {
	return &lease{instance: instance, leases: from, now: now, log: log, metrics: m, changed: changed}
}

// renew takes or renews the lease.
func (l *lease) renew(ctx context.Context) error {
	holder, err := l.leases.Lease(ctx)
	holder, changed := l.heard(holder, err)
	l.metrics.SetLeader(holder == l.instance)
	if changed {
		l.log.Info("measurement leader changed", "instance", holder)
		l.changed()
	}
	return err
}

// heard takes over what the ledger says, or notes that it says nothing.
func (l *lease) heard(told string, err error) (holder string, changed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	switch {
	case err == nil:
		holder, l.told = told, now
	case now.Sub(l.told) <= leaseLength:
		holder = l.holder
	}
	changed = holder != l.holder
	l.holder = holder
	return holder, changed
}

// look takes over who has the lease, for a process that does not want it.
func (l *lease) look(holder string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holder = holder
}

// leader is the process that measures; empty: none does, or it is not known.
func (l *lease) leader() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.holder
}

// leads reports whether this process measures.
func (l *lease) leads() bool { return l.leader() == l.instance }

// release gives the lease back, if this process has it.
func (l *lease) release(ctx context.Context) {
	if !l.leads() {
		return
	}
	l.metrics.SetLeader(false)
	once, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := l.leases.Release(once); err != nil {
		l.log.Warn("lease not released; it expires by itself", "error", safe(err))
	}
}
