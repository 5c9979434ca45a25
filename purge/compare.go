package purge

import (
	"context"
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/schema"
)

// comparison is how a reference compares two columns: ours, which is referenced,
// with theirs, which references it. The operator is that of the constraint, or of
// the unique index over ours, and is named with its schema: what `=` means depends
// on the search_path, and on types that convert by themselves.
type comparison struct {
	op           *schema.Operator // ours on its left
	ours, theirs schema.Column
	direct       bool // theirs is compared as it is stored: its own index can serve
	// oursText: theirs is text that a declared reference (match) takes for ours as
	// PostgreSQL prints it.
	oursText bool
}

const textType = "pg_catalog.text"

// as casts an expression of a column's type to an input type of the operator.
func as(expression string, column schema.Column, want string) string {
	if column.SQLType == want {
		return expression
	}
	return expression + "::" + want
}

// oursAs is an expression of the type of ours as the operator takes it. Polymorphic
// operators take both sides in the type of ours.
func (c comparison) oursAs(expression string) string {
	switch {
	case c.op.Left == "":
		return expression
	case c.oursText && c.op.Left != textType:
		return expression + "::" + textType + "::" + c.op.Left
	}
	return as(expression, c.ours, c.op.Left)
}

func (c comparison) theirsAs(expression string) string {
	if c.op.Right == "" {
		return as(expression, c.theirs, c.ours.SQLType)
	}
	return as(expression, c.theirs, c.op.Right)
}

// collation is the collation by which the two are compared, where it has to be said;
// empty: the searched column's own applies by itself. A foreign key compares by the
// collation of the referenced column where that takes different values for equal
// (ri_GenerateQualCollation in ri_triggers.c); between two others equal means the same
// bytes, so that the collation of the searched column serves as well.
func (c comparison) collation(searched schema.Column) string {
	switch {
	case c.ours.Collation == c.theirs.Collation || c.ours.Collation == 0 && !c.theirs.LaxCollation:
		return ""
	case c.ours.LaxCollation:
		return c.ours.CollationName
	}
	return searched.CollationName
}

func (c comparison) write(ours, theirs, collation string) string {
	left := c.oursAs(ours)
	if collation != "" {
		left = "(" + left + " COLLATE " + collation + ")"
	}
	return left + " " + c.op.String() + " " + c.theirsAs(theirs)
}

// findTheirs is the condition that theirs, a column, references ours, a value.
func (c comparison) findTheirs(ours, theirs string) string {
	return c.write(ours, theirs, c.collation(c.theirs))
}

// findOurs is the condition that ours, a column, is referenced by theirs, a value.
func (c comparison) findOurs(ours, theirs string) string {
	return c.write(ours, theirs, c.collation(c.ours))
}

// value binds one value of ours, as text.
func (c comparison) value(s *statement, v *string) string { return s.cast(v, c.ours.SQLType) }

// any is the condition that theirs, a column, references one of a bound list of
// values of ours; false: it cannot be written so.
func (c comparison) any(s *statement, theirs string, list *column, indexed bool) (condition string, ok bool) {
	if c.op.Commutator == nil || c.ours.Array() {
		return "", false
	}
	left := c.theirsAs(theirs)
	if collation := c.collation(c.theirs); collation != "" && c.ours.LaxCollation {
		left = "(" + left + " COLLATE " + collation + ")"
	}
	values := s.list(list, c.ours.SQLType)
	switch {
	case c.oursAs("x") != "x":
		values = "ARRAY(SELECT " + c.oursAs("unnest("+values+")") + ")"
	case indexed:
		// The planner is not shown the values: it would weigh each of them, which takes
		// longer than to find the rows.
		values = "ARRAY(SELECT unnest(" + values + "))"
	}
	return left + " " + c.op.Commutator.String() + " ANY (" + values + ")", true
}

// among is the condition that columns (already qualified) reference a set of tuples,
// which are compared pair by pair.
func (s *statement) among(pairs []comparison, theirs []string, v values, indexed bool) string {
	if len(pairs) == 1 {
		if condition, ok := pairs[0].any(s, theirs[0], v[0], indexed); ok {
			return condition
		}
	}
	// One list of text a column: lists of arrays cannot be bound otherwise.
	return "EXISTS (SELECT FROM unnest(" + list(len(pairs), func(i int) string { return s.list(v[i], textType) }) +
		") reaper_v(" + list(len(pairs), func(i int) string { return fmt.Sprintf("v%d", i) }) + ") WHERE " +
		and(len(pairs), func(i int) string {
			return pairs[i].findTheirs(fmt.Sprintf("reaper_v.v%d::%s", i, pairs[i].ours.SQLType), theirs[i])
		}) + ")"
}

// itself compares a column with values of its own.
func itself(column schema.Column, order *schema.Order) comparison {
	return comparison{op: order.Equal, ours: column, theirs: column, direct: true}
}

// withThemselves compare columns with values of their own.
func withThemselves(columns []schema.Column, orders []*schema.Order) []comparison {
	pairs := make([]comparison, len(columns))
	for i, k := range columns {
		pairs[i] = itself(k, orders[i])
	}
	return pairs
}

// comparisons are the pairs of a foreign key, child's columns with the parent's.
func comparisons(g *schema.Graph, k *schema.ForeignKey, child, parent *schema.Table) []comparison {
	pairs := make([]comparison, len(k.ChildColumns))
	for i := range pairs {
		pairs[i].theirs, _ = child.Column(k.ChildColumns[i])
		pairs[i].ours, _ = parent.Column(k.ParentColumns[i])
		pairs[i].op = k.Operators[i]
		pairs[i].direct = direct(g, pairs[i])
	}
	return pairs
}

// direct reports whether theirs is compared as it is stored.
func direct(g *schema.Graph, x comparison) bool {
	if x.op.Right == "" {
		return x.theirs.TypeOID == x.ours.TypeOID
	}
	return g.Relabels(x.theirs.TypeOID, x.op.RightOID)
}

// comparing finds how two columns compare that no constraint binds together: by the
// family of a unique index over ours, or else as its type is ordered; nil: they
// do not.
func comparing(ctx context.Context, q schema.Querier, g *schema.Graph, ours, theirs schema.Column, family uint32) (*comparison, error) {
	ordered, err := g.DefaultOrder(ctx, q, ours.TypeOID)
	if err != nil || ordered == nil {
		return nil, err
	}
	if family == 0 {
		family = ordered.Family
	}
	own, err := g.OrderIn(ctx, q, family, ordered.Equal.LeftOID, theirs.TypeOID)
	if err != nil {
		return nil, err
	}
	for _, o := range []*schema.Order{own, ordered} {
		if o != nil && takes(g, o.Equal, ours, theirs) {
			return pair(g, o.Equal, ours, theirs), nil
		}
	}
	other, err := g.DefaultOrder(ctx, q, theirs.TypeOID)
	if err != nil || other == nil || !takes(g, other.Equal, ours, theirs) {
		return nil, err
	}
	return pair(g, other.Equal, ours, theirs), nil
}

func pair(g *schema.Graph, op *schema.Operator, ours, theirs schema.Column) *comparison {
	x := comparison{op: op, ours: ours, theirs: theirs}
	x.direct = direct(g, x)
	return &x
}

// takes reports whether both columns become the operator's input types by
// themselves.
func takes(g *schema.Graph, op *schema.Operator, ours, theirs schema.Column) bool {
	if op.Left == "" || op.Right == "" {
		return ours.TypeOID == theirs.TypeOID
	}
	return g.Converts(ours.TypeOID, op.LeftOID) && g.Converts(theirs.TypeOID, op.RightOID)
}

// crossed reports whether the two have different collations, and that of the column
// given, one of the two, takes different values for equal.
func (c comparison) crossed(by schema.Column) bool {
	return by.LaxCollation && c.ours.Collation != c.theirs.Collation
}

// stable names a comparison whose answer depends on more than the two values, such as
// the time zone: PostgreSQL's own actions leave orphans there. Empty: none does.
func stable(g *schema.Graph, pairs []comparison) string {
	for _, x := range pairs {
		if !x.op.Immutable || !g.ConvertsImmutably(x.ours.TypeOID, x.op.LeftOID) || !g.ConvertsImmutably(x.theirs.TypeOID, x.op.RightOID) {
			return fmt.Sprintf("%s (%s) with %s (%s)", x.theirs.Name, x.theirs.Type, x.ours.Name, x.ours.Type)
		}
	}
	return ""
}

// serves reports whether an index column finds theirs by a value of ours: its
// operator family has the operator, it sorts by the collation of the comparison, and
// it is over what is compared.
func (c comparison) serves(x schema.IndexColumn) bool {
	if c.op.Commutator == nil || !slices.Contains(x.Equal, c.op.Commutator.OID) {
		return false
	}
	collation := c.theirs.Collation
	if c.ours.LaxCollation {
		collation = c.ours.Collation
	}
	if x.Collation != 0 && x.Collation != collation {
		return false
	}
	if c.direct {
		return x.Name == c.theirs.Name
	}
	return x.Expression == c.indexed()
}

// indexed is the expression that an index serving the comparison is over, as
// PostgreSQL prints it; where theirs is compared as it is stored, the column.
func (c comparison) indexed() string {
	if c.direct {
		return ident(c.theirs.Name)
	}
	return fmt.Sprintf("((%s)::%s)", c.theirs.Quoted, c.op.RightName)
}
