package guard

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// deniedError is a signal that the role may not read.
type deniedError struct {
	what string // the role may not do: see other roles' sessions
	need string // the role or privilege that is missing
}

// Error says what may not be read, and the grant that is missing.
func (e *deniedError) Error() string {
	return "this role may not " + e.what + "; it needs " + e.need
}

// hidden is the error of a view whose columns are empty for want of a privilege.
func hidden(what string) error {
	return &deniedError{what: "see " + what, need: statistics}
}

// The roles of PostgreSQL's own that guards need: to see what other roles'
// sessions do; that, and the directory of the WAL; to ask for a checkpoint, from
// 15 on.
const (
	statistics = "pg_read_all_stats"
	monitor    = "pg_monitor"
	checkpoint = "pg_checkpoint"
)

// ownError is a reason in words of this package, fit to be shown.
type ownError string

func (e ownError) Error() string { return string(e) }

// why is the reason of an error on one line. It quotes PostgreSQL's message, but
// no detail, which may hold rows, and nothing of pgx, which names hosts.
func why(err error) string {
	var denied *deniedError
	var own ownError
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case errors.As(err, &denied):
		return denied.Error()
	case errors.As(err, &own):
		return string(own)
	case errors.As(err, &pg) && pg.Code == queryCanceled:
		return "it took too long to read"
	case errors.As(err, &pg):
		return brief(pg.Message) + " (" + pg.Code + ")"
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return "it took too long to read"
	case errors.As(err, &connect):
		return "the database cannot be reached"
	}
	return "the connection to the database broke"
}

// PostgreSQL's codes of a statement that was cancelled, and of one that is not
// allowed.
const (
	queryCanceled         = "57014"
	insufficientPrivilege = "42501"
)

// mayNot tells that a signal cannot be read for want of a privilege.
func mayNot(err error) bool {
	var denied *deniedError
	return errors.As(err, &denied) || denies(err)
}

// denies tells that the server refused a statement for want of a privilege.
func denies(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == insufficientPrivilege
}
