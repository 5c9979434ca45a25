package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Storage is the room of the database, and how it fills. What is nil is not known,
// or, of FullAt, does not come at this rate.
type Storage struct {
	Limit, Used *int64     // bytes
	Growth      *float64   // bytes a second; below 0: it shrinks
	FullAt      *time.Time // when Used reaches Limit
}

// SetStorage gives the room of the database.
func (m *Metrics) SetStorage(s Storage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	putIf(m.storageLimit, s.Limit)
	putIf(m.storageUsed, s.Used)
	putIf(m.storageGrowth, s.Growth)
	var full *float64
	if s.FullAt != nil {
		full = new(seconds(*s.FullAt))
	}
	putIf(m.storageFull, full)
}

// Balance is whether deleting keeps up with a policy. Rates are in rows a second.
// What is nil is not known, or, of Clear, never comes.
type Balance struct{ Arrival, Deletion, Clear *float64 }

// SetBalance gives the balance of a policy; Clear is in seconds.
func (m *Metrics) SetBalance(policy string, b Balance) {
	m.known(policy, func() {
		putIf(m.arrival, b.Arrival, policy)
		putIf(m.deletion, b.Deletion, policy)
		putIf(m.clear, b.Clear, policy)
	})
}

// putIf sets a value, or takes its series away where it is not known.
func putIf[N int64 | float64](g *prometheus.GaugeVec, value *N, labels ...string) {
	if value == nil {
		g.DeleteLabelValues(labels...)
		return
	}
	g.WithLabelValues(labels...).Set(float64(*value))
}
