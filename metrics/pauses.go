package metrics

import "time"

// SetPaused says whether anything is paused by hand.
func (m *Metrics) SetPaused(paused bool) { m.paused.Set(number(paused)) }

// SetPolicyPaused says until when a policy is paused by hand, alone or with all
// others. The zero time: it is not.
func (m *Metrics) SetPolicyPaused(policy string, until time.Time) {
	m.known(policy, func() {
		m.policyPaused.WithLabelValues(policy).Set(number(!until.IsZero()))
		put(m.pauseEnd, policy, seconds(until), !until.IsZero())
	})
}

// SetHolds says how many holds by hand are in force.
func (m *Metrics) SetHolds(n int) { m.holds.Set(float64(n)) }
