package daemon

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// poolOf is what reading sizes needs.
type poolOf interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// tableSizesSQL gives name, bytes with indexes and TOAST, and dead rows of tables;
// of partitioned ones all partitions together. Names are as reaper prints them.
const tableSizesSQL = `SELECT n.name, s.bytes, s.dead
  FROM (SELECT DISTINCT name, to_regclass(name) AS oid FROM unnest($1::text[]) name) n
 CROSS JOIN LATERAL (SELECT sum(pg_total_relation_size(t.relid))::bigint AS bytes, coalesce(sum(pg_stat_get_dead_tuples(t.relid)), 0)::bigint AS dead
                       FROM (SELECT relid FROM pg_partition_tree(n.oid) UNION SELECT n.oid WHERE n.oid IS NOT NULL) t) s
 WHERE n.oid IS NOT NULL
 ORDER BY s.bytes DESC, n.name`
