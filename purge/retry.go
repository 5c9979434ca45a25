package purge

import (
	"errors"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// What comes next after an error is decided in this file, by functions that look at
// nothing but their arguments. The loops that call them only carry it out.

// action is what comes next of something that has failed.
type action string

const (
	// retryBatch tries the same roots again, otherwise where change says so.
	retryBatch action = "retry"
	// splitBatch tries the two halves of the batch, one after the other.
	splitBatch action = "split"
	// drainRoot deletes a single root over several batches.
	drainRoot action = "drain"
	// leaveRoots leaves the roots where they are.
	leaveRoots action = "leave"
	// leaveBusy leaves them for the next round: others are at them.
	leaveBusy action = "leave, busy"
	// awaitGuards tries again once the guards let it. No try is counted.
	awaitGuards action = "await guards"
	// awaitResume is the same for a policy that a person has paused.
	awaitResume action = "await resume"
	// awaitServer tries again after a while, as long as patience lasts.
	awaitServer action = "await server"
	// resolveCommit asks the ledger whether the batch was committed.
	resolveCommit action = "resolve commit"
	// failTenant gives up the tenant; the others go on.
	failTenant action = "fail tenant"
	// failPolicy ends the policy as failed.
	failPolicy action = "fail policy"
	// stopPolicy ends the policy's part of the run as incomplete.
	stopPolicy action = "stop policy"
	// giveUp hands the error on: there is nothing to wait for.
	giveUp action = "give up"
)

// change is what the next try of a batch does otherwise.
type change string

const (
	noChange change = ""
	// ordinaryChecks leaves the foreign key checks to PostgreSQL.
	ordinaryChecks change = "ordinary checks"
	// lockRoots locks the roots first, and skips those that others have locked.
	lockRoots change = "lock roots"
	// lockDependents locks the dependents too.
	lockDependents change = "lock dependents"
	// countFirst counts what would go before it deletes.
	countFirst change = "count first"
	// tableByTable deletes from one table after the other, in all batches from now on.
	tableByTable change = "table by table"
)

// attemptOptions is how a batch is tried.
type attemptOptions struct {
	method    method
	lockRoots bool // first, skipping those that others have locked
	// lockDependents locks the dependents as well where a foreign key would tell, by
	// an error, that something came to reference them: after it has.
	lockDependents bool
	// singleRoot lets statements run for as long as a single root may need.
	singleRoot bool
}

// attempt is what is known of a batch when it has failed.
type attempt struct {
	try      int // how often the same roots were tried before
	roots    int
	size     int // roots aimed at in the next batch
	options  attemptOptions
	stepwise bool // it deleted from one table after the other
}

// decision is what comes next of a batch that has failed.
type decision struct {
	action     action
	change     change
	size       int  // roots aimed at in the next batch
	countFirst bool // the next batches count before they delete
	backoff    bool // wait a moment first
	notify     bool // the observer is told that the batch is tried again
	log        bool // so is the log
}

// retries is how often one root alone is tried again before its tenant fails.
const retries = 4

// decide says what comes next of a batch that has failed.
func decide(err error, a attempt) decision {
	d := decision{size: a.size}
	switch {
	case errors.Is(err, errBusy):
		d.action = leaveBusy
	case errors.Is(err, errPausedByHand):
		d.action = awaitResume
	case errors.Is(err, errGuarded):
		d.action = awaitGuards
	case errors.Is(err, errKept) && a.roots > 1: // which of them is found so
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
		// A trigger has changed a row that the same statement was about to delete.
		d.action, d.change, d.notify = retryBatch, tableByTable, true
	case permanent(classify(err)):
		d.action = abandon(err)
	default:
		return decideRows(err, a)
	}
	return d
}

// decideOverflow is decide for a batch that was larger than its limits.
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

// decideRows is decide for errors of the rows themselves, and for those that pass by
// themselves. Where others are at the rows, more of them are locked first; then the batch
// is split until the row is found.
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
		// Too slow as a whole: count before deleting, and drain what is large.
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

// decideDrain is decide for one batch of a drain.
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

// abandon says what an error ends that nothing more is tried after.
func abandon(err error) action {
	switch {
	case errors.Is(err, plan.ErrSchemaChanged):
		return stopPolicy
	case permanent(classify(err)):
		return failPolicy
	}
	return failTenant
}

// lasting reports whether an error would be the same for every row. The server has been
// waited for already.
func permanent(f fault) bool { return f == faultDatabase || f == faultPolicy }

// passing reports whether others are at the rows: they are left, soon, and come back
// for in the next round.
func contended(err error) bool {
	return pg.HasCode(err, "55P03", "40P01") || errors.Is(err, errChanged)
}

// tooSlow reports whether a batch did not end in its time.
func tooSlow(err error) bool { return pg.HasCode(err, "57014") || errors.Is(err, errSlow) }

// decideServer says whether something waits for a server that did not answer. ended: its
// context has. stopping is for how long it has been tried where the run is to end; 0: that
// is not to.
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

// decideCommit says what comes next of a COMMIT that failed: where the connection was
// lost the server may have got it.
func decideCommit(err error) action {
	if classify(err) == faultDatabase {
		return resolveCommit
	}
	return giveUp
}
