package purge

import (
	"context"
	"encoding/csv"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/search"
)

// KnownRoot returns the key of a plan's root by column, as PostgreSQL prints it, and a *UsageError for
// one that its types cannot hold. One that is not there is nil or, with unknown, as its types print
// it. A key of several columns is given as a line of CSV. The plan must be free of errors.
func KnownRoot(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, key string, unknown bool) (printed []string, err error) {
	values, columns := []string{key}, strings.Join(plan.ColumnNames(p.Key), ", ")
	if len(p.Key) > 1 {
		line, err := csv.NewReader(strings.NewReader(key)).ReadAll()
		if err != nil || len(line) != 1 || len(line[0]) != len(p.Key) {
			return nil, &UsageError{fmt.Sprintf(`--root %s: the key of %s has the columns %s: write their values in this order, with commas between, and quotes around one with a comma: 5,"a, b"`, key, p.Root.Table.Name, columns)}
		}
		values = line[0]
	}
	s := search.PrintedRootSQL(p, values, unknown)
	err = pg.ReadOnly(ctx, pool, p.ReadingPath(), time.Minute, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, s.String(), s.Args...).Scan(&printed)
	})
	switch {
	case pg.HasCode(err, "22P02", "22003", "22007", "22008", "22001"):
		return nil, &UsageError{fmt.Sprintf("--root %s: %s; the key of %s is %s", key, pg.ErrorText(err), p.Root.Table.Name, columns)}
	case err != nil:
		return nil, fmt.Errorf("looking up --root: %w", err)
	}
	return printed, nil
}
