package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// NoteDetach records, in advance, that a partition is about to be detached, with what it
// takes to attach it again. bound is FOR VALUES … as displayed in UTC with ISO dates;
// checks are the names of its CHECK constraints.
func (l *Ledger) NoteDetach(ctx context.Context, db *pgxpool.Pool, runID, policy string, parent, partition uint32, name, bound string, checks []string) error {
	return l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		// Repeating the call after a lost connection changes nothing. Asynchronous commit is
		// safe: a crash that loses this row also loses the later detach.
		_, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.detach (partition, parent, name, bound, checks, run_id, policy)
			VALUES ($1::bigint::oid, $2::bigint::oid, $3, $4, $5::text[], $6::uuid, $7) ON CONFLICT DO NOTHING`,
			int64(partition), int64(parent), name, bound, checks, runID, policy)
		return err
	})
}

// EachDetach passes every noted detach that was neither completed nor undone, of any
// policy and run, oldest first.
func (l *Ledger) EachDetach(ctx context.Context, db *pgxpool.Pool, each func(policy string, parent, partition uint32, name, bound string, checks []string)) error {
	rows, err := l.on(db).Query(ctx, `SELECT policy, parent, partition, name, bound, checks FROM `+l.schema+`.detach ORDER BY noted_at, partition`)
	if err != nil {
		return err
	}
	var policy, name, bound string
	var parent, partition uint32
	var checks []string
	_, err = pgx.ForEachRow(rows, []any{&policy, &parent, &partition, &name, &bound, &checks}, func() error {
		each(policy, parent, partition, name, bound, append([]string(nil), checks...))
		return nil
	})
	return err
}

// ForgetDetach removes the note in the transaction that settles the detach, and reports
// whether it existed. It waits for concurrent transactions doing the same.
func (l *Ledger) ForgetDetach(ctx context.Context, tx pgx.Tx, partition uint32) (bool, error) {
	tag, err := tx.Exec(ctx, `DELETE FROM `+l.schema+`.detach WHERE partition OPERATOR(pg_catalog.=) $1::pg_catalog.int8::pg_catalog.oid`, int64(partition))
	return tag.RowsAffected() > 0, err
}

// RecordCounts records the result of a query that returns a tenant (as text, or NULL) and
// its number of rows: one row per tenant, as if each were a batch on one table. The
// sequence numbers count down from -used-1, so they never collide with those of batches.
// It returns the number of rows written and their sum.
func (l *Ledger) RecordCounts(ctx context.Context, tx pgx.Tx, runID, policy string, used int64, table, counts string, args []any) (batches, rows int64, err error) {
	n := len(args)
	arg := func(i int) string { return fmt.Sprintf("$%d", n+i) }
	sql := `WITH written AS (
  INSERT INTO ` + l.schema + `.batch (run_id, policy, seq, tenant, rows, nullified)
  SELECT ` + arg(1) + `::pg_catalog.uuid, ` + arg(2) + `::pg_catalog.text, ` + arg(3) + `::pg_catalog.int8 OPERATOR(pg_catalog.-) pg_catalog.row_number() OVER (), c.tenant, ` +
		`pg_catalog.jsonb_build_object(` + arg(4) + `::pg_catalog.text, c.n), '{}'::pg_catalog.jsonb
    FROM (` + counts + `) AS c(tenant, n)
  RETURNING (SELECT value::pg_catalog.int8 FROM pg_catalog.jsonb_each_text(rows)) AS n)
SELECT pg_catalog.count(*), coalesce(pg_catalog.sum(n), 0)::pg_catalog.int8 FROM written`
	err = tx.QueryRow(ctx, sql, append(args[:n:n], runID, policy, -used, table)...).Scan(&batches, &rows)
	return batches, rows, err
}
