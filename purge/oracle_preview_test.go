package purge_test

import (
	"strings"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// preview compares the look ahead with the contract.
func (x *trial) preview() {
	v, err := preview.Look(x.ctx, x.pool, x.plan, plan.Selection{}, false)
	if err != nil {
		x.fail("look: %v", err)
	}
	x.checkPreview(v, newOracle(x.c, cloned(x.before), x.now()))
}

// checkPreview compares the look ahead with what is deleted, including rows freed by deleted
// keepers. References that are cleared on the way and kept something are excluded.
func (x *trial) checkPreview(got *preview.Preview, want *oracle) {
	x.t.Helper()
	type counted struct {
		State   string
		Expired int64
	}
	tenants, previewed := map[string]counted{}, map[string]counted{}
	for key, t := range want.tenants {
		state := t.state
		if state == "active" {
			state = map[bool]string{true: "due", false: "clear"}[t.expired > 0]
		}
		tenants[key] = counted{state, int64(t.expired)}
	}
	for _, t := range got.Tenants {
		key := ""
		if t.Key != nil {
			key = *t.Key
		}
		previewed[key] = counted{t.State, *t.ExpiredRows}
	}
	x.same("tenants of the preview", tenants, previewed)
	if *got.UnownedRows != int64(want.unowned) {
		x.fail("unowned_rows is %d, want %d", *got.UnownedRows, want.unowned)
	}
	x.same("tables of the preview", want.preview(), tablesOf(got))
}

// preview is, by edge, the number of rows that a purge would delete or find.
func (o *oracle) preview() map[string]int64 {
	going := map[*genTable]map[*genRow]bool{}
	for r := range o.ahead {
		if going[r.table] == nil {
			going[r.table] = map[*genRow]bool{}
		}
		going[r.table][r] = true
	}
	roots := int64(0)
	for _, root := range o.expired {
		if o.ahead[root] {
			roots++
		}
	}
	ahead := map[string]int64{"root": roots}
	for _, e := range o.c.edges {
		if e.action == "" {
			continue
		}
		found := map[*genRow]bool{}
		for r := range going[e.parent] {
			for _, x := range o.behind(e, r) {
				if !going[e.child][x] {
					found[x] = true
				}
			}
		}
		if e.action == goes {
			found = going[e.child]
		}
		ahead[e.child.name.String()+" "+strings.Join(e.columns, "+")] = int64(len(found))
	}
	return ahead
}

func tablesOf(v *preview.Preview) map[string]int64 {
	ahead := map[string]int64{"root": *v.Tables[0].ExpiredRows}
	for _, t := range v.Tables[1:] {
		ahead[t.Table+" "+strings.Join(t.Columns, "+")] = *t.ExpiredRows
	}
	return ahead
}
