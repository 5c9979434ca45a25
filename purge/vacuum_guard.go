package purge

import (
	"context"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/vacuum"
)

// vacuumGuard is the run's guard for vacuums.
type vacuumGuard struct {
	Guard
	policies map[string]*policyRun // by policy
}

// vacuumGuard is nil where the run has no guard.
func (r *Run) vacuumGuard(policies []*policyRun) vacuum.Guard {
	if r.guard == nil {
		return nil
	}
	g := vacuumGuard{Guard: r.guard, policies: map[string]*policyRun{}}
	for _, w := range policies {
		g.policies[w.plan.Policy.Name] = w
	}
	return g
}

// deadRows names the guard of dead rows.
const deadRows = "dead_rows"

// Objection is what the guards say against a vacuum, which writes WAL as batches do,
// and more. Dead rows do not count: it is the remedy for them. After a run that the
// guards have ended nothing is waited for.
func (g vacuumGuard) Objection(policy string) *vacuum.Objection {
	a := g.Advice(policy, deadRows)
	if !a.Forbids() {
		return nil
	}
	return &vacuum.Objection{Reason: a.Because(), Passing: a.State == guard.Pause && a.Checkpoint && g.policies[policy].state.stopped() == ""}
}

// AskCheckpoint asks for a checkpoint, and logs what comes of it.
func (g vacuumGuard) AskCheckpoint(ctx context.Context, policy string) {
	g.policies[policy].askCheckpoint(ctx)
}
