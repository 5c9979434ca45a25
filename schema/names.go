package schema

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/nearest"
)

// Resolve finds the OIDs of tables by schema and exact name; without a schema the
// search_path decides. An OID of 0 means not found. Tables in a schema that the role may
// not use are found too, so that the missing privilege can be reported.
func Resolve(ctx context.Context, q Querier, names [][2]string) ([]uint32, error) {
	schemas, tables := make([]string, len(names)), make([]string, len(names))
	for i, n := range names {
		schemas[i], tables[i] = n[0], n[1]
	}
	var oids []uint32
	// It runs under the role's own search_path, so every name is qualified.
	err := q.QueryRow(ctx, `SELECT array(
		SELECT coalesce(CASE WHEN x.s OPERATOR(pg_catalog.=) '' THEN pg_catalog.to_regclass(pg_catalog.quote_ident(x.t))::pg_catalog.oid
		                ELSE (SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
		                       WHERE n.nspname OPERATOR(pg_catalog.=) x.s::pg_catalog.name AND c.relname OPERATOR(pg_catalog.=) x.t::pg_catalog.name) END, 0::pg_catalog.oid)
		  FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) WITH ORDINALITY x(s, t, i) ORDER BY x.i)`, schemas, tables).Scan(&oids)
	if err != nil {
		return nil, fmt.Errorf("looking up tables: %w", err)
	}
	return oids, nil
}

// UserTables returns all ordinary and partitioned tables outside the system schemas, without
// partitions.
func UserTables(ctx context.Context, q Querier) ([]uint32, []Name, error) {
	rows, err := q.Query(ctx, `
SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND n.nspname NOT LIKE 'pg\_%' AND n.nspname <> 'information_schema'
 ORDER BY n.nspname, c.relname`)
	if err != nil {
		return nil, nil, fmt.Errorf("listing tables: %w", err)
	}
	var oids []uint32
	var names []Name
	var oid uint32
	var n Name
	_, err = pgx.ForEachRow(rows, []any{&oid, &n.Schema, &n.Name}, func() error {
		oids, names = append(oids, oid), append(names, n)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("listing tables: %w", err)
	}
	return oids, names, nil
}

// Nearest returns the candidate closest to a name that was not found, or "" if none is
// close. Differences in case and underscores do not count.
func Nearest(name string, candidates []string) string {
	folded := make([]string, len(candidates))
	for i, c := range candidates {
		folded[i] = fold(c)
	}
	if i := nearest.Index(fold(name), folded, len(name)/2); i >= 0 {
		return candidates[i]
	}
	return ""
}

func fold(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }
