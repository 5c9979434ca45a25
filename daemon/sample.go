package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// sample is how large the database and some of its tables are.
type sample struct {
	at            time.Time // by the database's clock
	name, version string
	database      *int64 // bytes; nil: no privilege
	wal           *int64 // bytes in use in pg_wal; nil: they may not be read
	tables        []tableSample
}

// tableSample is one table, of a partitioned one all partitions together.
type tableSample struct {
	oid               uint32
	name              string
	bytes, dead       *int64 // nil: it has just been dropped
	inserted, deleted int64  // rows, since the statistics began
}

// takeSample looks at the database, and at the tables with these OIDs.
func takeSample(ctx context.Context, pool *pgxpool.Pool, oids []uint32) (s sample, err error) {
	db := pg.Pinned(pool)
	var readable bool
	err = db.QueryRow(ctx, `SELECT clock_timestamp(), current_database()::text, current_setting('server_version'),
		CASE WHEN has_database_privilege(current_database(), 'CONNECT') THEN pg_database_size(current_database()) END,
		has_function_privilege('pg_ls_waldir()', 'EXECUTE')`).Scan(&s.at, &s.name, &s.version, &s.database, &readable)
	if err != nil {
		return s, fmt.Errorf("reading the size of the database: %w", err)
	}
	if readable {
		if s.wal, err = walSize(ctx, db); err != nil {
			return s, err
		}
	}
	rows, err := db.Query(ctx, tableSamplesSQL, oids)
	if err != nil {
		return s, fmt.Errorf("reading the sizes of tables: %w", err)
	}
	s.tables, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (t tableSample, err error) {
		var name schema.Name
		err = row.Scan(&t.oid, &name.Schema, &name.Name, &t.bytes, &t.dead, &t.inserted, &t.deleted)
		t.name = name.String()
		return t, err
	})
	if err != nil {
		return s, fmt.Errorf("reading the sizes of tables: %w", err)
	}
	return s, nil
}

// walSize is the bytes in pg_wal that are in use, as the guard of the storage counts
// them; nil where the server does not let it be read, as
// some managed ones do whatever the privilege says.
func walSize(ctx context.Context, db pg.Querier) (*int64, error) {
	var size *int64
	err := db.QueryRow(ctx, guard.WALInUse).Scan(&size)
	if _, refused := errors.AsType[*pgconn.PgError](err); refused {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the size of the WAL: %w", err)
	}
	return size, nil
}

// tableSamplesSQL gives OID, schema, name, bytes with indexes and TOAST, dead rows,
// and rows ever inserted and deleted, the largest table first.
const tableSamplesSQL = `SELECT c.oid, n.nspname::text, c.relname::text, s.bytes, s.dead, s.inserted, s.deleted
  FROM (SELECT DISTINCT o AS oid FROM unnest($1::oid[]) o) x
  JOIN pg_class c ON c.oid = x.oid JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT sum(pg_total_relation_size(t.relid))::bigint AS bytes, coalesce(sum(pg_stat_get_dead_tuples(t.relid)), 0)::bigint AS dead,
                            coalesce(sum(pg_stat_get_tuples_inserted(t.relid)), 0)::bigint AS inserted, coalesce(sum(pg_stat_get_tuples_deleted(t.relid)), 0)::bigint AS deleted
                       FROM (SELECT relid FROM pg_partition_tree(c.oid) UNION SELECT c.oid) t) s
 ORDER BY s.bytes DESC, 2, 3`

// root is a policy's root table, and what is due of it.
type root struct {
	policy  string
	table   uint32 // OID
	backlog *int64 // nil: not known
}

// kept is the sample as the ledger keeps it.
func (s sample) kept(roots []root) ledger.Size {
	size := ledger.Size{At: s.at, Database: s.database, WAL: s.wal, Tables: map[string]int64{}, Policies: map[string]ledger.Counts{}}
	for _, t := range s.tables {
		if t.bytes != nil {
			size.Tables[t.name] = *t.bytes
		}
		for _, r := range roots {
			if r.table == t.oid {
				size.Policies[r.policy] = ledger.Counts{Backlog: r.backlog, Deleted: t.deleted, Inserted: t.inserted}
			}
		}
	}
	return size
}

// KeepSize takes a sample of the sizes after a run that no daemon has made, and
// keeps it in the ledger, unless the last one is recent or the role may not.
// backlogs are the rows due, by policy; those that are missing are not known.
func KeepSize(ctx context.Context, db *pgxpool.Pool, l *ledger.Ledger, plans []*plan.Plan, backlogs map[string]*int64) error {
	due, err := l.SizeDue(ctx, db)
	if err != nil || !due {
		return err
	}
	var oids []uint32
	var roots []root
	for _, p := range plans {
		if p.Unplanned() != nil {
			continue
		}
		oids = append(oids, p.Tables()...)
		roots = append(roots, root{p.Policy.Name, p.Root.Table.OID, backlogs[p.Policy.Name]})
	}
	s, err := takeSample(ctx, db, oids)
	if err != nil {
		return err
	}
	return l.SaveSize(ctx, db, s.kept(roots))
}
