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

// custom is a number that the policy file asks for.
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

// ask asks for the one number.
func (q Query) ask(ctx context.Context, db session, web *prometheus) (float64, error) {
	v, err := 0.0, error(nil)
	if q.Prometheus != "" {
		v, err = web.number(ctx, q)
	} else {
		v, err = askSQL(ctx, db, q.SQL)
		err = withoutData(err)
	}
	if err == nil && (math.IsNaN(v) || math.IsInf(v, 0)) {
		return 0, ownError("the query gives no number, but NaN or infinity")
	}
	return v, err
}

// withoutData takes the message from errors of a query that may quote a row: of a
// value that does not fit, and those that a function raises. The code is enough to
// find out more by running the query.
func withoutData(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch {
	case strings.HasPrefix(pg.Code, "22"):
		return ownError("the query fails on a value that it meets (" + pg.Code + ")")
	case strings.HasPrefix(pg.Code, "P0"):
		return ownError("a function of the query raises an error (" + pg.Code + ")")
	}
	return err
}

// askSQL runs a query of the policy file in a transaction that cannot write, under the
// role's own search_path: it means what it means in psql. So nothing around it may
// look up a name there: BEGIN, SET and ROLLBACK look up none. The server is told the
// time too: through a pooler, a client that gives up may leave a statement behind.
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
		return 0, ownError("the query gives no row")
	case several:
		return 0, ownError("the query gives several rows: it must give one number")
	case len(values) != 1:
		return 0, ownError(fmt.Sprintf("the query gives %d columns: it must give one number", len(values)))
	}
	return toNumber(values[0])
}

// first is the first row, nil where there is none, and whether there are more: those
// are let go of as they come.
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

// toNumber is a value of the database as a number.
func toNumber(v any) (float64, error) {
	switch v := v.(type) {
	case nil:
		return 0, ownError("the query gives NULL")
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
	return 0, ownError("the query gives no number: cast its column to float8")
}

// statementTimeout is the statement that has the server give up when ctx does.
func statementTimeout(ctx context.Context) string {
	return "SET LOCAL statement_timeout = " + strconv.FormatInt(max(left(ctx).Milliseconds(), 1), 10)
}

// left is the time until a context ends; an hour where it never does.
func left(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Hour
	}
	return time.Until(deadline)
}
