package erasure

import (
	"context"
	"fmt"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// AnyHeld reports whether a row of a table is the tenant's and fulfils a condition over expressions of
// its columns, such as that a person holds it. A table that the plan does not know has none.
func (p *Plan) AnyHeld(ctx context.Context, q pg.Querier, key string, table schema.Name, columns []string, held func(columns []string) string) (is bool, err error) {
	for _, t := range p.Tables {
		if t.Table.Name != table || t.Action == Global {
			continue
		}
		a := p.args(key)
		at := bare(t.Table)
		expressions := make([]string, len(columns))
		for i, c := range columns {
			expressions[i] = col(at, c)
		}
		owned := a.owned(t, at)
		a.Add("SELECT EXISTS (SELECT FROM ", fromTable(t), "\n WHERE ", owned, " AND ", held(expressions), ")")
		if err := q.QueryRow(ctx, a.String(), a.Args...).Scan(&is); err != nil {
			return false, fmt.Errorf("looking for held rows of %s: %w", table, err)
		}
		return is, nil
	}
	return false, nil
}
