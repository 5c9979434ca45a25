package guard

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
)

// deniedError is returned for a signal that the role may not read.
type deniedError struct {
	what string // what the role may not do, such as "see vacuum progress"
	need string // the role or privilege that is missing
}

// Error says what the role may not do and which privilege it needs.
func (e *deniedError) Error() string {
	return "this role may not " + e.what + "; it needs " + e.need
}

// hiddenColumns is the error for a view whose columns are NULL without a privilege.
func hiddenColumns(what string) error {
	return &deniedError{what: "see " + what, need: statistics}
}

// The predefined roles that guards need: statistics to see other roles' sessions,
// monitor to list the WAL directory too, checkpoint (PostgreSQL 15 on) to request one.
const (
	statistics = "pg_read_all_stats"
	monitor    = "pg_monitor"
	checkpoint = "pg_checkpoint"
)

// ownError is a reason that is safe to show.
type ownError string

func (e ownError) Error() string { return string(e) }

// reasonOf returns the reason of an error on one line. It quotes PostgreSQL's message, but
// no detail, which may hold row data, and nothing from pgx, which names hosts.
func reasonOf(err error) string {
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
		return oneLine(pg.Message) + " (" + pg.Code + ")"
	case errors.Is(err, context.DeadlineExceeded), pgconn.Timeout(err):
		return "it took too long to read"
	case errors.As(err, &connect):
		return databaseAway
	}
	return "the connection to the database was lost"
}

// databaseAway is why no guard can be read while the database is down.
const databaseAway = "the database cannot be reached"

// The SQLSTATEs of a cancelled statement and of a missing privilege.
const (
	queryCanceled         = "57014"
	insufficientPrivilege = "42501"
)

// lacksPrivilege reports whether a signal cannot be read for lack of a privilege.
func lacksPrivilege(err error) bool {
	var denied *deniedError
	return errors.As(err, &denied) || isPrivilegeError(err)
}

// isPrivilegeError reports whether the server refused a statement for lack of a privilege.
func isPrivilegeError(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == insufficientPrivilege
}
