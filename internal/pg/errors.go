package pg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrorText formats an error for logs and reports without row data: the DETAIL of a violation
// contains values.
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

// inFunction finds the function that raised an error in its context. The arguments after the
// name are types.
var inFunction = regexp.MustCompile(`(?m)^PL/\w+ function ((?:"(?:[^"]|"")*"|[^\s("])+)`)

// HasCode reports whether an error comes from the server with one of these SQLSTATEs.
func HasCode(err error, codes ...string) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && slices.Contains(codes, refused.Code)
}

// Passes reports whether an error is transient: a lock or statement timeout, a deadlock, or a
// concurrent write of the same row. The same statement may succeed a little later.
func Passes(err error) bool {
	return HasCode(err, "55P03", "40P01", "40001", "57014", "23503", "23001") // RESTRICT has its own code from PostgreSQL 18 on
}

// Away reports whether an error comes from the connection or the pool, or says that the server
// ends sessions, is not up, was a primary before a failover, cannot read its files, or is out
// of resources. Other errors of classes 57 and 58, and internal errors (XX), also come from
// healthy servers, about a corrupted row or an extension.
func Away(err error) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return err != nil
	}
	return HasCode(err, "57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25006", "58030") ||
		strings.HasPrefix(refused.Code, "08") || strings.HasPrefix(refused.Code, "53")
}

// Lost reports whether an error is that of a connection: it was refused, broke, or does not answer. An
// error that the server reports, or a program of ours, is none.
func Lost(err error) bool {
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	_, network := errors.AsType[net.Error](err)
	return connecting || network || pgconn.SafeToRetry(err) || errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// OneLine is an error's text on one line, without repetitions. Why there is no connection it says in
// words of its own: pgx lists what it tried on several lines, in terms of its code.
func OneLine(err error) string {
	text := err.Error()
	if c, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		text = strings.Replace(text, c.Error(), unreachable(c.Error()), 1)
	}
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line != "" && !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, line) }) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "no reason given"
	}
	if len(lines) == 1 {
		return lines[0]
	}
	return lines[0] + " " + strings.Join(lines[1:], "; ")
}
