package ledger

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
)

// SilentAfter is how old the last sign of life may be where the database is reached by a new
// address.
const SilentAfter = time.Hour

// processRetention is how long a process is remembered after its last sign of life.
const processRetention = 7 * 24 * time.Hour

// Identity tells one database from another. An empty field could not be read.
type Identity struct {
	System   string // the identifier that initdb gave the cluster; its replicas have it too
	Database string // OID
	Timeline string // in which WAL is written: another one after a promotion or a restore
}

// String is what an approval is bound to.
func (i Identity) String() string { return i.System + "/" + i.Database + "/" + i.Timeline }

// Sighting is the database that answers, beside the one that the ledger belongs to.
type Sighting struct {
	Here Identity
	// Known is what the ledger has; nil: nothing yet.
	Known     *Identity
	Addresses []string      // by which it was reached so far
	Silence   time.Duration // since the last sign of life
	// What differs. What could not be read, then or now, does not.
	OtherSystem, OtherDatabase, OtherTimeline bool
	// NewAddress: none of the addresses of now has been used, and no sign of life is recent.
	NewAddress bool
	// Found: the last sign of life that this process was told is committed is there. It is false
	// for a process that has given none.
	Found bool
	// Approved: a person has approved Here, a short while ago.
	Approved bool
}

// Same reports whether nothing differs.
func (s *Sighting) Same() bool {
	return !s.OtherSystem && !s.OtherDatabase && !s.OtherTimeline && !s.NewAddress
}

// What is read of the server, from the most on, since a role may be refused a function: without
// the system identifier, without the timeline, without both. On a standby no WAL is written.
const (
	systemSQL   = `(SELECT system_identifier::text FROM pg_control_system())`
	timelineSQL = `CASE WHEN NOT pg_is_in_recovery() THEN substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8) END`
)

var readings = []struct{ system, timeline string }{
	{systemSQL, timelineSQL}, {"NULL::text", timelineSQL}, {systemSQL, "NULL::text"}, {"NULL::text", "NULL::text"},
}

// What differs between the latch k and the server h; $1 is the addresses.
const (
	otherSystem   = `coalesce(k.system_id <> h.system_id, false)`
	otherDatabase = `coalesce(k.database_id <> h.database_id, false)`
	otherTimeline = `coalesce(k.timeline <> h.timeline, false)`
	newAddress    = `coalesce(NOT k.addresses && $1::text[] AND k.seen_at < clock_timestamp() - interval '1 hour', false)`
	same          = `NOT (` + otherSystem + ` OR ` + otherDatabase + ` OR ` + otherTimeline + ` OR ` + newAddress + `)`
)

// sightingSQL reads a sighting. With a sign of life ($3), it gives one where nothing differs, and so
// remembers the addresses: $2 is the process.
func (l *Ledger) sightingSQL(system, timeline string, alive bool) string {
	here := `WITH here AS MATERIALIZED (SELECT ` + system + ` AS system_id, (SELECT oid::text FROM pg_database WHERE datname = current_database()) AS database_id, ` + timeline + ` AS timeline)`
	given := `false`
	if alive {
		here += `,
	seen AS (UPDATE ` + l.schema + `.latch k SET seen_at = clock_timestamp(), system_id = coalesce(k.system_id, h.system_id), timeline = coalesce(k.timeline, h.timeline),
			addresses = k.addresses || array(SELECT DISTINCT a FROM unnest($1::text[]) a WHERE a <> ALL (k.addresses))
		FROM here h WHERE ` + same + ` AND (k.seen_at < clock_timestamp() - interval '1 minute' OR NOT k.addresses @> $1::text[]
			OR k.system_id IS NULL AND h.system_id IS NOT NULL OR k.timeline IS NULL AND h.timeline IS NOT NULL)),
	gone AS (DELETE FROM ` + l.schema + `.process WHERE process IN (
		SELECT process FROM ` + l.schema + `.process WHERE at < clock_timestamp() - interval '` + processRetention.String() + `' FOR UPDATE SKIP LOCKED)),
	given AS (INSERT INTO ` + l.schema + `.process AS p (process, sign, at) SELECT $2::text, $3::bigint, clock_timestamp() FROM ` + l.schema + `.latch k, here h WHERE ` + same + `
		ON CONFLICT (process) DO UPDATE SET sign = greatest(p.sign, excluded.sign), at = excluded.at RETURNING true)`
		given = `EXISTS (SELECT FROM given) AND ` + waitForSync + ` IS NOT NULL`
	}
	return here + `
	SELECT coalesce(h.system_id, ''), coalesce(h.database_id, ''), coalesce(h.timeline, ''),
		k.one IS NOT NULL, coalesce(k.system_id, ''), coalesce(k.database_id, ''), coalesce(k.timeline, ''), coalesce(k.addresses, '{}'),
		coalesce(extract(epoch FROM clock_timestamp() - k.seen_at), 0)::float8, ` + otherSystem + `, ` + otherDatabase + `, ` + otherTimeline + `, ` + newAddress + `,
		EXISTS (SELECT FROM ` + l.schema + `.process p WHERE p.process = $2 AND $4::bigint > 0 AND p.sign >= $4::bigint),
		EXISTS (SELECT FROM ` + l.schema + `.approval a WHERE a.policy IS NULL AND a.ends_at > now()
			AND a.print = concat_ws('/', coalesce(h.system_id, ''), coalesce(h.database_id, ''), coalesce(h.timeline, ''))),
		$3::bigint IS NOT NULL AND ` + given + `
	FROM here h LEFT JOIN ` + l.schema + `.latch k ON true`
}

// Sight compares the database that answers with the one that the ledger belongs to. It writes
// nothing. All is empty where the ledger does not exist yet, or is older than the latch.
func (l *Ledger) Sight(ctx context.Context, db *pgxpool.Pool) (*Sighting, error) {
	return l.sight(ctx, db, false)
}

// Alive does the same, and is a sign of life of this process where nothing differs. It is committed
// synchronously.
func (l *Ledger) Alive(ctx context.Context, db *pgxpool.Pool) (*Sighting, error) {
	return l.sight(ctx, db, true)
}

func (l *Ledger) sight(ctx context.Context, db *pgxpool.Pool, alive bool) (s *Sighting, err error) {
	var first error
	for i := int(l.reading.Load()); i < len(readings); i++ {
		s, err = l.sightAs(ctx, db, i, alive)
		if !unreadable(err) {
			if err == nil {
				l.reading.Store(int32(i))
			}
			break
		}
		if first == nil {
			first = err
		}
	}
	switch {
	case isMissing(err):
		return &Sighting{}, nil
	case unreadable(err): // it is the ledger that the role may not read
		err = first
	}
	if err != nil {
		return nil, fmt.Errorf("looking which database this is: %w", err)
	}
	return s, nil
}

// unreadable reports whether the server lacks a function, or refuses it to the role.
func unreadable(err error) bool {
	refused, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(refused.Code, "0A") || refused.Code == "42501" || refused.Code == "42883")
}

// Unread are the functions that the role may not call, and that tell one database from another.
func (l *Ledger) Unread(ctx context.Context, db *pgxpool.Pool) (functions []string, err error) {
	for _, x := range []struct{ function, sql string }{{"pg_control_system()", systemSQL}, {"pg_walfile_name(pg_lsn)", timelineSQL}} {
		var value *string
		switch err := pg.Pinned(db).QueryRow(ctx, `SELECT `+x.sql).Scan(&value); {
		case unreadable(err):
			functions = append(functions, x.function)
		case err != nil:
			return nil, fmt.Errorf("looking which database this is: %w", err)
		}
	}
	return functions, nil
}

func (l *Ledger) sightAs(ctx context.Context, db *pgxpool.Pool, reading int, alive bool) (*Sighting, error) {
	s, known := &Sighting{}, Identity{}
	var sign *int64
	if alive {
		next := l.signs.Add(1)
		sign = &next
	}
	var there, given bool
	var silence float64
	read := func(row pgx.Row) error {
		return row.Scan(&s.Here.System, &s.Here.Database, &s.Here.Timeline, &there, &known.System, &known.Database, &known.Timeline, &s.Addresses,
			&silence, &s.OtherSystem, &s.OtherDatabase, &s.OtherTimeline, &s.NewAddress, &s.Found, &s.Approved, &given)
	}
	sql, args := l.sightingSQL(readings[reading].system, readings[reading].timeline, alive), []any{Addresses(db), l.process, sign, l.acknowledged.Load()}
	var err error
	if alive { // transactions may be read-only by default
		err = l.on(db).inTx(ctx, func(tx pgx.Tx) error { return read(tx.QueryRow(ctx, sql, args...)) })
	} else {
		err = read(l.on(db).QueryRow(ctx, sql, args...))
	}
	if err != nil {
		return nil, err
	}
	s.Silence = time.Duration(silence * float64(time.Second))
	if there {
		s.Known = &known
	}
	if given {
		l.acknowledge(*sign)
	}
	return s, nil
}

// acknowledge notes that a sign of life is committed.
func (l *Ledger) acknowledge(sign int64) {
	for {
		before := l.acknowledged.Load()
		if before >= sign || l.acknowledged.CompareAndSwap(before, sign) {
			return
		}
	}
}

// Settle makes the database that answers the one that the ledger belongs to, unless another process
// has changed that since it was sighted.
func (l *Ledger) Settle(ctx context.Context, db *pgxpool.Pool, s *Sighting) error {
	known := s.Known
	if known == nil {
		known = &Identity{}
	}
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.latch AS k (system_id, database_id, timeline, addresses, seen_at)
			VALUES (nullif($1, ''), $2, nullif($3, ''), $4::text[], clock_timestamp())
			ON CONFLICT (one) DO UPDATE SET system_id = coalesce(excluded.system_id, k.system_id), database_id = excluded.database_id, timeline = coalesce(excluded.timeline, k.timeline),
				addresses = k.addresses || array(SELECT DISTINCT a FROM unnest(excluded.addresses) a WHERE a <> ALL (k.addresses)), seen_at = excluded.seen_at
			WHERE (coalesce(k.system_id, ''), k.database_id, coalesce(k.timeline, '')) = ($5, $6, $7)`,
			s.Here.System, s.Here.Database, s.Here.Timeline, Addresses(db), known.System, known.Database, known.Timeline)
		return err
	})
	if err != nil {
		return fmt.Errorf("recording which database this is: %w", err)
	}
	return nil
}

// MovedSQL returns an SQL condition for whether WAL is written in another timeline than the
// ledger knows: the server was promoted, or restored, under a run.
func (l *Ledger) MovedSQL() string {
	if readings[l.reading.Load()].timeline != timelineSQL {
		return "false"
	}
	return `EXISTS (SELECT FROM ` + l.schema + `.latch WHERE timeline OPERATOR(pg_catalog.<>) pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))`
}

// ApproveDatabase records that a person lets every policy go on in this database, for a length of
// time (text of an interval). If by is empty, the database user and the application name are
// recorded.
func (l *Ledger) ApproveDatabase(ctx context.Context, db *pgxpool.Pool, here Identity, gate, length, reason, by string) error {
	return l.approve(ctx, db, nil, here.String(), 0, []string{gate}, length, reason, by)
}

// Addresses are the hosts and ports of a pool's connection string, as HOST:PORT. A name of a host
// and its IP address are two of them, and so are a pooler and the server behind it.
func Addresses(db *pgxpool.Pool) []string {
	c := db.Config().ConnConfig
	all := []string{address(c.Host, c.Port)}
	for _, f := range c.Fallbacks {
		all = append(all, address(f.Host, f.Port))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// address is a host, or the directory of a Unix socket, with its port.
func address(host string, port uint16) string {
	if !strings.HasPrefix(host, "/") && !strings.HasPrefix(host, "@") {
		host = strings.TrimSuffix(strings.ToLower(host), ".")
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
