package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

// sweeps deletes the mail workload without its usual index.
func sweeps(ctx context.Context, b *bench) error {
	load, err := b.fill(ctx, b.mails)
	if err != nil {
		return err
	}
	const usualIndex = "outgoing_emails_domain_id_created_at_id_idx"
	variants := []struct {
		name, template string
		changes        []string
	}{
		{"index (domain_id, created_at, id)", cascading, nil},
		{"index (created_at)", "mail_by_age", []string{"DROP INDEX " + usualIndex, "CREATE INDEX ON outgoing_emails (created_at)"}},
		{"no index but the key's", "mail_by_key", []string{"DROP INDEX " + usualIndex}},
	}
	var ways []method
	reads := make([][]float64, len(variants))
	for i, v := range variants {
		if v.changes != nil {
			if err := b.variant(ctx, v.template, v.changes...); err != nil {
				return err
			}
		}
		w := b.method(side{template: v.template})
		purge := w.run
		w.name, w.run = v.name, func(ctx context.Context, dsn string) (outcome, error) {
			d, err := purge(ctx, dsn)
			if err != nil {
				return d, err
			}
			perRow, err := readPerRow(ctx, dsn, d.child.report.Policies[0].Rows["public.outgoing_emails"])
			reads[i] = append(reads[i], perRow)
			return d, err
		}
		ways = append(ways, w)
	}
	turns, err := b.runRounds(ctx, load, ways)
	if err != nil {
		return err
	}
	for i, v := range variants {
		first := turns[i][0]
		b.Tell("sweeps", fmt.Sprintf("%s, n=%d", v.name, load.mails), fmt.Sprintf("%s: %s rows/s, %s mails read for each one deleted",
			first.child.report.Policies[0].Strategy, spread(each(turns[i], turn.rowRate), "%.0f"), spread(reads[i], "%.1f")))
	}
	return nil
}

// readPerRow is the number of rows of outgoing_emails that the server has read in this copy,
// by sequential and index scans, per deleted row. The copy's counters started at zero, and a
// session's are added when it ends.
func readPerRow(ctx context.Context, dsn string, deleted int64) (perRow float64, err error) {
	if deleted == 0 {
		return 0, errors.New("nothing was deleted")
	}
	const sql = `SELECT seq_tup_read + coalesce(idx_tup_fetch, 0), n_tup_del FROM pg_stat_user_tables WHERE relname = 'outgoing_emails'`
	var read, counted int64
	for range 100 {
		err := lab.OnDatabase(ctx, dsn, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(&read, &counted) })
		if err != nil {
			return 0, err
		}
		if counted >= deleted {
			return float64(read) / float64(deleted), nil
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return 0, fmt.Errorf("the server's statistics show %d rows deleted from outgoing_emails, want %d", counted, deleted)
}
