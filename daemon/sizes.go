package daemon

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/schema"
	"github.com/reaperdb/reaper/web"
)

// keptSizes is how many sizes are kept for the plots: a day's.
const keptSizes = 24 * 12

// sizes reads how large the database and the tables are that policies touch.
func (d *Daemon) sizes(ctx context.Context) {
	once, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	d.mu.Lock()
	var oids []uint32
	for _, s := range d.policies {
		oids = append(oids, s.oids...)
	}
	d.mu.Unlock()
	var name, version string
	var size *int64
	err := d.Control.QueryRow(once, `SELECT current_database()::text, current_setting('server_version'),
		CASE WHEN has_database_privilege(current_database(), 'CONNECT') THEN pg_database_size(current_database()) END`).Scan(&name, &version, &size)
	if err != nil {
		d.trouble("its size", err)
		return
	}
	tables, err := tableSizes(once, d.Control, oids)
	if err != nil {
		d.trouble("the sizes of tables", err)
		return
	}
	now := time.Now()
	var measured []metrics.Table
	for _, t := range tables {
		if t.SizeBytes != nil {
			measured = append(measured, metrics.Table{Name: t.Name, Bytes: *t.SizeBytes, DeadRows: *t.DeadRows})
		}
	}
	d.Metrics.SetTables(measured)
	if size != nil {
		d.Metrics.SetDatabaseSize(*size)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	db := &d.database
	db.Name, db.Version, db.SizeBytes = name, version, size
	db.Sizes = grown(db.Sizes, now, size)
	for i := range tables {
		for _, before := range db.Tables {
			if before.Name == tables[i].Name {
				tables[i].Sizes = before.Sizes
			}
		}
		tables[i].Sizes = grown(tables[i].Sizes, now, tables[i].SizeBytes)
	}
	db.Tables = tables
}

// grown is a list of sizes with one more; it shares nothing with the list before,
// which is in a picture.
func grown(list []web.Size, at time.Time, bytes *int64) []web.Size {
	if bytes == nil {
		return list
	}
	list = append(list[:len(list):len(list)], web.Size{At: at, Bytes: *bytes})
	return list[max(len(list)-keptSizes, 0):]
}

func tableSizes(ctx context.Context, pool *pgxpool.Pool, oids []uint32) ([]web.Table, error) {
	rows, err := pool.Query(ctx, tableSizesSQL, oids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tables []web.Table
	for rows.Next() {
		var t web.Table
		var name schema.Name
		if err := rows.Scan(&name.Schema, &name.Name, &t.SizeBytes, &t.DeadRows); err != nil {
			return nil, fmt.Errorf("reading sizes: %w", err)
		}
		t.Name = name.String()
		tables = append(tables, t)
	}
	return tables, rows.Err()
}

// tableSizesSQL gives schema, name, bytes with indexes and TOAST, and dead rows of
// tables; of partitioned ones all partitions together.
const tableSizesSQL = `SELECT n.nspname::text, c.relname::text, s.bytes, s.dead
  FROM (SELECT DISTINCT o AS oid FROM unnest($1::oid[]) o) x
  JOIN pg_class c ON c.oid = x.oid JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT sum(pg_total_relation_size(t.relid))::bigint AS bytes, coalesce(sum(pg_stat_get_dead_tuples(t.relid)), 0)::bigint AS dead
                       FROM (SELECT relid FROM pg_partition_tree(c.oid) UNION SELECT c.oid) t) s
 ORDER BY s.bytes DESC, 1, 2`
