package purge

import (
	"errors"
	"time"

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
	// drainRoot deletes a single root over several batches.
	drainRoot action = "drain"
	// leaveRoots skips the roots.
	leaveRoots action = "leave"
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
	// tableByTable deletes table by table, in all batches from now on.
	tableByTable change = "table by table"
)

// attemptOptions is how a batch is attempted.
type attemptOptions struct {
	method    method
	lockRoots bool // first, skipping those already locked
	// lockDependents also locks dependents where otherwise a foreign key violation would report
	// a new reference to them.
	lockDependents bool
	// singleRoot gives statements the time that a single root may need.
	singleRoot bool
}

// attempt is what is known about a failed batch.
type attempt struct {
	try      int // earlier attempts at the same roots
	roots    int
	size     int // target number of roots in the next batch
	options  attemptOptions
	stepwise bool // it deleted table by table
}

// decision is what to do after a batch failed.
type decision struct {
	action     action
	change     change
	size       int  // target number of roots in the next batch
	countFirst bool // the next batches count before they delete
	backoff    bool // wait first
	notify     bool // report the retry to the observer
	log        bool // log the retry
}

// retries is how often a single root is retried before its tenant fails.
const retries = 4

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
	case errors.Is(err, errKept) && a.roots > 1: // splitting finds out which
		d.action = splitBatch
	case errors.Is(err, errKept):
		d.action = leaveRoots
	case a.options.method == drain:
		return decideDrain(err, a)
	case a.options.method == proven && (errors.Is(err, errUnproven) || a.roots == 1 && tooSlow(err)):
		d.action, d.change, d.notify = retryBatch, ordinaryChecks, true
	case errors.Is(err, errOverflow):
		return decideOverflow(a)
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

// decideOverflow decides for a batch that exceeded its limits.
func decideOverflow(a attempt) decision {
	d := decision{action: drainRoot, size: max(a.roots/2, 1), countFirst: a.options.method != proven, notify: true}
	switch {
	case a.options.method == cascade:
		d.action, d.change = retryBatch, countFirst
	case a.roots > 1:
		d.action = splitBatch
	}
	return d
}

// decideRows decides for row errors and transient ones. If other transactions touch the rows,
// it first locks more of them, and then splits the batch until the row is found.
func decideRows(err error, a attempt) decision {
	d := decision{action: retryBatch, size: a.size, notify: true, log: true}
	switch {
	case pg.HasCode(err, "55P03") && !a.options.lockRoots:
		d.change = lockRoots
		return d
	case (pg.HasCode(err, "23503", "23001") || errors.Is(err, errChanged)) && !a.options.lockDependents:
		d.change = lockDependents
		return d
	case pg.HasCode(err, "57014") && a.options.method == cascade:
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
	return pg.HasCode(err, "55P03", "40P01") || errors.Is(err, errChanged)
}

// tooSlow reports whether a batch exceeded its time.
func tooSlow(err error) bool { return pg.HasCode(err, "57014") || errors.Is(err, errSlow) }

// decideServer decides whether to wait for a server that did not answer. ended: the context has
// ended. stopping is how long a stopping run has been trying; 0: the run is not stopping.
func decideServer(err error, ended bool, stopping time.Duration) action {
	for _, other := range []error{errBusy, errPausedByHand, errGuarded, errOverflow, errHalted} {
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
