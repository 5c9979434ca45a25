package guard

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// server identifies a database server. An empty field is unknown.
type server struct {
	// System is the identifier assigned by initdb. A replica shares it.
	System string
	// Timeline changes when a replica is promoted. It is read from the name of a WAL
	// file, because pg_control_checkpoint() returns the old one until the next checkpoint.
	// A standby writes no WAL and so has none.
	Timeline string
	// Address is where the server accepted the connection.
	Address string
}

const (
	serverSQL = `SELECT (SELECT system_identifier::text FROM pg_control_system()),
	CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END, ` + addressSQL
	addressSQL = `concat_ws(':', host(inet_server_addr()), coalesce(inet_server_port()::text, current_setting('port')))`
)

// identify reads which server answers. Some managed servers refuse the functions it
// needs; then only the address is read for a while.
func (w *Watch) identify(ctx context.Context, db session) (s server, err error) {
	if w.unidentified.IsZero() || time.Since(w.unidentified) > recheckAfter {
		if err = queryOne(ctx, db, serverSQL, nil, &s.System, &s.Timeline, &s.Address); !unsupported(err) {
			return s, err
		}
		w.unidentified = time.Now()
	}
	err = queryOne(ctx, db, "SELECT "+addressSQL, nil, &s.Address)
	return s, err
}

// unsupported reports whether the server lacks the function or does not allow it.
func unsupported(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(refused.Code, "0A") || strings.HasPrefix(refused.Code, "42"))
}

// replacedBy reports whether now is another server, as far as both are known.
func (s server) replacedBy(now server) bool {
	for _, x := range [][2]string{{s.System, now.System}, {s.Timeline, now.Timeline}, {s.Address, now.Address}} {
		if x[0] != "" && x[1] != "" && x[0] != x[1] {
			return true
		}
	}
	return false
}

// with merges in what is known now.
func (s server) with(now server) server {
	for _, x := range []struct{ known, read *string }{{&s.System, &now.System}, {&s.Timeline, &now.Timeline}, {&s.Address, &now.Address}} {
		if *x.read != "" {
			*x.known = *x.read
		}
	}
	return s
}

// stateful is a signal that compares readings over time. Its memory applies to one
// server only: after a failover the missing replica is the new primary itself.
type stateful interface{ forget() }

// detectServerChange makes the signal forget its past when another server answers.
func (g *watched) detectServerChange(ctx context.Context, w *Watch, db session) error {
	signal, ok := g.signal.(stateful)
	if !ok {
		return nil
	}
	now, err := w.identify(ctx, db)
	if err != nil {
		return err
	}
	if g.server.replacedBy(now) {
		w.log.LogAttrs(ctx, slog.LevelInfo, "database server changed; guard state reset", slog.String("guard", g.name),
			slog.String("server", now.Address), slog.String("timeline", now.Timeline))
		signal.forget()
		g.server = now
	}
	g.server = g.server.with(now)
	return nil
}
