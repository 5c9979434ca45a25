package purge

import (
	"errors"
	"time"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// The functions in this file decide what follows an error, from nothing but their arguments.
// The loops that call them carry it out.

// action is what to do after an error.
type action string

const (
	// retryBatch retries the same roots, with the change given.
	retryBatch action = "retry"
	// splitBatch tries the two halves of the batch one after the other.
	splitBatch action = "split"
	// isolateTenant redoes the batch without the tenant that the error names.
	isolateTenant action = "isolate tenant"
	// splitTenants tries the two halves of the tenants, one after the other.
	splitTenants action = "split tenants"
	// drainRoot deletes a single root over several batches.
	drainRoot action = "drain"
	// leaveRoots skips the roots.
	leaveRoots action = "leave"
	// leaveUncopied skips a single root that could not be copied as it was deleted, and names it.
	leaveUncopied action = "leave uncopied"
	// leaveBusy skips them until the next round: other transactions hold them.
	leaveBusy action = "leave, busy"
	// awaitGuards retries when the guards allow it, without counting an attempt.
	awaitGuards action = "await guards"
	// awaitResume does the same for a policy paused by hand.
	awaitResume action = "await resume"
	// awaitServer retries after a while, until patience runs out.
	awaitServer action = "await server"
	// resolveCommit asks the ledger whether the batch was committed.
	resolveCommit action = "resolve commit"
	// failTenant fails the tenant; the others continue.
	failTenant action = "fail tenant"
	// failPolicy fails the policy.
	failPolicy action = "fail policy"
	// stopPolicy ends the policy's part of the run as incomplete.
	stopPolicy action = "stop policy"
	// giveUp returns the error: there is nothing to wait for.
	giveUp action = "give up"
)

// change is what the next attempt of a batch does differently.
type change string

const (
	noChange change = ""
	// ordinaryChecks leaves the foreign key checks to PostgreSQL.
	ordinaryChecks change = "ordinary checks"
	// lockRoots locks the roots first, skipping those already locked.
	lockRoots change = "lock roots"
	// lockDependents also locks the dependents.
	lockDependents change = "lock dependents"
	// countFirst counts the rows before it deletes them.
	countFirst change = "count first"
	// separately deletes tenant by tenant, so that an error names the one that it is about.
	separately change = "separately"
	// tableByTable deletes table by table, in all batches from now on.
	tableByTable change = "table by table"
)

// attempt is what is known about a failed batch.
type attempt struct {
	try      int // how often the same roots were tried before
	tenants  int
	roots    int
	size     int // target number of roots in the next batch
	options  deletion.Options
	stepwise bool // it deleted table by table
	// divides: a root may be copied and deleted in pieces; of at most piece rows, if that is tried.
	divides bool
	piece   int
}

// decision is what to do after a batch failed.
type decision struct {
	action     action
	change     change
	size       int  // target number of roots in the next batch
	countFirst bool // the next batches count before they delete
	piece      int  // how many rows the next piece of a root may have; 0: as before
	backoff    bool // wait first
	notify     bool // report the retry to the observer
	log        bool // log the retry
}

// retries is how often a single root is retried before its tenant fails.
const retries = 4

// retries reports whether the rows are tried again, in another way.
func (d decision) retries() bool {
	switch d.action {
	case retryBatch, isolateTenant, splitTenants, splitBatch, drainRoot:
		return true
	}
	return false
}

// decide decides what to do after a batch failed.
func decide(err error, a attempt) decision {
	d := decision{size: a.size}
	switch {
	case errors.Is(err, errBusy):
		d.action = leaveBusy
	case errors.Is(err, errPausedByHand):
		d.action = awaitResume
	case errors.Is(err, errGuarded):
		d.action = awaitGuards
	case a.tenants > 1:
		return decideTenants(err, a)
	case errors.Is(err, deletion.ErrKept) && a.roots > 1: // which of them is found so
		d.action = splitBatch
	case errors.Is(err, deletion.ErrKept):
		d.action = leaveRoots
	case a.options.Method == deletion.Drain:
		return decideDrain(err, a)
	case a.options.Method == deletion.Proven && (errors.Is(err, deletion.ErrUnproven) || a.roots == 1 && tooSlow(err)):
		d.action, d.change, d.notify = retryBatch, ordinaryChecks, true
	case errors.Is(err, deletion.ErrOverflow):
		return decideOverflow(a)
	case a.options.Method == deletion.Archived && a.roots == 1 && (contended(err) || tooSlow(err)):
		return decideCopy(a)
	case pg.HasCode(err, "27000") && !a.stepwise:
		// A trigger changed a row that the same statement was about to delete.
		d.action, d.change, d.notify = retryBatch, tableByTable, true
	case permanent(classify(err)):
		d.action = abandon(err)
	default:
		return decideRows(err, a)
	}
	return d
}

// decideTenants is decide for a batch of many tenants. Whatever stands in the way of one of
// them must not hold up the others.
func decideTenants(err error, a attempt) decision {
	d := decision{action: splitTenants, size: a.size, notify: true, log: true}
	_, named := errors.AsType[*deletion.TenantError](err)
	switch {
	case errors.Is(err, deletion.ErrOverflow):
		d.size = max(a.roots/2, 1)
	case errors.Is(err, deletion.ErrSlow), a.options.Together && pg.HasCode(err, "57014"):
		d.size = max(a.size/2, 1)
		if a.options.Together && !a.options.LockRoots && a.tenants < 4 {
			// Learn which of them is slow. Halves of more tenants have at least two.
			d.action, d.change = retryBatch, separately
		}
	case errors.Is(err, errCrowded):
	case permanent(classify(err)) && (a.stepwise || !pg.HasCode(err, "27000")):
		return decision{action: abandon(err), size: a.size}
	case a.options.Together:
		d.action, d.change = retryBatch, separately
	case named:
		d.action = isolateTenant
	}
	return d
}

// decideOverflow is decide for a batch that was larger than its limits.
func decideOverflow(a attempt) decision {
	d := decision{action: drainRoot, size: max(a.roots/2, 1), countFirst: a.options.Method != deletion.Proven, notify: true}
	switch {
	case a.options.Method == deletion.Cascade:
		d.action, d.change = retryBatch, countFirst
	case a.roots > 1:
		d.action = splitBatch
	case a.options.Method == deletion.Archived && a.options.Piecewise && a.piece > 1:
		// More than a segment may hold.
		return decision{action: retryBatch, size: a.size, piece: a.piece / 2}
	case a.options.Method == deletion.Archived && (a.options.Piecewise || !a.divides):
		return decision{action: leaveUncopied, size: a.size}
	}
	return d
}

// copyTries is how often a single root is copied before it is left.
const copyTries = 3

// decideCopy decides for a single root that was not as it had been copied, or took too long.
func decideCopy(a attempt) decision {
	d := decision{action: retryBatch, size: a.size, notify: true, log: true, backoff: true}
	if a.try+1 >= copyTries {
		d.action, d.backoff = leaveUncopied, false
	}
	return d
}

// decideRows decides for row errors and transient ones. If other transactions touch the rows,
// it first locks more of them, and then splits the batch until the row is found.
func decideRows(err error, a attempt) decision {
	d := decision{action: retryBatch, size: a.size, notify: true, log: true}
	switch {
	case pg.HasCode(err, "55P03") && !a.options.LockRoots:
		d.change = lockRoots
		return d
	case (pg.HasCode(err, "23503", "23001") || errors.Is(err, deletion.ErrChanged)) && !a.options.LockDependents:
		d.change = lockDependents
		return d
	case pg.HasCode(err, "57014") && a.options.Method == deletion.Cascade:
		// Too slow as a whole: count before deleting, and drain large roots.
		d.change, d.countFirst = countFirst, true
	}
	passes := classify(err) == faultRetry
	switch {
	case a.roots > 1:
		d.action, d.size, d.backoff = splitBatch, max(a.size/2, 1), passes
	case !passes:
		d.action = failTenant
	case a.try > 0 && contended(err):
		d.action = leaveBusy
	case a.try >= retries:
		d.action = failTenant
	default:
		d.backoff = true
	}
	return d
}

// decideDrain decides for one batch of a drain.
func decideDrain(err error, a attempt) decision {
	d := decision{action: abandon(err), size: a.size}
	switch {
	case contended(err) && a.try > 0:
		d.action = leaveBusy
	case classify(err) == faultRetry && a.try < retries:
		d.action, d.backoff, d.notify = retryBatch, true, true
	}
	return d
}

// abandon decides what an error ends when nothing is retried.
func abandon(err error) action {
	switch {
	case errors.Is(err, plan.ErrSchemaChanged):
		return stopPolicy
	case permanent(classify(err)):
		return failPolicy
	}
	return failTenant
}

// permanent reports whether an error would be the same for every row. Waiting for the server
// has already been tried.
func permanent(f fault) bool { return f == faultDatabase || f == faultPolicy }

// contended reports whether other transactions hold or change the rows, which are then left for
// the next round.
func contended(err error) bool {
	return pg.HasCode(err, "55P03", "40P01") || errors.Is(err, deletion.ErrChanged)
}

// tooSlow reports whether a batch exceeded its time.
func tooSlow(err error) bool { return pg.HasCode(err, "57014") || errors.Is(err, deletion.ErrSlow) }

// decideServer decides whether to wait for a server that did not answer. ended: the context has
// ended. stopping is how long a stopping run has been trying; 0: the run is not stopping.
func decideServer(err error, ended bool, stopping time.Duration) action {
	for _, other := range []error{errBusy, errPausedByHand, errGuarded, deletion.ErrOverflow, errHalted, errCrowded, errArchive} {
		if errors.Is(err, other) {
			return giveUp
		}
	}
	if ended || classify(err) != faultDatabase || stopping > haltTimeout {
		return giveUp
	}
	return awaitServer
}

// decideCommit decides what to do after COMMIT failed: if the connection was lost, the server
// may have committed.
func decideCommit(err error) action {
	if classify(err) == faultDatabase {
		return resolveCommit
	}
	return giveUp
}
