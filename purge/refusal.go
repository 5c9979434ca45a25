package purge

import (
	"time"

	"github.com/reaperdb/reaper/plan"
)

// Refusal is the report of a run that needs approval first.
func Refusal(plans []*plan.Plan, at time.Time, reason string) *Report {
	r := &Report{Status: Refused, StartedAt: at, FinishedAt: at, Policies: []*PolicyReport{}}
	for _, p := range plans {
		strategy, _ := p.Shown(plan.Selection{})
		r.Policies = append(r.Policies, &PolicyReport{Name: p.Policy.Name, Status: Refused, Reason: reason, Strategy: strategy, Rows: map[string]int64{}, Partitions: []string{}, Vacuumed: []string{}})
	}
	return r
}
