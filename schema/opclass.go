package schema

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// OperatorClass is the btree operator class that an index over values of a type needs so
// that an operator can search it.
type OperatorClass struct{ Schema, Name string }

// String formats the class for SQL; empty means that the type's default will do.
func (o OperatorClass) String() string {
	switch o.Schema {
	case "":
		return ""
	case "pg_catalog":
		return o.Name
	}
	return pgx.Identifier{o.Schema, o.Name}.Sanitize()
}

// operatorClassSQL finds the operator classes that accept a type, like ResolveOpClass
// (indexcmds.c), and whose family has the operator as its equality.
const operatorClassSQL = `
SELECT n.nspname, o.opcname, o.opcfamily
  FROM pg_amop a JOIN pg_opclass o ON o.opcfamily = a.amopfamily AND o.opcmethod = 403
  JOIN pg_namespace n ON n.oid = o.opcnamespace JOIN pg_type i ON i.oid = o.opcintype
 WHERE a.amopopr = $1::bigint::oid AND a.amopmethod = 403 AND a.amopstrategy = 3 AND a.amoppurpose = 's'
   AND (o.opcintype = $2::bigint::oid OR i.typtype = 'p'
     OR EXISTS (SELECT FROM pg_cast c WHERE c.castsource = $2::bigint::oid AND c.casttarget = o.opcintype AND c.castmethod = 'b' AND c.castcontext = 'i'))
 ORDER BY o.opcdefault DESC, o.opcintype = $2::bigint::oid DESC, n.nspname = 'pg_catalog' DESC, o.opcname, n.nspname`

// OperatorClassFor finds the operator class for an index over values of a type that an
// operator searches, with those values on its left. It returns false if there is none.
func (g *Graph) OperatorClassFor(ctx context.Context, q Querier, op *Operator, typ uint32) (best OperatorClass, found bool, err error) {
	own, err := g.DefaultOrder(ctx, q, typ)
	if err != nil {
		return best, false, err
	}
	rows, err := q.Query(ctx, operatorClassSQL, int64(op.OID), int64(typ))
	if err != nil {
		return best, false, fmt.Errorf("looking up an operator class: %w", err)
	}
	var o OperatorClass
	var family uint32
	usual := false
	_, err = pgx.ForEachRow(rows, []any{&o.Schema, &o.Name, &family}, func() error {
		if !found {
			best, found = o, true
		}
		usual = usual || own != nil && own.Family == family
		return nil
	})
	if err != nil {
		return best, false, fmt.Errorf("looking up an operator class: %w", err)
	}
	if usual {
		best = OperatorClass{}
	}
	return best, found, nil
}
