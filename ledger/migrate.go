package ledger

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
)

//go:embed migrations/*.sql
var files embed.FS

// migrationLock is the advisory lock that makes processes migrate one after
// the other. It lasts a transaction, not a session: it must hold, and be freed,
// through PgBouncer in transaction mode.
const migrationLock = 0x7265617065725f6d // "reaper_m"

// migrationWait bounds each wait for a lock while the ledger is looked at and migrated:
// a session that keeps one of its tables locked must not keep a run for ever.
func migrationWait() string { return `SELECT pg_catalog.set_config('lock_timeout', '60s', true)` }

// ErrNewer is a ledger that a newer reaper has made.
var ErrNewer = errors.New("the ledger was made by a newer version of reaper: upgrade this one")

// NeedsMigration reports whether the ledger is missing or older than this program.
// It gives an *UntrustedError as Trusted does.
func (l *Ledger) NeedsMigration(ctx context.Context, db *pgxpool.Pool) (bool, error) {
	all, err := l.migrations()
	if err != nil {
		return false, err
	}
	if err := l.Trusted(ctx, db); err != nil {
		return false, err
	}
	version, err := l.version(ctx, &pg.DB{Sender: db, Before: []string{migrationWait()}})
	if err != nil {
		return false, err
	}
	if version > len(all) {
		return false, ErrNewer
	}
	return version < len(all), nil
}

// version is how many migrations the database has; 0: no ledger.
func (l *Ledger) version(ctx context.Context, db pg.Querier) (int, error) {
	var version int
	err := db.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM `+l.schema+`.schema_version`).Scan(&version)
	if missing(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the ledger's version: %w", err)
	}
	return version, nil
}

// Migrate creates or upgrades the ledger in one transaction, and gives the
// versions it applied. It gives an *UntrustedError as Trusted does.
func (l *Ledger) Migrate(ctx context.Context, db *pgxpool.Pool) (applied []int, err error) {
	all, err := l.migrations()
	if err != nil {
		return nil, err
	}
	if needs, err := l.NeedsMigration(ctx, db); err != nil || !needs {
		return nil, err
	}
	err = pg.InTx(ctx, db, pgx.ReadWrite, func(tx pgx.Tx) error {
		applied, err = l.migrate(ctx, tx, all)
		return err
	})
	if err != nil {
		l.verified.Store(false) // the schema that was looked at may be gone
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "42501" {
		return nil, &PrivilegeError{Schema: l.name, cause: err}
	}
	if err != nil {
		return nil, fmt.Errorf("migrating the ledger: %w", err)
	}
	// Default privileges may have given others more than they may have.
	return applied, l.Trusted(ctx, db)
}

// migrate applies the migrations that are missing, in a transaction.
func (l *Ledger) migrate(ctx context.Context, tx pgx.Tx, all []string) (applied []int, err error) {
	if _, err := tx.Exec(ctx, migrationWait()); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, int64(migrationLock)); err != nil {
		return nil, err
	}
	// From here on nobody else can create the schema, if nobody has.
	if _, err := tx.Exec(ctx, l.createSchema()); err != nil {
		return nil, err
	}
	if err := l.verify(ctx, tx); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, l.createVersions()); err != nil {
		return nil, err
	}
	version, err := l.version(ctx, tx)
	if err != nil {
		return nil, err
	}
	if version > len(all) {
		return nil, ErrNewer
	}
	for i := version; i < len(all); i++ {
		if _, err := tx.Conn().PgConn().Exec(ctx, all[i]).ReadAll(); err != nil {
			return nil, fmt.Errorf("migration %d: %w", i+1, err)
		}
		if _, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.schema_version (version) VALUES ($1::int)`, i+1); err != nil {
			return nil, err
		}
		applied = append(applied, i+1)
	}
	return applied, nil
}

// mayMigrateSQL reports whether the current role may create the ledger in schema $1, or
// upgrade it there, which takes the owner of what there is.
const mayMigrateSQL = `SELECT CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
       ELSE has_schema_privilege(n.oid, 'CREATE') AND coalesce((SELECT bool_and(pg_has_role(c.relowner, 'USAGE')) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = ANY ($2::text[])), true) END
  FROM (SELECT 1) AS one LEFT JOIN pg_namespace n ON n.nspname = $1::text`

// Migratable gives a *PrivilegeError where the ledger is missing or old, and the
// current role may not do what Migrate would.
func (l *Ledger) Migratable(ctx context.Context, db *pgxpool.Pool) error {
	if needs, err := l.NeedsMigration(ctx, db); err != nil || !needs {
		return err
	}
	var may bool
	if err := pg.Pinned(db).QueryRow(ctx, mayMigrateSQL, l.name, relations()).Scan(&may); err != nil {
		return fmt.Errorf("reading whether the ledger can be made: %w", err)
	}
	if !may {
		return &PrivilegeError{Schema: l.name}
	}
	return nil
}

// PrivilegeError is a role that may not create or upgrade the ledger.
type PrivilegeError struct {
	Schema string
	cause  error
}

// Text is what is wrong, without the remedy.
func (e *PrivilegeError) Text() string {
	return fmt.Sprintf("this role may not create the ledger (schema %s)", e.Schema)
}

// Fix is the remedy.
func (e *PrivilegeError) Fix() string {
	return "run `reaper migrate` as a role that may, or give a DBA the output of `reaper migrate --print`, then `reaper grants`"
}

// Error names the remedy.
func (e *PrivilegeError) Error() string { return e.Text() + ": " + e.Fix() }

// Unwrap is PostgreSQL's error.
func (e *PrivilegeError) Unwrap() error { return e.cause }

func (l *Ledger) createSchema() string {
	return `DO ` + literal(`BEGIN IF to_regnamespace(`+literal(l.schema)+`) IS NULL THEN CREATE SCHEMA `+l.schema+`; END IF; END`)
}

func (l *Ledger) createVersions() string {
	return `DO ` + literal(`BEGIN IF to_regclass(`+literal(l.schema+".schema_version")+`) IS NULL THEN CREATE TABLE `+l.schema+
		`.schema_version (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()); END IF; END`)
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Print is the SQL that Migrate would run on an empty database, for a DBA.
func (l *Ledger) Print() (string, error) {
	all, err := l.migrations()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("BEGIN;\nSET LOCAL search_path = " + pg.Path + ";\nCREATE SCHEMA IF NOT EXISTS " + l.schema + ";\nCREATE TABLE IF NOT EXISTS " + l.schema +
		".schema_version (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now());\n\n")
	for i, sql := range all {
		fmt.Fprintf(&b, "-- version %d\n%s\nINSERT INTO %s.schema_version (version) VALUES (%d);\n\n", i+1, strings.TrimSpace(sql), l.schema, i+1)
	}
	b.WriteString("COMMIT;\n")
	return b.String(), nil
}

func (l *Ledger) migrations() ([]string, error) {
	names, err := fs.Glob(files, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	all := make([]string, len(names))
	for i, n := range names {
		sql, err := files.ReadFile(n)
		if err != nil {
			return nil, err
		}
		all[i] = strings.ReplaceAll(string(sql), "{{schema}}", l.schema)
	}
	return all, nil
}
