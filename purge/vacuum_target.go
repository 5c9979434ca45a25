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

// vacuumTime bounds the vacuum of one table where the Runner says nothing else.
const vacuumTime = 10 * time.Minute

// vacuum removes the dead rows that the run leaves. Whatever becomes of it, the run has ended.
func (r *Run) vacuum(ctx context.Context, works []*policyRun) {
	for _, w := range works {
		w.report.Vacuumed = []string{}
	}
	targets := vacuumTargetsOf(works)
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
	server := works[0].plan.Server
	done := vacuum.Run(ctx, vacuum.Config{
		Pool: r.pool, Log: r.log, Since: r.base, Timeout: r.vacuumTime, Stopping: r.halt, Guard: r.vacuumGuard(works), MaxWait: r.maxPause,
		Role: server.Role, Version: server.Version,
	}, targets.list)
	for _, t := range done {
		for _, w := range targets.works[t.OID] {
			w.report.Vacuumed = append(w.report.Vacuumed, t.Name.String())
		}
	}
}

// vacuumTargets are the tables that policies deleted from, and which policies each.
type vacuumTargets struct {
	list  []vacuum.Target
	at    map[uint32]int // in list, by OID
	works map[uint32][]*policyRun
}

// vacuumTargetsOf leaves out what policies with vacuum: never deleted.
func vacuumTargetsOf(works []*policyRun) *vacuumTargets {
	t := &vacuumTargets{at: map[uint32]int{}, works: map[uint32][]*policyRun{}}
	for _, w := range works {
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

// add adds the table of a node, of a partitioned one all its partitions.
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
		if !slices.Contains(t.works[oid], w) {
			t.works[oid] = append(t.works[oid], w)
		}
	}
}
