package purge

import (
	"context"
	"slices"
	"time"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
	"github.com/reaperdb/reaper/vacuum"
)

// vacuumTime is the default of Runner.VacuumTime.
const vacuumTime = 10 * time.Minute

// vacuum removes the run's dead rows after every policy is closed: a vacuum may outlast the
// run's lease, and a table of two policies gets only one. Its result does not change the run's
// status.
func (r *Run) vacuum(ctx context.Context, policies []*policyRun) {
	for _, w := range policies {
		w.report.Vacuumed = []string{}
	}
	targets := vacuumTargetsOf(policies)
	if len(targets.list) == 0 {
		return
	}
	select {
	case r.shared.vacuuming <- struct{}{}:
		defer func() { <-r.shared.vacuuming }()
	case <-ctx.Done():
		return
	case <-r.halt.Done():
		return
	}
	server := policies[0].plan.Server
	done := vacuum.Run(ctx, vacuum.Config{
		Pool: r.pool, Log: r.log, Since: r.base, Timeout: r.vacuumTime, Stopping: r.halt, Guard: r.vacuumGuard(policies), MaxWait: r.maxPause,
		Role: server.Role, Version: server.Version,
	}, targets.list)
	for _, t := range done {
		for _, w := range targets.policies[t.OID] {
			w.report.Vacuumed = append(w.report.Vacuumed, t.Name.String())
		}
	}
}

// vacuumTargets are the tables with deleted rows, and the policies that deleted them.
type vacuumTargets struct {
	list     []vacuum.Target
	at       map[uint32]int // in list, by OID
	policies map[uint32][]*policyRun
}

// vacuumTargetsOf skips policies with vacuum: never.
func vacuumTargetsOf(policies []*policyRun) *vacuumTargets {
	t := &vacuumTargets{at: map[uint32]int{}, policies: map[uint32][]*policyRun{}}
	for _, w := range policies {
		if w.plan.Policy.Vacuum == policy.VacuumNever {
			continue
		}
		for _, n := range w.plan.Nodes {
			if rows := w.report.Rows[n.Table.Name.String()]; rows > 0 {
				t.add(w, n, rows)
			}
		}
	}
	return t
}

// add adds the table of a node; for a partitioned table, its partitions.
func (t *vacuumTargets) add(w *policyRun, n *plan.Node, rows int64) {
	for _, oid := range w.plan.Leaves(n) {
		i, known := t.at[oid]
		if !known {
			i = len(t.list)
			t.at[oid] = i
			t.list = append(t.list, vacuum.Target{OID: oid, Policy: w.plan.Policy.Name})
		}
		x := &t.list[i]
		x.Deleted += rows
		x.Whole = x.Whole || n.Table.Kind == schema.Partitioned
		x.Always = x.Always || w.plan.Policy.Vacuum == policy.VacuumAlways
		if !slices.Contains(t.policies[oid], w) {
			t.policies[oid] = append(t.policies[oid], w)
		}
	}
}
