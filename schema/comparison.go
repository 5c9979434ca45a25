package schema

import (
	"context"
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/internal/pg"
)

// Comparison is how a reference compares two columns: ours, which is referenced, with theirs,
// which references it. Whether values are equal is left to PostgreSQL.
//
// The operator is that of the constraint (pg_constraint.conpfeqop, ours on its left) or, for a
// tenant's key, of the unique index over ours. It is named with its schema, and both sides are
// cast to its input types: what `=` means depends on the search_path, and on types that convert
// by themselves. The collation is that by which the constraint compares.
//
// Lists of values go through the operator's commutator with ANY; several columns, or an operator
// without a commutator, through unnest. An index serves only if its operator family has the
// operator.
type Comparison struct {
	Op           *Operator // its left operand is ours
	Ours, Theirs Column
	Direct       bool // theirs is compared without a cast, so an index on it can serve
	// OursText: theirs is a text column that a declared reference (match) compares with ours as
	// PostgreSQL prints it.
	OursText bool
}

// castTo casts an expression of a column's type to an input type of the operator.
func castTo(expression string, column Column, want string) string {
	if column.SQLType == want {
		return expression
	}
	return expression + "::" + want
}

// OursAs casts an expression of the type of ours for the operator. For a polymorphic operator both
// sides have the type of ours.
func (c Comparison) OursAs(expression string) string {
	switch {
	case c.Op.Left == "":
		return expression
	case c.OursText && c.Op.Left != pg.TextType:
		return expression + "::" + pg.TextType + "::" + c.Op.Left
	}
	return castTo(expression, c.Ours, c.Op.Left)
}

// TheirsAs casts an expression of the type of theirs for the operator.
func (c Comparison) TheirsAs(expression string) string {
	if c.Op.Right == "" {
		return castTo(expression, c.Theirs, c.Ours.SQLType)
	}
	return castTo(expression, c.Theirs, c.Op.Right)
}

// Collation is the collation of the comparison, if it must be explicit; empty if the searched
// column's own applies by default. A foreign key uses the collation of the referenced column if
// that is not deterministic (ri_GenerateQualCollation in ri_triggers.c). Between deterministic
// collations equality is bytewise, so that of the searched column serves as well.
func (c Comparison) Collation(searched Column) string {
	switch {
	case c.Ours.Collation == c.Theirs.Collation || c.Ours.Collation == 0 && !c.Theirs.LaxCollation:
		return ""
	case c.Ours.LaxCollation:
		return c.Ours.CollationName
	}
	return searched.CollationName
}

// Write is the comparison of two expressions, of the types of ours and theirs.
func (c Comparison) Write(ours, theirs, collation string) string {
	left := c.OursAs(ours)
	if collation != "" {
		left = "(" + left + " COLLATE " + collation + ")"
	}
	return left + " " + c.Op.String() + " " + c.TheirsAs(theirs)
}

// FindTheirs is the condition that theirs, a column, references ours, a value.
func (c Comparison) FindTheirs(ours, theirs string) string {
	return c.Write(ours, theirs, c.Collation(c.Theirs))
}

// FindOurs is the condition that ours, a column, is referenced by theirs, a value.
func (c Comparison) FindOurs(ours, theirs string) string {
	return c.Write(ours, theirs, c.Collation(c.Ours))
}

// Value binds one value of ours, as text.
func (c Comparison) Value(s *pg.Statement, v *string) string { return s.Cast(v, c.Ours.SQLType) }

// HasAny reports whether theirs can be compared with a list of values of ours.
func (c Comparison) HasAny() bool { return c.Op.Commutator != nil && !c.Ours.Array() }

// any is the condition that theirs, a column, references one of a bound list of values of ours;
// HasAny must be true.
func (c Comparison) any(s *pg.Statement, theirs string, list *pg.Column, indexed bool) string {
	values := s.Array(list, c.Ours.SQLType)
	if c.OursAs("x") != "x" || indexed {
		return c.Any(theirs, "unnest("+values+")", "")
	}
	return c.anyOf(theirs, values)
}

// Any is the condition that theirs, a column, references one of the values of ours that a query
// selects; HasAny must be true.
func (c Comparison) Any(theirs, value, from string) string {
	return c.anyOf(theirs, "ARRAY(SELECT "+c.OursAs(value)+from+")")
}

func (c Comparison) anyOf(theirs, values string) string {
	left := c.TheirsAs(theirs)
	if collation := c.Collation(c.Theirs); collation != "" && c.Ours.LaxCollation {
		left = "(" + left + " COLLATE " + collation + ")"
	}
	return left + " " + c.Op.Commutator.String() + " ANY (" + values + ")"
}

// Among is the condition that columns (qualified names) reference one of these tuples.
func Among(s *pg.Statement, pairs []Comparison, theirs []string, v pg.Values, indexed bool) string {
	if len(pairs) == 1 && pairs[0].HasAny() {
		return pairs[0].any(s, theirs[0], v[0], indexed)
	}
	// One text array per column: arrays of arrays cannot be bound otherwise.
	return "EXISTS (SELECT FROM unnest(" + pg.List(len(pairs), func(i int) string { return s.Array(v[i], pg.TextType) }) +
		") reaper_v(" + pg.List(len(pairs), func(i int) string { return fmt.Sprintf("v%d", i) }) + ") WHERE " +
		pg.And(len(pairs), func(i int) string {
			return pairs[i].FindTheirs(fmt.Sprintf("reaper_v.v%d::%s", i, pairs[i].Ours.SQLType), theirs[i])
		}) + ")"
}

// Itself compares a column with its own values.
func Itself(column Column, order *Order) Comparison {
	return Comparison{Op: order.Equal, Ours: column, Theirs: column, Direct: true}
}

// Themselves compares columns with their own values.
func Themselves(columns []Column, orders []*Order) []Comparison {
	pairs := make([]Comparison, len(columns))
	for i, k := range columns {
		pairs[i] = Itself(k, orders[i])
	}
	return pairs
}

// Comparisons are those of a foreign key.
func (g *Graph) Comparisons(k *ForeignKey, child, parent *Table) []Comparison {
	pairs := make([]Comparison, len(k.ChildColumns))
	for i := range pairs {
		pairs[i].Theirs, _ = child.Column(k.ChildColumns[i])
		pairs[i].Ours, _ = parent.Column(k.ParentColumns[i])
		pairs[i].Op = k.Operators[i]
		pairs[i].Direct = g.direct(pairs[i])
	}
	return pairs
}

// direct reports whether theirs is compared without a cast.
func (g *Graph) direct(x Comparison) bool {
	if x.Op.Right == "" {
		return x.Theirs.TypeOID == x.Ours.TypeOID
	}
	return g.Relabels(x.Theirs.TypeOID, x.Op.RightOID)
}

// Comparing finds a comparison of two columns that no constraint connects: by the operator family
// of a unique index on ours, or by the default order of either type; nil if there is none.
func (g *Graph) Comparing(ctx context.Context, q Querier, ours, theirs Column, family uint32) (*Comparison, error) {
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
	for _, o := range []*Order{own, ordered} {
		if o != nil && g.takes(o.Equal, ours, theirs) {
			return g.Pair(o.Equal, ours, theirs), nil
		}
	}
	other, err := g.DefaultOrder(ctx, q, theirs.TypeOID)
	if err != nil || other == nil || !g.takes(other.Equal, ours, theirs) {
		return nil, err
	}
	return g.Pair(other.Equal, ours, theirs), nil
}

// Pair compares two columns by an operator that accepts both.
func (g *Graph) Pair(op *Operator, ours, theirs Column) *Comparison {
	x := Comparison{Op: op, Ours: ours, Theirs: theirs}
	x.Direct = g.direct(x)
	return &x
}

// takes reports whether both columns convert implicitly to the operator's input types.
func (g *Graph) takes(op *Operator, ours, theirs Column) bool {
	if op.Left == "" || op.Right == "" {
		return ours.TypeOID == theirs.TypeOID
	}
	return g.Converts(ours.TypeOID, op.LeftOID) && g.Converts(theirs.TypeOID, op.RightOID)
}

// Crossed reports whether the collations differ and that of the given column, one of the two, is
// not deterministic.
func (c Comparison) Crossed(by Column) bool {
	return by.LaxCollation && c.Ours.Collation != c.Theirs.Collation
}

// Stable names a comparison whose result depends on more than the two values, such as the time
// zone: even PostgreSQL's own actions leave orphans there. Empty if there is none.
func (g *Graph) Stable(pairs []Comparison) string {
	for _, x := range pairs {
		if !x.Op.Immutable || !g.ConvertsImmutably(x.Ours.TypeOID, x.Op.LeftOID) || !g.ConvertsImmutably(x.Theirs.TypeOID, x.Op.RightOID) {
			return fmt.Sprintf("%s (%s) with %s (%s)", x.Theirs.Name, x.Theirs.Type, x.Ours.Name, x.Ours.Type)
		}
	}
	return ""
}

// Serves reports whether an index column finds theirs by a value of ours: its operator family has
// the operator, and its collation and expression match the comparison.
func (c Comparison) Serves(x IndexColumn) bool {
	if c.Op.Commutator == nil || !slices.Contains(x.Equal, c.Op.Commutator.OID) {
		return false
	}
	collation := c.Theirs.Collation
	if c.Ours.LaxCollation {
		collation = c.Ours.Collation
	}
	if x.Collation != 0 && x.Collation != collation {
		return false
	}
	if c.Direct {
		return x.Name == c.Theirs.Name
	}
	return x.Expression == c.Indexed()
}

// Indexed is the column or expression, as PostgreSQL prints it, of an index that can serve the
// comparison.
func (c Comparison) Indexed() string {
	if c.Direct {
		return pg.Ident(c.Theirs.Name)
	}
	return fmt.Sprintf("((%s)::%s)", c.Theirs.Quoted, c.Op.RightName)
}
