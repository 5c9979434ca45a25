package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus/promauto"
)

// erasing registers what is known of erasures.
func (m *Metrics) erasing(f promauto.Factory) {
	m.erasures = gauges(f, "reaper_erasures", "Erasures of tenants in the ledger, by state.", "state")
	m.erasureOverdue = gauge(f, "reaper_erasure_overdue_seconds", "For how long the erasure that is most overdue has been due; 0 while none is.")
	m.leftovers = gauges(f, "reaper_leftover_rows", "Rows that the last sweep found, and left, for tenants that were erased.", "table")
}

// SetErasures says how many erasures there are in each state, and for how long the one that is most
// overdue has been due; 0: none is.
func (m *Metrics) SetErasures(states map[string]int, overdue time.Duration) {
	for state, n := range states {
		m.erasures.WithLabelValues(state).Set(float64(n))
	}
	m.erasureOverdue.Set(overdue.Seconds())
}

// SetLeftovers says how many rows the last sweeps have left, by table (schema.table).
func (m *Metrics) SetLeftovers(rows map[string]int64) {
	m.leftovers.Reset()
	for table, n := range rows {
		m.leftovers.WithLabelValues(table).Set(float64(n))
	}
}
