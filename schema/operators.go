package schema

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Operator is an operator from the catalog.
type Operator struct {
	OID          uint32
	Schema, Name string
	// Left and Right are the qualified input types for casts; empty if the type is
	// polymorphic and takes the operand's own.
	Left, Right       string
	LeftOID, RightOID uint32
	RightName         string // right type as PostgreSQL prints it
	// Commutator is the operator with its operands swapped; nil if there is none.
	Commutator *Operator
	Immutable  bool
}

// String formats the operator for SQL, whatever the search_path.
func (o *Operator) String() string {
	if o.Schema == "pg_catalog" {
		return "OPERATOR(pg_catalog." + o.Name + ")"
	}
	return "OPERATOR(" + pgx.Identifier{o.Schema}.Sanitize() + "." + o.Name + ")"
}

const operatorsSQL = `
SELECT o.oid, n.nspname, o.oprname, l.typtype = 'p', (SELECT ` + qualifiedType + ` FROM pg_type t WHERE t.oid = o.oprleft), o.oprleft,
       r.typtype = 'p', (SELECT ` + qualifiedType + ` FROM pg_type t WHERE t.oid = o.oprright), o.oprright, format_type(o.oprright, -1), o.oprcom, p.provolatile = 'i'
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace JOIN pg_proc p ON p.oid = o.oprcode
  JOIN pg_type l ON l.oid = o.oprleft JOIN pg_type r ON r.oid = o.oprright
 WHERE o.oid = ANY($1::oid[]) OR o.oid IN (SELECT c.oprcom FROM pg_operator c WHERE c.oid = ANY($1::oid[]))`

// loadOperators adds operators and their commutators, unless they are already there.
func (g *Graph) loadOperators(ctx context.Context, q Querier, oids ...uint32) error {
	var missing []uint32
	for _, o := range oids {
		if o != 0 && g.operators[o] == nil && !slices.Contains(missing, o) {
			missing = append(missing, o)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	rows, err := q.Query(ctx, operatorsSQL, missing)
	if err != nil {
		return err
	}
	commutators := map[uint32]uint32{}
	var o Operator
	var commutator uint32
	var anyLeft, anyRight bool
	_, err = pgx.ForEachRow(rows, []any{
		&o.OID, &o.Schema, &o.Name, &anyLeft, &o.Left, &o.LeftOID, &anyRight, &o.Right, &o.RightOID, &o.RightName, &commutator, &o.Immutable,
	}, func() error {
		found := o
		if anyLeft {
			found.Left = ""
		}
		if anyRight {
			found.Right = ""
		}
		if g.operators[o.OID] == nil {
			g.operators[o.OID] = &found
		}
		commutators[o.OID] = commutator
		return nil
	})
	if err != nil {
		return err
	}
	for oid, other := range commutators {
		g.operators[oid].Commutator = g.operators[other] // nil if there is none
	}
	return nil
}

// Order is how values of a type compare, from a btree operator class.
type Order struct {
	Equal, Greater *Operator
	Family         uint32
}

// cast is a cast between two types.
type cast struct{ implicit, relabels, immutable bool }

const castsSQL = `
SELECT c.castsource, c.casttarget, c.castcontext = 'i', c.castmethod = 'b', coalesce((SELECT p.provolatile = 'i' FROM pg_proc p WHERE p.oid = c.castfunc), c.castmethod = 'b')
  FROM pg_cast c`

func (g *Graph) loadCasts(ctx context.Context, q Querier) error {
	rows, err := q.Query(ctx, castsSQL)
	if err != nil {
		return err
	}
	var source, target uint32
	var c cast
	_, err = pgx.ForEachRow(rows, []any{&source, &target, &c.implicit, &c.relabels, &c.immutable}, func() error {
		g.casts[[2]uint32{source, target}] = c
		return nil
	})
	return err
}

// Relabels reports whether values of one type implicitly serve as another without a
// conversion, so that an index over them still works: IsBinaryCoercible in parse_coerce.c,
// which operator classes rely on.
func (g *Graph) Relabels(from, to uint32) bool {
	c := g.casts[[2]uint32{from, to}]
	return from == to || c.relabels && c.implicit
}

// Converts reports whether values of one type become another implicitly and without loss,
// by an implicit cast or because they are binary-coercible.
func (g *Graph) Converts(from, to uint32) bool {
	c := g.casts[[2]uint32{from, to}]
	return from == to || c.implicit || c.relabels
}

// ConvertsImmutably reports whether that conversion is independent of settings such as the
// time zone.
func (g *Graph) ConvertsImmutably(from, to uint32) bool {
	c, known := g.casts[[2]uint32{from, to}]
	return from == to || !known || c.immutable
}

// orderSQL finds the default btree operator class of a type, like GetDefaultOpClass
// (indexcmds.c): for the type itself, for a binary-coercible type, or for its polymorphic
// type.
const orderSQL = `
SELECT o.opcfamily, e.amopopr, g.amopopr
  FROM pg_type t JOIN pg_opclass o ON o.opcmethod = 403 AND o.opcdefault JOIN pg_type i ON i.oid = o.opcintype
  JOIN pg_amop e ON e.amopfamily = o.opcfamily AND e.amoplefttype = o.opcintype AND e.amoprighttype = o.opcintype AND e.amopstrategy = 3 AND e.amoppurpose = 's'
  JOIN pg_amop g ON g.amopfamily = o.opcfamily AND g.amoplefttype = o.opcintype AND g.amoprighttype = o.opcintype AND g.amopstrategy = 5 AND g.amoppurpose = 's'
 WHERE t.oid = $1::bigint::oid
   AND (o.opcintype = t.oid
     OR o.opcintype = CASE WHEN t.typtype = 'e' THEN 'anyenum'::regtype WHEN t.typcategory = 'A' THEN 'anyarray'::regtype
                           WHEN t.typtype = 'r' THEN 'anyrange'::regtype WHEN t.typtype = 'c' THEN 'record'::regtype END
     OR EXISTS (SELECT FROM pg_cast c WHERE c.castsource = t.oid AND c.casttarget = o.opcintype AND c.castmethod = 'b' AND c.castcontext = 'i'))
 ORDER BY o.opcintype = t.oid DESC, i.typispreferred DESC, o.opcintype LIMIT 1`

// DefaultOrder returns the order that ORDER BY uses for a type, or nil if it has none.
func (g *Graph) DefaultOrder(ctx context.Context, q Querier, typ uint32) (*Order, error) {
	if o, known := g.orders[typ]; known {
		return o, nil
	}
	var family, equal, greater uint32
	rows, err := q.Query(ctx, orderSQL, int64(typ))
	if err != nil {
		return nil, fmt.Errorf("looking up the order of a type: %w", err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&family, &equal, &greater}, func() error { return nil }); err != nil {
		return nil, fmt.Errorf("looking up the order of a type: %w", err)
	}
	var o *Order
	if family != 0 {
		if o, err = g.orderOf(ctx, q, family, equal, greater); err != nil {
			return nil, err
		}
	}
	g.orders[typ] = o
	return o, nil
}

func (g *Graph) orderOf(ctx context.Context, q Querier, family, equal, greater uint32) (*Order, error) {
	if err := g.loadOperators(ctx, q, equal, greater); err != nil {
		return nil, fmt.Errorf("reading an operator family: %w", err)
	}
	return &Order{Equal: g.operators[equal], Greater: g.operators[greater], Family: family}, nil
}

// OrderIn returns how a btree operator family compares two types, or one with itself if it
// has no operators for both; nil if it has neither.
func (g *Graph) OrderIn(ctx context.Context, q Querier, family, left, right uint32) (*Order, error) {
	o, err := g.order(ctx, q, family, left, right)
	if err != nil || o != nil {
		return o, err
	}
	return g.order(ctx, q, family, 0, 0)
}

// familyOrderSQL returns the operators = and > of a btree family for two types; for type 0,
// those of the family's only or preferred type.
const familyOrderSQL = `
SELECT e.amopopr, g.amopopr FROM pg_amop e JOIN pg_amop g ON g.amopfamily = e.amopfamily AND g.amoplefttype = e.amoplefttype AND g.amoprighttype = e.amoprighttype
  JOIN pg_type t ON t.oid = e.amoplefttype
 WHERE e.amopfamily = $1::bigint::oid AND e.amopstrategy = 3 AND g.amopstrategy = 5 AND e.amoppurpose = 's' AND g.amoppurpose = 's'
   AND CASE WHEN $2::bigint = 0 THEN e.amoplefttype = e.amoprighttype ELSE e.amoplefttype = $2::bigint::oid AND e.amoprighttype = $3::bigint::oid END
 ORDER BY t.typispreferred DESC, e.amoplefttype LIMIT 1`

func (g *Graph) order(ctx context.Context, q Querier, family, left, right uint32) (*Order, error) {
	asked := [3]uint32{family, left, right}
	if o, known := g.familyOrders[asked]; known {
		return o, nil
	}
	o, err := g.readOrder(ctx, q, family, left, right)
	if err == nil {
		g.familyOrders[asked] = o
	}
	return o, err
}

func (g *Graph) readOrder(ctx context.Context, q Querier, family, left, right uint32) (*Order, error) {
	rows, err := q.Query(ctx, familyOrderSQL, int64(family), int64(left), int64(right))
	if err != nil {
		return nil, fmt.Errorf("reading an operator family: %w", err)
	}
	var equal, greater uint32
	if _, err := pgx.ForEachRow(rows, []any{&equal, &greater}, func() error { return nil }); err != nil {
		return nil, fmt.Errorf("reading an operator family: %w", err)
	}
	if equal == 0 {
		return nil, nil
	}
	return g.orderOf(ctx, q, family, equal, greater)
}
