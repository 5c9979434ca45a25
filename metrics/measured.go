package metrics

import "time"

// Scan is what a look at a policy's table found.
type Scan struct {
	At             time.Time     // when
	Oldest         time.Time     // the age of the oldest expired row; zero: nothing is due
	Lag            time.Duration // 0: nothing is due
	Rows           int64         // that are due; below zero: not known
	OverdueTenants int64         // below zero: not known
}

// LagScanned tells what a look at the policy's table found. A look that failed is
// not told: the values stay, and reaper_lag_scan_timestamp_seconds shows how
// old they are. Only a leader's look counts, for it is the one that is repeated.
func (m *Metrics) LagScanned(policy string, s Scan) {
	m.known(policy, func() {
		if !m.leads {
			return
		}
		put(m.scanned, policy, seconds(s.At), true)
		put(m.oldest, policy, seconds(s.Oldest), !s.Oldest.IsZero())
		put(m.lag, policy, s.Lag.Seconds(), true)
		put(m.backlog, policy, float64(s.Rows), s.Rows >= 0)
		put(m.overdue, policy, float64(s.OverdueTenants), s.OverdueTenants >= 0)
	})
}

// SetLeader says whether this process is the one that measures. With the lease it
// gives up what it measured, for another process shows that from now on.
func (m *Metrics) SetLeader(leader bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.leads = leader
	m.leader.Set(number(leader))
	if leader {
		return
	}
	for _, s := range m.untilRemeasured {
		s.Reset()
	}
}

// SetDatabaseUp says whether the database answers.
func (m *Metrics) SetDatabaseUp(up bool) { m.databaseUp.Set(number(up)) }

// SetDatabaseName says which database this is.
func (m *Metrics) SetDatabaseName(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if name == m.database {
		return
	}
	m.database = name
	m.info.Reset() // it was renamed
	m.info.WithLabelValues(name).Set(1)
}

// SetDatabaseSize gives the database's size in bytes.
func (m *Metrics) SetDatabaseSize(bytes int64) {
	m.databaseSize.WithLabelValues().Set(float64(bytes))
}

// ConfigLoaded records that a policy file was read, is valid, and is in force.
func (m *Metrics) ConfigLoaded(at time.Time) {
	m.configOK.Set(1)
	m.configSuccess.WithLabelValues().Set(seconds(at))
}

// ConfigFailed records that the policy file as it is now is not valid.
func (m *Metrics) ConfigFailed() { m.configOK.Set(0) }

// HeartbeatSent tells of a ping that a monitor took.
func (m *Metrics) HeartbeatSent(event string, at time.Time) {
	m.heartbeat(event, "sent")
	m.heartbeatBeat.WithLabelValues().Set(seconds(at))
}

// HeartbeatNotSent tells of a ping that no monitor has taken: failed when every
// try failed, withheld when silence is the message, dropped when there was no room.
func (m *Metrics) HeartbeatNotSent(event, outcome string) { m.heartbeat(event, outcome) }

func (m *Metrics) heartbeat(event, outcome string) {
	m.heartbeats.WithLabelValues(oneOf(events, event), oneOf(deliveries, outcome)).Inc()
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
