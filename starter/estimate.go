package starter

import (
	"context"
	"fmt"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// older is the planner's estimate of how many rows of a root are older than a retention; -1: it is
// not known.
func (r *reader) older(ctx context.Context, root *Root, d policy.Duration) (float64, error) {
	cutoff := "(now() - interval '" + d.Interval() + "')"
	switch factor := map[string]string{"s": "1", "ms": "1000", "us": "1000000"}[root.Unit]; {
	case factor != "":
		cutoff = "(extract(epoch FROM " + cutoff + ") * " + factor + ")::bigint"
	case isInteger(root.Age):
		return -1, nil
	default:
		cutoff += "::" + root.Age.TypeName
	}
	var explained []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	err := r.q.QueryRow(ctx, fmt.Sprintf("EXPLAIN (FORMAT JSON) SELECT FROM %s WHERE %s < %s", root.Table.Name.SQL(), quoted(root.Age.Name), cutoff)).Scan(&explained)
	if err != nil && unreadable(err) || err == nil && len(explained) != 1 {
		return -1, nil
	}
	if err != nil {
		return -1, fmt.Errorf("estimating how many rows are due: %w", err)
	}
	return explained[0].Plan.Rows, nil
}

// behind estimates how many rows reference so many rows of a table by a key; -1: it is not known.
func (r *reader) behind(k schema.ForeignKey, parent uint32, rows float64) float64 {
	p, c := r.graph.Tables[parent], r.graph.Tables[k.Child]
	if rows < 0 || p == nil || c == nil || p.EstimatedRows <= 0 || c.EstimatedRows < 0 {
		return -1
	}
	return c.EstimatedRows * min(rows/p.EstimatedRows, 1)
}
