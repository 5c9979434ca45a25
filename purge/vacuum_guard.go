package purge

import (
	"context"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/vacuum"
)

// vacuumGuard is the run's guard during vacuums.
type vacuumGuard struct {
	Guard
	policies map[string]*policyRun
}

// vacuumGuard returns nil if the run has no guard.
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

// deadRows names the dead-rows guard.
const deadRows = "dead_rows"

// Objection returns the guards' objection to a vacuum, which writes at least as much WAL as
// batches do. Dead rows are ignored, as the vacuum is their remedy. A run that the guards ended
// does not wait for an objection to pass.
func (g vacuumGuard) Objection(policy string) *vacuum.Objection {
	a := g.Advice(policy, deadRows)
	if !a.Forbids() {
		return nil
	}
	return &vacuum.Objection{Reason: a.Because(), Passing: a.State == guard.Pause && a.Checkpoint && g.policies[policy].state.stopped() == ""}
}

// AskCheckpoint requests a checkpoint and logs the result.
func (g vacuumGuard) AskCheckpoint(ctx context.Context, policy string) {
	g.policies[policy].askCheckpoint(ctx)
}
