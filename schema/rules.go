package schema

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const rulesSQL = `
SELECT fam.root, r.rulename, n.nspname, c.relname, r.ev_type = '4', r.is_instead
  FROM fam JOIN pg_rewrite r ON r.ev_class = fam.oid JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE r.ev_type IN ('2', '4') AND r.ev_enabled IN ('O', 'A')
 ORDER BY fam.root, r.rulename, fam.oid`

func (g *Graph) loadRules(ctx context.Context, q Querier, oids []uint32) error {
	rows, err := q.Query(ctx, familySQL+rulesSQL, oids)
	if err != nil {
		return err
	}
	var root uint32
	var r Rule
	_, err = pgx.ForEachRow(rows, []any{&root, &r.Name, &r.Table.Schema, &r.Table.Name, &r.OnDelete, &r.Instead}, func() error {
		g.Tables[root].Rules = append(g.Tables[root].Rules, r)
		return nil
	})
	return err
}
