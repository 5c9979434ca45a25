package purge

import (
	"maps"
	"slices"
	"time"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/reservoir"
	"github.com/reaperdb/reaper/partition"
	"github.com/reaperdb/reaper/plan"
)

// policyState is the state of one policy that its workers share, guarded by the run's mutex;
// see runState.
type policyState struct {
	run        *runState
	report     *PolicyReport
	batches    int64            // number of the last batch
	times      reservoir.Sample // batch durations in seconds
	pass       pass
	alone      map[string]bool   // tenants that share no batch with others
	failed     map[string]string // failed tenants and why; they are not visited again
	err        error             // why the policy failed
	dueCounted bool              // the count of what was due at the start has begun

	drops         drops
	droppedCounts int64 // ledger rows written for drops

	stepwise     bool       // delete table by table
	withoutWhere *plan.Plan // the plan without `where`, after that failed on a row

	pauses  pauses
	archive archiveState
	sizes   sizes
}

// pass is the result of one walk from the start.
type pass struct {
	kept, remaining int64
	busy            bool
	moved           bool // some rows were gone or no longer expired when their batch came
}

// drops is how far a policy is with its partitions.
type drops int

const (
	dropsDue drops = iota
	dropsUnderWay
	dropsDone
)

// fail ends the policy as failed. The first error wins.
func (s *policyState) fail(err error) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

// failure is why the policy failed; nil: it did not.
func (s *policyState) failure() error {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.err
}

// mayRun reports whether a turn may begin: the policy has not ended, and no guard pauses it.
func (s *policyState) mayRun() bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.err == nil && s.pauses.stopped == "" && s.pauses.since.IsZero()
}

// nextBatch returns the batch's number in the ledger, from 1.
func (s *policyState) nextBatch() int64 {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.batches++
	return s.batches
}

// startPass clears the result of the last pass.
func (s *policyState) startPass() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.pass, s.archive.uncopied = pass{}, nil
}

// found is the result of the pass so far.
func (s *policyState) found() pass {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.pass
}

// lockedOut records that another session has locked a whole table; the next round retries it.
func (s *policyState) lockedOut() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.pass.busy = true
}

// addOutcome adds the outcome of candidates to the pass. lost: some were gone or no longer
// expired. failed: the batch was abandoned, so nothing is known about them.
func (s *policyState) addOutcome(o deletion.Outcome, candidates int, failed bool) (lost bool) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	lost = !failed && o.Roots+o.Kept+o.Remaining < int64(candidates)
	s.pass.kept += o.Kept
	s.pass.remaining += o.Remaining
	s.pass.busy = s.pass.busy || o.Busy
	s.pass.moved = s.pass.moved || lost && s.withoutWhere == nil
	return lost
}

// setTenants records how many tenants are excluded.
func (s *policyState) setTenants(held, forever, skipped int64) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	c := &s.report.Tenants
	c.Held, c.Forever, c.Skipped = held, forever, skipped
}

// failTenant marks a tenant as failed.
func (s *policyState) failTenant(name, why string) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.failed[name] = why
	s.report.Tenants.Failed = int64(len(s.failed))
}

// setAlone has a tenant share no batch with others any more.
func (s *policyState) setAlone(name string) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.alone == nil {
		s.alone = map[string]bool{}
	}
	s.alone[name] = true
}

// goesAlone reports whether a tenant shares no batch with others.
func (s *policyState) goesAlone(name string) bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.alone[name]
}

// tenantFailed reports whether a tenant has failed.
func (s *policyState) tenantFailed(name string) bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	_, failed := s.failed[name]
	return failed
}

// failedTenants returns the failed tenants and why.
func (s *policyState) failedTenants() map[string]string {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return maps.Clone(s.failed)
}

// committed is what a committed batch has done.
type committed struct {
	rows, nullified map[string]int64 // by table
	wal             [2]int64         // positions where it began and ended
	outcome         deletion.Outcome
	took            time.Duration
}

// addBatch adds a committed batch to the counters, and gives the WAL that was written
// while it ran, less what was counted for a batch beside it.
func (s *policyState) addBatch(c committed) (wal int64) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	rep := s.report
	if len(c.rows)+len(c.nullified) > 0 {
		rep.Batches++
		s.times.Add(c.took.Seconds())
		wal = s.run.countWALLocked(c.wal)
		rep.WALBytes += wal
	}
	for table, n := range c.rows {
		rep.Rows[table] += n
	}
	rep.RowsTotal += c.outcome.Rows
	for _, n := range c.nullified {
		rep.RowsNullified += n
	}
	rep.Roots += c.outcome.Roots
	s.run.roots += c.outcome.Roots
	s.run.deleted += c.outcome.Rows + int64(len(c.nullified))
	return wal
}

// addDrop adds a dropped partition of a table, as addBatch does.
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

// recordedDrops is how many ledger rows were written for drops.
func (s *policyState) recordedDrops() int64 {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.droppedCounts
}

// beginDrops reports whether the caller should drop the policy's partitions.
func (s *policyState) beginDrops() bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.drops != dropsDue {
		return false
	}
	s.drops = dropsUnderWay
	return true
}

// endDrops marks the partitions as done.
func (s *policyState) endDrops() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.drops = dropsDone
}

// dropping reports whether the partitions are not done yet. Until then the rows left for
// batches are unknown.
func (s *policyState) dropping() bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.drops != dropsDone
}

// deletesStepwise reports whether to delete table by table.
func (s *policyState) deletesStepwise() bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.stepwise
}

// deleteStepwise makes later batches delete table by table.
func (s *policyState) deleteStepwise() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.stepwise = true
}

// planWithoutWhere is the plan without `where`; nil: `where` has not failed.
func (s *policyState) planWithoutWhere() *plan.Plan {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.withoutWhere
}

// leaveOutWhere makes later searches use a plan without `where`; false: they do already.
func (s *policyState) leaveOutWhere(p *plan.Plan) bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.withoutWhere != nil {
		return false
	}
	s.withoutWhere = p
	return true
}

// claimDueCount reports whether the caller should count now what was due at the start (once,
// after a while, not during a pause), and how many roots were deleted meanwhile.
func (s *policyState) claimDueCount(started time.Time, after time.Duration) (now bool, gone int64) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	now = !s.dueCounted && time.Since(started) > after && s.pauses.since.IsZero()
	s.dueCounted = s.dueCounted || now
	return now, s.report.Roots
}

// finish returns a copy of the report after the workers have ended.
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
