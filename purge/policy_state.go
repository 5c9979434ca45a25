package purge

import (
	"maps"
	"slices"
	"time"

	"github.com/reaperdb/reaper/internal/reservoir"
	"github.com/reaperdb/reaper/partition"
	"github.com/reaperdb/reaper/plan"
)

// policyState is what the workers of a run change of one policy. The run's mutex
// guards it; see runState.
type policyState struct {
	run        *runState
	report     *PolicyReport
	batches    int64            // numbers given to batches
	times      reservoir.Sample // of batches, in seconds
	pass       pass
	failed     map[string]string // tenants given up, and why; they are not visited again
	err        error             // ends the policy as failed
	dueCounted bool              // what was due at the start has been counted, or is being so

	drops         drops
	droppedCounts int64 // rows of the ledger written for drops

	stepwise     bool       // tables are deleted from one after the other
	withoutWhere *plan.Plan // the plan without `where`, once that has failed on a row

	pauses pauses
	sizes  sizes
}

// pass is what one walk from the start has found.
type pass struct {
	kept, remaining int64
	busy            bool
	moved           bool // some were no longer expired, or gone, when their batch came to them
}

// drops is how far a policy is with its partitions.
type drops int

const (
	dropsDue drops = iota
	dropsUnderWay
	dropsDone
)

// fail ends the policy as failed, by the first error that does.
func (s *policyState) fail(err error) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// failure is what has ended the policy as failed; nil: nothing has.
func (s *policyState) failure() error {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.err
}

// mayRun reports whether a turn of the policy may begin: it has not ended, and no guard
// pauses it.
func (s *policyState) mayRun() bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.err == nil && s.pauses.stopped == "" && s.pauses.since.IsZero()
}

// nextBatch numbers a batch in the ledger, from 1.
func (s *policyState) nextBatch() int64 {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.batches++
	return s.batches
}

// startPass forgets what the last pass has found.
func (s *policyState) startPass() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.pass = pass{}
}

// found is what the pass has found so far.
func (s *policyState) found() pass {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.pass
}

// lockedOut notes that others have a whole table locked: another round comes back
// for it.
func (s *policyState) lockedOut() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.pass.busy = true
}

// addOutcome adds what became of candidates to what the pass has found. lost: some of
// them were no longer expired, or gone. failed: the batch was given up, which says
// nothing of them.
func (s *policyState) addOutcome(o outcome, candidates int, failed bool) (lost bool) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	lost = !failed && o.roots+o.kept+o.remaining < int64(candidates)
	s.pass.kept += o.kept
	s.pass.remaining += o.remaining
	s.pass.busy = s.pass.busy || o.busy
	s.pass.moved = s.pass.moved || lost && s.withoutWhere == nil
	return lost
}

// setTenants notes how many tenants are left out.
func (s *policyState) setTenants(held, forever, skipped int64) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	c := &s.report.Tenants
	c.Held, c.Forever, c.Skipped = held, forever, skipped
}

// failTenant gives a tenant up.
func (s *policyState) failTenant(name, why string) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.failed[name] = why
	s.report.Tenants.Failed = int64(len(s.failed))
}

// gaveUp reports whether a tenant was given up.
func (s *policyState) gaveUp(name string) bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	_, failed := s.failed[name]
	return failed
}

// failedTenants are the tenants given up, and why.
func (s *policyState) failedTenants() map[string]string {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return maps.Clone(s.failed)
}

// addBatch adds a committed batch to the counters, and gives the WAL that was written
// while it ran, less what was counted for a batch beside it.
func (s *policyState) addBatch(tx *batchTx, o outcome, took time.Duration) (wal int64) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	rep := s.report
	if tx.total() > 0 {
		rep.Batches++
		s.times.Add(took.Seconds())
		wal = s.run.countWALLocked(tx.wal)
		rep.WALBytes += wal
	}
	for table, n := range tx.rows {
		rep.Rows[table] += n
	}
	rep.RowsTotal += o.rows
	for _, n := range tx.nullified {
		rep.RowsNullified += n
	}
	rep.Roots += o.roots
	s.run.roots += o.roots
	s.run.deleted += o.rows + int64(len(tx.nullified))
	return wal
}

// addDrop adds a partition that was dropped from a table, as addBatch does.
func (s *policyState) addDrop(table, name string, t *partition.Dropped, took time.Duration) (wal int64) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	rep := s.report
	wal = s.run.countWALLocked(t.WAL)
	s.droppedCounts += t.Batches
	rep.Partitions = append(rep.Partitions, name)
	rep.Rows[table] += t.Rows
	rep.RowsTotal += t.Rows
	rep.Roots += t.Rows
	rep.Batches += t.Batches
	rep.WALBytes += wal
	s.times.Add(took.Seconds())
	s.run.deleted += t.Rows
	s.run.roots += t.Rows
	return wal
}

// recordedDrops is how many rows of the ledger were written for drops.
func (s *policyState) recordedDrops() int64 {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.droppedCounts
}

// beginDrops reports whether the caller is to drop the policy's partitions.
func (s *policyState) beginDrops() bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.drops != dropsDue {
		return false
	}
	s.drops = dropsUnderWay
	return true
}

// endDrops notes that the policy is done with its partitions.
func (s *policyState) endDrops() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.drops = dropsDone
}

// dropping reports whether the policy's partitions are not done with: before, nothing
// is known of the rows that are left for batches.
func (s *policyState) dropping() bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.drops != dropsDone
}

// deletesStepwise reports whether tables are deleted from one after the other.
func (s *policyState) deletesStepwise() bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.stepwise
}

// deleteStepwise has tables deleted from one after the other from now on.
func (s *policyState) deleteStepwise() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.stepwise = true
}

// planWithoutWhere is the plan without `where`; nil: that has not failed on a row.
func (s *policyState) planWithoutWhere() *plan.Plan {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.withoutWhere
}

// leaveOutWhere has rows found by a plan without `where` from now on; false: they are
// so already.
func (s *policyState) leaveOutWhere(p *plan.Plan) bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.withoutWhere != nil {
		return false
	}
	s.withoutWhere = p
	return true
}

// tellDue reports whether what was due at the start is to be counted now, which is
// once, after so long a time and not in a pause; and how many roots have gone meanwhile.
func (s *policyState) claimDueCount(started time.Time, after time.Duration) (now bool, gone int64) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	now = !s.dueCounted && time.Since(started) > after && s.pauses.since.IsZero()
	s.dueCounted = s.dueCounted || now
	return now, s.report.Roots
}

// finish gives the report as it stands when the workers have ended: a copy, which is
// the caller's.
func (s *policyState) finish() *PolicyReport {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	rep := *s.report
	rep.Rows, rep.Partitions = maps.Clone(rep.Rows), slices.Clone(rep.Partitions)
	q := s.times.Quantiles(0.5, 0.99)
	rep.BatchSeconds = Quantiles{P50: q[0], P99: q[1], Max: s.times.Max()}
	rep.KeptRows = s.pass.kept
	rep.PausedSeconds = s.pauses.length(time.Now()).Seconds()
	return &rep
}
