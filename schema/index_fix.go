package schema

import (
	"context"
	"fmt"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
)

// IndexFix is the statement that creates an index on what the pairs compare, followed by more
// columns, given as SQL. Remarks are SQL comments, so the whole text can be pasted.
func (g *Graph) IndexFix(ctx context.Context, q Querier, t *Table, pairs []Comparison, more []string) (string, error) {
	if t.Kind != Ordinary && t.Kind != Partitioned {
		return "see that what it reads has an index: " + t.Name.String() + " itself can have none", nil
	}
	if what := g.Stable(pairs); what != "" {
		return "give both columns the same type: no index can be over " + what, nil
	}
	var columns []string
	var alike string
	for _, x := range pairs {
		column, found, err := g.indexColumn(ctx, q, x)
		if err != nil {
			return "", err
		}
		both := fmt.Sprintf("give both columns one type: %s is %s, and %s is %s", x.Theirs.Name, x.Theirs.Type, x.Ours.Name, x.Ours.Type)
		if !found {
			return both, nil
		}
		if !x.Direct && alike == "" {
			alike = "or " + both
		}
		columns = append(columns, column)
	}
	columns = append(columns, more...)
	how, notes := " CONCURRENTLY", ""
	if t.Kind == Partitioned {
		// CREATE INDEX CONCURRENTLY does not work on a partitioned table, but CREATE INDEX adopts
		// the matching indexes of its partitions.
		how, notes = "", "it blocks writes while it builds: to avoid that, first create the same index CONCURRENTLY on each partition that is not partitioned itself"
	}
	if alike != "" && notes != "" {
		notes += "; "
	}
	if notes += alike; notes != "" {
		notes = " -- " + visible.Text(notes) // a line break in a name would end the comment
	}
	return fmt.Sprintf("CREATE INDEX%s ON %s (%s);%s", how, pg.Ident(t.Name.Schema, t.Name.Name), pg.List(len(columns), func(i int) string { return columns[i] }), notes), nil
}

// indexColumn is the index column that serves the comparison; false if there is no operator class.
func (g *Graph) indexColumn(ctx context.Context, q Querier, x Comparison) (column string, found bool, err error) {
	if x.Op.Commutator == nil {
		return "", false, nil
	}
	typ := x.Theirs.TypeOID
	if !x.Direct {
		typ = x.Op.RightOID
	}
	class, found, err := g.OperatorClassFor(ctx, q, x.Op.Commutator, typ)
	if err != nil || !found {
		return "", false, err
	}
	column = x.Indexed()
	if x.Crossed(x.Ours) {
		column += " COLLATE " + x.Ours.CollationName
	}
	if name := class.String(); name != "" {
		column += " " + name
	}
	return column, true, nil
}
