package guard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// custom reads a number configured in the policy file.
type custom struct {
	Custom
	web *prometheus
}

func (s custom) read(ctx context.Context, db session) ([]measure, error) {
	v, err := s.Query.ask(ctx, db, s.web)
	if err != nil {
		return nil, err
	}
	return []measure{{value: v, unit: Plain, levels: s.Levels, below: s.Below, before: s.Name + " is "}}, nil
}

// ask returns the query's number.
func (q Query) ask(ctx context.Context, db session, web *prometheus) (float64, error) {
	v, err := 0.0, error(nil)
	if q.Prometheus != "" {
		v, err = web.number(ctx, q)
	} else {
		v, err = askSQL(ctx, db, q.SQL)
		err = withoutData(err)
	}
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		return 0, ownError("the query returned NaN or infinity, not a number")
	}
	return v, err
}

// withoutData removes the message from errors that may quote a row: values out of
// range and errors raised by functions. The code is enough to investigate by running
// the query.
func withoutData(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch {
	case strings.HasPrefix(pg.Code, "22"):
		return ownError("the query failed on a value it read (" + pg.Code + ")")
	case strings.HasPrefix(pg.Code, "P0"):
		return ownError("a function in the query raised an error (" + pg.Code + ")")
	}
	return err
}

// askSQL runs a query of the policy file in a read-only transaction under the role's
// own search_path, so it means what it means in psql. Nothing around it may resolve a
// name there, and BEGIN, SET and ROLLBACK do not. The server gets a statement_timeout
// as well: through a pooler, a client that gives up may leave its statement running.
func askSQL(ctx context.Context, db session, sql string) (v float64, err error) {
	tx, err := db.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // nothing was written
	if _, err := tx.Exec(ctx, statementTimeout(ctx)); err != nil {
		return 0, err
	}
	rows, err := tx.Query(ctx, sql)
	if err != nil {
		return 0, err
	}
	values, several, err := first(rows)
	switch {
	case err != nil:
		return 0, err
	case values == nil:
		return 0, ownError("the query returned no rows")
	case several:
		return 0, ownError("the query returned several rows; it must return one number")
	case len(values) != 1:
		return 0, ownError(fmt.Sprintf("the query returned %d columns; it must return one number", len(values)))
	}
	return toNumber(values[0])
}

// first returns the first row, nil if there is none, and whether there are more. It
// discards the rest without reading it into memory.
func first(rows pgx.Rows) (values []any, several bool, err error) {
	defer rows.Close()
	if rows.Next() {
		if values, err = rows.Values(); err != nil {
			return nil, false, err
		}
	}
	several = rows.Next()
	rows.Close()
	return values, several, rows.Err()
}

// toNumber converts a database value to a number.
func toNumber(v any) (float64, error) {
	switch v := v.(type) {
	case nil:
		return 0, ownError("the query returned NULL")
	case int16:
		return float64(v), nil
	case int32:
		return float64(v), nil
	case int64:
		return float64(v), nil
	case float32:
		return float64(v), nil
	case float64:
		return v, nil
	case pgtype.Numeric:
		f, err := v.Float64Value()
		if err == nil && f.Valid {
			return f.Float64, nil
		}
	}
	return 0, ownError("the query returned no number; cast its column to float8")
}

// statementTimeout returns the statement that makes the server give up when ctx does.
func statementTimeout(ctx context.Context) string {
	return "SET LOCAL statement_timeout = " + strconv.FormatInt(max(timeLeft(ctx).Milliseconds(), 1), 10)
}

// timeLeft returns the time until ctx ends, or an hour if it has no deadline.
func timeLeft(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Hour
	}
	return time.Until(deadline)
}
