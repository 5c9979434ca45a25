package preview

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// addHints adds to each problem about a missing index how many rows are read without it, and with it.
func (l *previewer) addHints(ctx context.Context) error {
	for i := range l.view.Problems {
		x := &l.view.Problems[i]
		if x.MissingIndex == nil || l.view.ExpiredRows == 0 {
			continue
		}
		text, err := l.hint(ctx, x.MissingIndex.Edge)
		if err != nil {
			return fmt.Errorf("counting what a missing index costs: %w", err)
		}
		if text != "" {
			x.Text += "; " + text
		}
	}
	return nil
}

func (l *previewer) hint(ctx context.Context, e *plan.Edge) (string, error) {
	if e == nil {
		return l.searchHint(ctx)
	}
	return l.edgeHint(ctx, e)
}

// searchHint is for a sweep, which walks rows of all tenants, expired or not.
func (l *previewer) searchHint(ctx context.Context) (string, error) {
	count := l.rowsOf
	if l.plan.Strategy == plan.AgeSweep && !l.estimate {
		count = l.oldEnough
	}
	rows, err := count(ctx, l.plan.Root)
	if err != nil || rows < 1 {
		return "", err
	}
	return l.sweepHint(rows), nil
}

// oldEnough is the number of roots below the latest cutoff of all tenants, which an age sweep
// reads.
func (l *previewer) oldEnough(ctx context.Context, root *plan.Node) (rows int64, err error) {
	if l.latest == nil {
		return 0, nil
	}
	p, s := l.plan, &pg.Statement{}
	a := p.Age.Of(root.Table)
	s.Add("SELECT count(*) FROM ", schema.From(root.Table), " WHERE ", p.Age.Valid(a), " AND ", a, " < ", p.Age.Bound(s.Cast(*l.latest, "timestamptz")))
	err = l.tx.QueryRow(ctx, s.String(), s.Args...).Scan(&rows)
	return rows, err
}

// sweepHint compares a sweep, which reads this many rows per pass, with a search by the missing
// index.
func (l *previewer) sweepHint(pass int64) string {
	text := fmt.Sprintf("the %s reads %s for each one deleted, with the pass that confirms; with this index: 1",
		l.plan.Strategy, l.many(readsPerRow(pass, l.view.ExpiredRows)))
	if l.plan.Policy.Where.IsSet() || l.plan.Keeps() {
		text += ", plus those that are old enough but stay"
	}
	return text
}

// readsPerRow is how many rows a sweep reads per deleted row: a full pass, and then the remaining
// rows once more, since a run ends after a pass that finds nothing.
func readsPerRow(pass, deleted int64) float64 {
	return float64(sweeps(pass, deleted)) / float64(deleted)
}

// edgeHint is for an edge without an index. PostgreSQL checks a foreign key once per deleted
// referenced row, whoever deletes the rows behind it; a `match` is read once per batch.
func (l *previewer) edgeHint(ctx context.Context, e *plan.Edge) (string, error) {
	parents, behind := l.countsAround(e)
	if parents == 0 {
		return "", nil
	}
	rows, err := l.rowsOf(ctx, e.Child)
	if err != nil || rows < 1 {
		return "", err
	}
	reads := float64(rows)
	if e.Key == nil {
		size := int64(l.plan.Policy.Limits.Rows)
		batches := (l.view.ExpiredRows + size - 1) / size
		reads *= float64(batches) / float64(parents)
	}
	with := "only those that reference it"
	if behind >= 0 {
		with = ratio(float64(behind) / float64(parents))
	}
	return fmt.Sprintf("%s read for each deleted row of %s; with this index: %s", l.many(reads), e.Parent.Table.Name, with), nil
}

// countsAround returns how many referenced rows are deleted, and how many rows are behind the edge;
// -1 if unknown, because other edges delete from that table too.
func (l *previewer) countsAround(e *plan.Edge) (parents, behind int64) {
	behind = -1
	deleting := 0
	for _, in := range e.Child.In {
		if in.Action.Deletes() {
			deleting++
		}
	}
	l.eachTable(func(t *TablePreview, x *plan.Edge) {
		switch {
		case t.ExpiredRows == nil:
		case x == nil && e.Parent == l.plan.Root, x != nil && x.Action.Deletes() && x.Child == e.Parent:
			parents = max(parents, *t.ExpiredRows)
		}
		if x == e && t.ExpiredRows != nil && (!e.Action.Deletes() || deleting == 1) {
			behind = *t.ExpiredRows
		}
	})
	return parents, behind
}

// rowsOf is the counted or estimated number of rows of a table; -1 if unknown.
func (l *previewer) rowsOf(ctx context.Context, n *plan.Node) (rows int64, err error) {
	if l.estimate {
		return int64(n.Table.EstimatedRows), nil
	}
	if n == l.plan.Root {
		return l.total, nil
	}
	err = l.tx.QueryRow(ctx, "SELECT count(*) FROM "+schema.From(n.Table)).Scan(&rows)
	return rows, err
}

// many formats a number of rows, marked as approximate if estimated.
func (l *previewer) many(rows float64) string {
	text := ratio(rows) + " rows"
	if ratio(rows) == "1" {
		text = "1 row"
	}
	if l.estimate {
		text = "about " + text
	}
	return text
}

// ratio formats a number with one decimal if below ten.
func ratio(x float64) string {
	if x >= 9.95 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 1, 64), ".0")
}
