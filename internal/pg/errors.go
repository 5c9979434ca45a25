package pg

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrorText is an error for logs and reports, without row data: the DETAIL of a
// violation holds values.
func ErrorText(err error) string {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		if errors.Is(err, context.Canceled) {
			return "interrupted"
		}
		return err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (SQLSTATE %s)", refused.Message, refused.Code)
	if refused.ConstraintName != "" {
		fmt.Fprintf(&b, ", constraint %s", refused.ConstraintName)
	}
	if refused.TableName != "" {
		fmt.Fprintf(&b, ", table %s.%s", refused.SchemaName, refused.TableName)
	}
	if called := inFunction.FindStringSubmatch(refused.Where); called != nil {
		fmt.Fprintf(&b, ", in function %s", called[1])
	}
	return b.String()
}

// inFunction finds the function in which an error was raised, in its context. The
// arguments behind the name are types.
var inFunction = regexp.MustCompile(`(?m)^PL/\w+ function ((?:"(?:[^"]|"")*"|[^\s("])+)`)
