package guard

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// server is what tells one database server from another. An empty field is unknown.
type server struct {
	// System is the identifier that initdb has made. A replica shares it.
	System string
	// Timeline changes when a replica is promoted. It is read from the name of a WAL
	// file: pg_control_checkpoint() gives the old one until the next checkpoint. A
	// standby writes no WAL, and so has none.
	Timeline string
	// Address is where the server accepted the connection.
	Address string
}

const (
	serverSQL = `SELECT (SELECT system_identifier::text FROM pg_control_system()),
	CASE WHEN pg_is_in_recovery() THEN '' ELSE substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END, ` + addressSQL
	addressSQL = `concat_ws(':', host(inet_server_addr()), coalesce(inet_server_port()::text, current_setting('port')))`
)

// identify reads which server answers. Some managed servers refuse functions that it
// needs; the address alone is then read for a while.
func (w *Watch) identify(ctx context.Context, db session) (s server, err error) {
	if w.unidentified.IsZero() || time.Since(w.unidentified) > listAgain {
		if err = one(ctx, db, serverSQL, nil, &s.System, &s.Timeline, &s.Address); !unsupported(err) {
			return s, err
		}
		w.unidentified = time.Now()
	}
	err = one(ctx, db, "SELECT "+addressSQL, nil, &s.Address)
	return s, err
}

// unsupported reports whether the server has no such function, or does not allow it.
func unsupported(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(refused.Code, "0A") || strings.HasPrefix(refused.Code, "42"))
}

// replacedBy reports whether another server answers now, as far as is known of both.
func (s server) replacedBy(now server) bool {
	for _, x := range [][2]string{{s.System, now.System}, {s.Timeline, now.Timeline}, {s.Address, now.Address}} {
		if x[0] != "" && x[1] != "" && x[0] != x[1] {
			return true
		}
	}
	return false
}

// with adds what is known now.
func (s server) with(now server) server {
	for _, x := range []struct{ known, read *string }{{&s.System, &now.System}, {&s.Timeline, &now.Timeline}, {&s.Address, &now.Address}} {
		if *x.read != "" {
			*x.known = *x.read
		}
	}
	return s
}

// rememberer is a signal that compares a reading with those before it. What it
// remembers is true of one server only: after a failover the replica that is missing
// is the new primary itself.
type rememberer interface{ forget() }

// recognize has the signal forget what it remembers when another server answers.
func (g *watched) recognize(ctx context.Context, w *Watch, db session) error {
	signal, ok := g.signal.(rememberer)
	if !ok {
		return nil
	}
	now, err := w.identify(ctx, db)
	if err != nil {
		return err
	}
	if g.server.replacedBy(now) {
		w.log.LogAttrs(ctx, slog.LevelInfo, "another database server answers; the guard starts afresh", slog.String("guard", g.name),
			slog.String("server", now.Address), slog.String("timeline", now.Timeline))
		signal.forget()
		g.server = now
	}
	g.server = g.server.with(now)
	return nil
}
