package ledger

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// What follows is queued for the transaction of a batch, whose search_path is not the ledger's:
// every name is qualified.

// CountErased queues the counts of what a batch of an erasure did.
func (l *Ledger) CountErased(in *pgx.Batch, id string, counts []ErasedRows) {
	var tables, actions []string
	var rows []int64
	for _, c := range counts {
		tables, actions, rows = append(tables, c.Table), append(actions, c.Action), append(rows, c.Rows)
	}
	in.Queue(`INSERT INTO `+l.schema+`.erasure_count AS c (erasure, table_name, action, rows)
		SELECT $1::pg_catalog.uuid, t.name, t.action, t.rows FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.text[]), pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.int8[])) t(name, action, rows)
		ON CONFLICT (erasure, table_name, action) DO UPDATE SET rows = c.rows OPERATOR(pg_catalog.+) excluded.rows`, id, tables, actions, rows)
}

// RememberKeys queues values of a column of rows of a table that go, as PostgreSQL prints them.
func (l *Ledger) RememberKeys(in *pgx.Batch, id, table, column string, values []string) {
	in.Queue(`INSERT INTO `+l.schema+`.erasure_key (erasure, table_name, column_name, value)
		SELECT $1::pg_catalog.uuid, $2::pg_catalog.text, $3::pg_catalog.text, v FROM pg_catalog.unnest($4::pg_catalog.text[]) v`, id, table, column, values)
}

// BeginErasure queues that an erasure waits or runs from now on.
func (l *Ledger) BeginErasure(in *pgx.Batch, id, state string) {
	in.Queue(`UPDATE `+l.schema+`.erasure SET state = $2::pg_catalog.text, begun_at = COALESCE(begun_at, pg_catalog.now())
		WHERE id OPERATOR(pg_catalog.=) $1::pg_catalog.uuid AND state OPERATOR(pg_catalog.=) ANY (ARRAY['requested', 'waiting', 'running'])`, id, state)
}

// EndErasure queues that an erasure is done: whether the tenants' table still has the row, and in
// which time the first sweep is due; 0: there is none. One that was done already, and whose row still
// stays, keeps its sweeps.
func (l *Ledger) EndErasure(in *pgx.Batch, id string, rowStays bool, sweep time.Duration) {
	const same = `state OPERATOR(pg_catalog.=) 'done' AND row_stays OPERATOR(pg_catalog.=) $2::pg_catalog.bool`
	in.Queue(`UPDATE `+l.schema+`.erasure SET state = 'done', note = '', row_stays = $2::pg_catalog.bool, finished_at = COALESCE(finished_at, pg_catalog.clock_timestamp()),
		sweep_at = CASE WHEN `+same+` THEN sweep_at WHEN $3::pg_catalog.text OPERATOR(pg_catalog.<>) '' THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $3::pg_catalog.text::pg_catalog.interval END,
		sweeps = CASE WHEN `+same+` THEN sweeps ELSE 0 END WHERE id OPERATOR(pg_catalog.=) $1::pg_catalog.uuid`, id, rowStays, interval(sweep))
}

// interval is the text of an interval; empty for 0.
func interval(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// RecheckErasure queues what a count after the last batch has found: rows that are left besides the
// kept ones, and those.
func (l *Ledger) RecheckErasure(in *pgx.Batch, id string, remaining int64, kept []Kept, next *time.Time) error {
	text := []byte("[]")
	if kept != nil {
		var err error
		if text, err = json.Marshal(kept); err != nil {
			return fmt.Errorf("encoding what is kept: %w", err)
		}
	}
	in.Queue(`UPDATE `+l.schema+`.erasure SET rechecked_at = pg_catalog.now(), remaining = $2::pg_catalog.int8, kept = $3::pg_catalog.jsonb, again_at = $4::pg_catalog.timestamptz
		WHERE id OPERATOR(pg_catalog.=) $1::pg_catalog.uuid`, id, remaining, string(text), next)
	return nil
}

// CountLeftovers queues what a sweep has found in a table and deleted of it. Repeated for the same
// sweep, it adds what was deleted.
func (l *Ledger) CountLeftovers(in *pgx.Batch, id string, sweep int, table string, found, deleted int64, note string) {
	in.Queue(`INSERT INTO `+l.schema+`.erasure_leftover AS o (erasure, sweep, table_name, found, deleted, note)
		VALUES ($1::pg_catalog.uuid, $2::pg_catalog.int4, $3::pg_catalog.text, $4::pg_catalog.int8, $5::pg_catalog.int8, $6::pg_catalog.text)
		ON CONFLICT (erasure, sweep, table_name) DO UPDATE SET found = GREATEST(o.found, excluded.found), deleted = o.deleted OPERATOR(pg_catalog.+) excluded.deleted, note = excluded.note, at = pg_catalog.clock_timestamp()`,
		id, sweep, table, found, deleted, note)
}

// EndSweep queues the end of a sweep: in which time the next one is due; 0: this was the last.
func (l *Ledger) EndSweep(in *pgx.Batch, id string, sweep int, next time.Duration) {
	in.Queue(`UPDATE `+l.schema+`.erasure SET sweeps = $2::pg_catalog.int4, sweep_at = CASE WHEN $3::pg_catalog.text OPERATOR(pg_catalog.<>) '' THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) $3::pg_catalog.text::pg_catalog.interval END
		WHERE id OPERATOR(pg_catalog.=) $1::pg_catalog.uuid`, id, sweep, interval(next))
}
