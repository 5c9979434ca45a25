package schema

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// IdleKey is a foreign key that PostgreSQL does not enforce everywhere.
type IdleKey struct {
	OID            uint32
	Key, Child, On string // On: the table whose triggers are not enabled
	Fix            string // statements that enable them; empty if the triggers are missing
}

// Compare orders keys by their names.
func (k IdleKey) Compare(o IdleKey) int {
	return cmp.Or(cmp.Compare(k.Key, o.Key), cmp.Compare(k.Child, o.Child), cmp.Compare(k.On, o.On))
}

// IdleKeys are the foreign keys, among these OIDs, whose triggers are not all enabled.
func IdleKeys(ctx context.Context, q Querier, oids []uint32) ([]IdleKey, error) {
	rows, err := q.Query(ctx, idleKeysSQL, oids)
	if err != nil {
		return nil, fmt.Errorf("reading the triggers of foreign keys: %w", err)
	}
	idle, err := pgx.CollectRows(rows, pgx.RowToStructByPos[IdleKey])
	if err != nil {
		return nil, fmt.Errorf("reading the triggers of foreign keys: %w", err)
	}
	return idle, nil
}

// idleKeysSQL returns the foreign keys, among those with OIDs $1, whose triggers are not all
// enabled on every partition at both ends: the key, its table, the triggers' table, and the
// statements that enable them (which take a superuser). Each partition has its own key; a key that
// only references a partition has no triggers there (addFkRecurseReferenced and
// addFkRecurseReferencing in tablecmds.c). The function OIDs are from pg_proc.dat:
// RI_FKey_check_ins and _upd, and the RI_FKey_*_del.
const idleKeysSQL = `
WITH RECURSIVE key AS (
  SELECT k.*, k.oid AS top FROM pg_constraint k WHERE k.oid = ANY ($1::oid[])
  UNION ALL SELECT k.*, key.top FROM pg_constraint k JOIN key ON k.conparentid = key.oid WHERE k.contype = 'f'),
ends AS (
  SELECT key.top, key.oid, key.conrelid AS rel, 2 AS wanted, ARRAY[1644, 1645] AS functions FROM key
   WHERE NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = key.conparentid AND up.conrelid = key.conrelid)
  UNION ALL SELECT key.top, key.oid, key.confrelid, 1, ARRAY[1646, 1648, 1650, 1652, 1654] FROM key
   WHERE NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = key.conparentid AND up.confrelid = key.confrelid))
SELECT whole.oid, whole.conname, format('%I.%I', tn.nspname, tc.relname), format('%I.%I', n.nspname, c.relname),
       coalesce((SELECT string_agg(format('ALTER TABLE %I.%I ENABLE TRIGGER %I;', n.nspname, c.relname, t.tgname), ' ' ORDER BY t.tgname)
                   FROM pg_trigger t WHERE t.tgconstraint = ends.oid AND t.tgrelid = ends.rel AND t.tgenabled NOT IN ('O', 'A')), '')
  FROM ends JOIN pg_class c ON c.oid = ends.rel AND c.relkind = 'r' JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_constraint whole ON whole.oid = ends.top JOIN pg_class tc ON tc.oid = whole.conrelid JOIN pg_namespace tn ON tn.oid = tc.relnamespace
 WHERE to_jsonb(whole)->>'conenforced' IS DISTINCT FROM 'false'
   AND ends.wanted <> (SELECT count(*) FROM pg_trigger t WHERE t.tgconstraint = ends.oid AND t.tgrelid = ends.rel AND t.tgfoid::int = ANY (ends.functions) AND t.tgenabled IN ('O', 'A'))
 ORDER BY 2, 3, 4`
