package guard

import (
	"context"
	"strconv"
	"strings"
)

// effective keeps the guard on for Vacuuming alone, too.
func (d DeadRows) effective() Signal {
	s := d.Signal
	if s.Off == "" && s.None() && d.Vacuuming == Go {
		s.Off = noThreshold
	}
	return s
}

// deadRows is the largest share of dead rows among the tables that are deleted from,
// and whether one of them is being vacuumed.
type deadRows struct {
	DeadRows
	touchedTables func() []uint32
}

// Partitioned tables count by partition. Small tables are left out: dead rows soon
// dominate them, and vacuum soon removes them. After a crash the counters restart at
// zero and only reltuples knows the row count. Only some roles may see what is being
// vacuumed.
const deadRowsSQL = `WITH touched AS (
	SELECT coalesce(p.relid, o.oid) AS relid
	FROM unnest($1::text::oid[]) o(oid) LEFT JOIN LATERAL pg_partition_tree(o.oid) p ON true
), rows AS (
	SELECT relid::regclass::text AS name, n_dead_tup / greatest(n_live_tup + n_dead_tup, reltuples)::float8 AS share
	FROM pg_stat_all_tables JOIN touched USING (relid) JOIN pg_class ON pg_class.oid = relid
	WHERE greatest(n_live_tup + n_dead_tup, reltuples) > 10000 ORDER BY share DESC LIMIT 1
)
SELECT coalesce((SELECT name FROM rows), ''), coalesce((SELECT share FROM rows), 0),
	coalesce((SELECT min(relid::regclass::text) FROM pg_stat_progress_vacuum JOIN touched USING (relid)), ''),
	pg_has_role('pg_read_all_stats', 'USAGE')`

func (d deadRows) read(ctx context.Context, db session) ([]measure, error) {
	oids := d.touchedTables()
	if len(oids) == 0 {
		return nil, nil
	}
	var table, vacuumed string
	var share float64
	var sees bool
	if err := queryOne(ctx, db, deadRowsSQL, []any{oidArray(oids)}, &table, &share, &vacuumed, &sees); err != nil {
		return nil, err
	}
	if d.Vacuuming != Go && !sees {
		return nil, hiddenColumns("vacuum progress")
	}
	all := []measure{{key: "share", value: share, unit: Ratio, levels: d.Levels, after: " of the rows of " + table + " are dead"}}
	if d.Vacuuming != Go && vacuumed != "" {
		all = append(all, measure{key: "vacuum", state: d.Vacuuming, reason: vacuumed + " is being vacuumed"})
	}
	return all, nil
}

// oidArray formats oids as an array literal.
func oidArray(oids []uint32) string {
	texts := make([]string, len(oids))
	for i, oid := range oids {
		texts[i] = strconv.FormatUint(uint64(oid), 10)
	}
	return "{" + strings.Join(texts, ",") + "}"
}
