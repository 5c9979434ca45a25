package metrics

import "time"

// RunStarted records that a run of the policy has begun in this process.
func (m *Metrics) RunStarted(policy string) {
	m.known(policy, func() { m.inProgress.WithLabelValues(policy).Set(1) })
}

// Run is how a policy's run ended. Trigger and Status are the ledger's words.
type Run struct {
	Policy, Trigger, Status string
	EndedAt                 time.Time
	Took                    time.Duration
	Success                 bool // it counts as the policy's success: whole, and nothing left
}

// RunEnded records that a run of this process has ended.
func (m *Metrics) RunEnded(r Run) {
	m.known(r.Policy, func() {
		m.inProgress.WithLabelValues(r.Policy).Set(0)
		m.runs.WithLabelValues(r.Policy, oneOf(triggers, r.Trigger), oneOf(statuses, r.Status)).Inc()
		m.runDuration.WithLabelValues(m.ofHistogram(r.Policy)).Observe(r.Took.Seconds())
	})
	m.SetLastRun(r.Policy, r.EndedAt)
	if r.Success {
		m.SetLastSuccess(r.Policy, r.EndedAt)
	}
}

// SetLastRun says when the last run of the policy ended, in whichever process: at
// the start, and after runs elsewhere, the ledger knows. The zero time: never.
func (m *Metrics) SetLastRun(policy string, at time.Time) { m.setTime(m.lastRun, policy, at) }

// SetLastSuccess says when the policy's last success ended, in whichever
// process. The zero time: never.
func (m *Metrics) SetLastSuccess(policy string, at time.Time) { m.setTime(m.lastSuccess, policy, at) }

// SetNextRun says when the policy runs next. The zero time: not known.
func (m *Metrics) SetNextRun(policy string, at time.Time) { m.setTime(m.nextRun, policy, at) }

// SetFailing says whether the policy is failing, as /health judges it.
func (m *Metrics) SetFailing(policy string, failing bool) {
	m.known(policy, func() { m.failing.WithLabelValues(policy).Set(number(failing)) })
}

// SetApprovalNeeded says whether a gate has the policy's runs wait for a person's word.
func (m *Metrics) SetApprovalNeeded(policy, gate string, needed bool) {
	m.known(policy, func() { m.approvalNeeded.WithLabelValues(policy, gate).Set(number(needed)) })
}

// BatchDone tells of a batch that is committed.
func (m *Metrics) BatchDone(policy string, took time.Duration) {
	m.known(policy, func() {
		m.batches.WithLabelValues(policy, committed).Inc()
		m.batchDuration.WithLabelValues(m.ofHistogram(policy)).Observe(took.Seconds())
	})
}

// BatchOverrun tells of a batch that was rolled back as larger than its limits.
func (m *Metrics) BatchOverrun(policy string) {
	m.known(policy, func() { m.batches.WithLabelValues(policy, overrun).Inc() })
}

// BatchRetried tells of a batch that is tried again. A reason that is not one of
// reaper's own words counts as other.
func (m *Metrics) BatchRetried(policy, reason string) {
	m.known(policy, func() {
		m.batches.WithLabelValues(policy, retried).Inc()
		m.retries.WithLabelValues(oneOf(reasons, reason)).Inc()
	})
}

// RowsDeleted counts rows that are gone from a table (schema.table).
func (m *Metrics) RowsDeleted(policy, table string, rows int64) {
	m.known(policy, func() { m.rows.WithLabelValues(policy, table).Add(float64(max(rows, 0))) })
}
