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

// latestVersion is the version of the ledger that this program makes: the number of its migrations.
const latestVersion = 17

// migrationLock is the advisory lock that serializes migrations. It is held by the
// transaction, not the session, so that it works through PgBouncer in transaction mode.
const migrationLock = 0x7265617065725f6d // "reaper_m"

// boundLockWait bounds each lock wait while the ledger is inspected and migrated, so that
// a session that keeps one of its tables locked does not stall a run forever.
func boundLockWait() string { return `SELECT pg_catalog.set_config('lock_timeout', '60s', true)` }

// ErrNewer is returned for a ledger created by a newer version of reaper.
var ErrNewer = errors.New("the ledger was made by a newer version of reaper: upgrade this one")

// NeedsMigration reports whether the ledger is missing or older than this program. It
// returns an *UntrustedError as Trusted does.
func (l *Ledger) NeedsMigration(ctx context.Context, db *pgxpool.Pool) (bool, error) {
	all, err := l.migrations()
	if err != nil {
		return false, err
	}
	if err := l.Trusted(ctx, db); err != nil {
		return false, err
	}
	version, err := l.version(ctx, &pg.DB{Sender: db, Before: []string{boundLockWait()}})
	if err != nil {
		return false, err
	}
	if version > len(all) {
		return false, ErrNewer
	}
	return version < len(all), nil
}

// version returns the number of applied migrations; 0 means there is no ledger.
func (l *Ledger) version(ctx context.Context, db pg.Querier) (int, error) {
	var version int
	err := db.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM `+l.schema+`.schema_version`).Scan(&version)
	if isMissing(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("reading the ledger's version: %w", err)
	}
	return version, nil
}

// Migrate creates or upgrades the ledger in one transaction and returns the versions it
// applied. It returns an *UntrustedError as Trusted does.
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
		l.verified.Store(false) // the verified schema may be gone
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == "42501" {
		return nil, &PrivilegeError{Schema: l.name, cause: err}
	}
	if err != nil {
		return nil, fmt.Errorf("migrating the ledger: %w", err)
	}
	// Default privileges may have granted others too much.
	return applied, l.Trusted(ctx, db)
}

// migrate applies the missing migrations in a transaction.
func (l *Ledger) migrate(ctx context.Context, tx pgx.Tx, all []string) (applied []int, err error) {
	if _, err := tx.Exec(ctx, boundLockWait()); err != nil {
		return nil, err
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, int64(migrationLock)); err != nil {
		return nil, err
	}
	// From here on nobody else can create the schema.
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
// upgrade it there, which takes ownership of what exists.
const mayMigrateSQL = `SELECT CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
       ELSE has_schema_privilege(n.oid, 'CREATE') AND coalesce((SELECT bool_and(pg_has_role(c.relowner, 'USAGE')) FROM pg_class c WHERE c.relnamespace = n.oid AND c.relname = ANY ($2::text[])), true) END
  FROM (SELECT 1) AS one LEFT JOIN pg_namespace n ON n.nspname = $1::text`

// Migratable returns a *PrivilegeError if the ledger is missing or old and the current
// role may not migrate it.
func (l *Ledger) Migratable(ctx context.Context, db *pgxpool.Pool) error {
	if needs, err := l.NeedsMigration(ctx, db); err != nil || !needs {
		return err
	}
	var allowed bool
	if err := pg.Pinned(db).QueryRow(ctx, mayMigrateSQL, l.name, relations()).Scan(&allowed); err != nil {
		return fmt.Errorf("checking whether the ledger can be created: %w", err)
	}
	if !allowed {
		return &PrivilegeError{Schema: l.name}
	}
	return nil
}

// PrivilegeError means that the role may not create or upgrade the ledger.
type PrivilegeError struct {
	Schema string
	cause  error
}

// Text describes the problem without the remedy.
func (e *PrivilegeError) Text() string {
	return fmt.Sprintf("this role may not create the ledger (schema %s)", e.Schema)
}

// Fix returns the remedy.
func (e *PrivilegeError) Fix() string {
	return "run `reaper migrate` as a role that may, or give a DBA the output of `reaper migrate --print`, then `reaper grants`"
}

// Error includes the remedy.
func (e *PrivilegeError) Error() string { return e.Text() + ": " + e.Fix() }

// Unwrap returns PostgreSQL's error.
func (e *PrivilegeError) Unwrap() error { return e.cause }

func (l *Ledger) createSchema() string {
	return `DO ` + literal(`BEGIN IF to_regnamespace(`+literal(l.schema)+`) IS NULL THEN CREATE SCHEMA `+l.schema+`; END IF; END`)
}

func (l *Ledger) createVersions() string {
	return `DO ` + literal(`BEGIN IF to_regclass(`+literal(l.schema+".schema_version")+`) IS NULL THEN CREATE TABLE `+l.schema+
		`.schema_version (version int PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now()); END IF; END`)
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

// Print returns the SQL that Migrate would run on an empty database, for a DBA.
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
