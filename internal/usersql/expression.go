package usersql

import (
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// Expression resolves an expression over one relation, which schema.From names. The fragment's SQL is
// the expression alone: as PostgreSQL prints it or, if AsWritten, the original. It also appears in a
// WHERE clause: there PostgreSQL refuses aggregates, window functions and set-returning functions, which
// a SELECT list would accept.
func (r *Reader) Expression(text, relation string) (*Fragment, error) {
	sql := "(" + text + "\n)"
	f, err := r.Understand("SELECT "+sql+" FROM "+relation+" WHERE "+sql+" IS NULL", "SELECT "+sql+" AS "+FragmentView+" FROM "+relation+Besides)
	if err != nil {
		return nil, err
	}
	if f.AsWritten {
		f.SQL = text
	} else {
		body := strings.TrimPrefix(strings.TrimSpace(f.SQL), "SELECT ")
		f.SQL = body[:strings.LastIndex(body, " AS "+FragmentView)]
	}
	return f, nil
}

// ExpressionFix is the remedy for an error in an expression; see QueryFix.
func ExpressionFix(wrong *pgconn.PgError, role string) string {
	return QueryFix(wrong, role, expressionFix(wrong))
}

func expressionFix(wrong *pgconn.PgError) string {
	switch {
	case wrong.Code == "42803", wrong.Code == "42P20", strings.HasPrefix(wrong.Message, "set-returning"):
		return "write an expression over one row: no aggregate, no window function, no function that returns a set"
	case wrong.Hint != "":
		return wrong.Hint
	}
	return "it may use the columns of that table alone"
}

// BoolOID is the type of conditions.
const BoolOID = 16
