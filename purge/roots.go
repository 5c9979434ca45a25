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
// it. A key of several columns is given by column, or as a line of CSV. as is how messages name it.
// The plan must be free of errors.
func KnownRoot(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, as string, key []string, unknown bool) (printed []string, err error) {
	values, columns := key, strings.Join(plan.ColumnNames(p.Key), ", ")
	if len(p.Key) > 1 && len(key) == 1 {
		if line, err := csv.NewReader(strings.NewReader(key[0])).ReadAll(); err == nil && len(line) == 1 {
			values = line[0]
		}
	}
	as += " " + strings.Join(key, " ")
	switch {
	case len(values) == len(p.Key):
	case len(p.Key) == 1:
		return nil, &UsageError{fmt.Sprintf("%s: the key of %s is the one column %s", as, p.Root.Table.Name, columns)}
	default:
		return nil, &UsageError{fmt.Sprintf(`%s: the key of %s has the columns %s: write their values in this order, with commas between, and quotes around one with a comma: 5,"a, b"`, as, p.Root.Table.Name, columns)}
	}
	s := search.PrintedRootSQL(p, values, unknown)
	err = pg.ReadOnly(ctx, pool, p.ReadingPath(), time.Minute, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, s.String(), s.Args...).Scan(&printed)
	})
	switch {
	case pg.HasCode(err, "22P02", "22003", "22007", "22008", "22001"):
		typed := pg.List(len(p.Key), func(i int) string { return p.Key[i].Name + " (" + p.Key[i].Type + ")" })
		return nil, &UsageError{fmt.Sprintf("%s: %s; the key of %s is %s", as, pg.ErrorText(err), p.Root.Table.Name, typed)}
	case err != nil:
		return nil, fmt.Errorf("looking up %s: %w", as, err)
	}
	return printed, nil
}
