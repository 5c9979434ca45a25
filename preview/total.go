package preview

import "github.com/reaperdb/reaper/plan"

// Total is what is due under some policies: expired roots, and the rows that go with them.
type Total struct {
	Roots, Rows int64
	Tables      map[string]bool // of the rows
}

// TotalOf adds up previews.
func TotalOf(views ...*Preview) Total {
	total := Total{Tables: map[string]bool{}}
	for _, v := range views {
		total.Roots += v.ExpiredRows
		counted := map[string]bool{} // a table that several edges lead to has its rows at each
		for i, t := range v.Tables {
			if i > 0 && plan.EdgeAction(t.Action).Deletes() && t.ExpiredRows != nil && *t.ExpiredRows > 0 && !counted[t.Table] {
				counted[t.Table], total.Tables[t.Table] = true, true
				total.Rows += *t.ExpiredRows
			}
		}
	}
	return total
}
