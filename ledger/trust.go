package ledger

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
)

// Whoever owns a relation decides what a statement on it executes: a view calls its
// owner's functions, a trigger those of whoever created it. So before the ledger is
// read or written, the catalog is asked whose it is.

// trustSQL reports whether schema $1 exists, and the first thing about it, or about
// its relations named in $2, that is not to be trusted: what it is, its name, the
// relation that it is on, and the roles; of privileges, all relations and roles at once.
//
//   - strict are the current role, those that it is a member of, and superusers.
//     Before PostgreSQL 15 any role may grant membership in itself to anyone, so a
//     membership counts only if somebody who administers roles has granted it. From
//     16 on, a membership may allow nothing but to administer the role.
//   - trusted are, besides, the database's owner and pg_database_owner.
const trustSQL = `WITH RECURSIVE db AS (SELECT datdba FROM pg_database WHERE datname = current_database()),
mine (oid) AS (
	SELECT oid FROM pg_roles WHERE rolname = current_user
	UNION
	SELECT m.roleid FROM mine JOIN pg_auth_members m ON m.member = mine.oid
	 WHERE (m.grantor IN (SELECT oid FROM pg_roles WHERE rolsuper OR rolcreaterole) OR m.grantor IN (SELECT datdba FROM db))
	   AND coalesce((to_jsonb(m)->>'inherit_option')::boolean OR (to_jsonb(m)->>'set_option')::boolean, true)
), strict (oid) AS (SELECT oid FROM mine UNION SELECT oid FROM pg_roles WHERE rolsuper),
trusted (oid) AS (SELECT oid FROM strict UNION SELECT datdba FROM db UNION SELECT oid FROM pg_roles WHERE rolname = 'pg_database_owner'),
space AS (SELECT oid, nspname, nspowner, nspacl FROM pg_namespace WHERE nspname = $1::text),
rel AS (
	SELECT c.oid, c.relname, c.relkind, c.relowner, c.relacl FROM pg_class c JOIN space ON c.relnamespace = space.oid WHERE c.relname = ANY ($2::text[])
), found (rank, what, object, relation, role) AS (
	SELECT 1, 'owner of the schema', nspname, nspname, nspowner FROM space WHERE nspowner NOT IN (SELECT oid FROM trusted)
	UNION ALL
	SELECT 2, 'owner', relname, relname, relowner FROM rel WHERE relowner NOT IN (SELECT oid FROM trusted)
	UNION ALL
	SELECT 3, 'kind', relname, relname, relowner FROM rel WHERE relkind <> CASE WHEN relname IN ('runs', 'deletions') THEN 'v' ELSE 'r' END
	UNION ALL
	SELECT 4, 'trigger', t.tgname, rel.relname, f.proowner FROM rel JOIN pg_trigger t ON t.tgrelid = rel.oid AND NOT t.tgisinternal JOIN pg_proc f ON f.oid = t.tgfoid
	 WHERE rel.relowner NOT IN (SELECT oid FROM strict) OR f.proowner NOT IN (SELECT oid FROM strict)
	UNION ALL
	SELECT 5, 'rule', r.rulename, rel.relname, rel.relowner FROM rel JOIN pg_rewrite r ON r.ev_class = rel.oid AND r.rulename <> '_RETURN'
	 WHERE rel.relowner NOT IN (SELECT oid FROM strict)
	UNION ALL
	SELECT 6, 'CREATE', nspname, nspname, a.grantee FROM space, aclexplode(nspacl) a
	 WHERE a.privilege_type = 'CREATE' AND a.grantee NOT IN (SELECT oid FROM trusted)
	UNION ALL
	SELECT 7, 'TRIGGER', relname, relname, a.grantee FROM rel, aclexplode(relacl) a
	 WHERE a.privilege_type = 'TRIGGER' AND a.grantee NOT IN (SELECT oid FROM trusted)
)
SELECT EXISTS (SELECT FROM space), coalesce(f.what, ''), coalesce(f.object::text, ''),
       array(SELECT DISTINCT g.relation::text FROM found g WHERE g.what = f.what AND (g.what = 'TRIGGER' OR g.relation = f.relation) ORDER BY 1),
       coalesce((SELECT string_agg(DISTINCT CASE g.role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(g.role)) END, ', ')
                   FROM found g WHERE g.what = f.what AND (g.what = 'TRIGGER' OR g.relation = f.relation AND g.object = f.object)), '')
  FROM (SELECT 1) AS one LEFT JOIN (SELECT * FROM found ORDER BY rank, relation, object, role LIMIT 1) AS f ON true`

// Trusted reports, by an *UntrustedError, that somebody owns the ledger, or may put
// objects into it, who could thereby execute code as the current role. It reads
// nothing but the catalog. Nil also where there is no ledger yet.
//
// Every method that reads or writes the ledger asks this first, once. Usable,
// NeedsMigration and Migrate ask it each time.
func (l *Ledger) Trusted(ctx context.Context, db *pgxpool.Pool) error {
	return l.verify(ctx, pg.Pinned(db))
}

func (l *Ledger) verify(ctx context.Context, db pg.Querier) error {
	l.verified.Store(false)
	var exists bool
	var what, object, role string
	var on []string
	if err := db.QueryRow(ctx, trustSQL, l.name, relations()).Scan(&exists, &what, &object, &on, &role); err != nil {
		return fmt.Errorf("looking up who owns the ledger: %w", err)
	}
	if what != "" {
		return l.untrusted(what, object, on, role)
	}
	l.verified.Store(exists)
	return nil
}

// UntrustedError is a ledger through which somebody else could execute code as the
// current role.
type UntrustedError struct {
	text, fix string
}

// Text is what is wrong, without the remedy.
func (e *UntrustedError) Text() string { return e.text }

// Fix is the remedy.
func (e *UntrustedError) Fix() string { return e.fix }

// Error names the remedy.
func (e *UntrustedError) Error() string { return e.text + "; " + e.fix }

// untrusted puts a finding of trustSQL into words. role is quoted.
func (l *Ledger) untrusted(what, object string, on []string, role string) *UntrustedError {
	tables := make([]string, len(on))
	for i, relation := range on {
		tables[i] = pgx.Identifier{l.name, relation}.Sanitize()
	}
	table, name := strings.Join(tables, ", "), pgx.Identifier{object}.Sanitize()
	elsewhere := ", or set REAPER_LEDGER_SCHEMA to another schema"
	drop := "look at what is in the schema, then run `DROP SCHEMA " + l.schema + " CASCADE`"
	trusts := "it must belong to the current role or one that was granted to it, to the database's owner, or to a superuser"
	switch what {
	case "owner of the schema":
		return &UntrustedError{
			"the ledger's schema " + l.schema + " belongs to role " + role + ", which is not trusted: " + trusts,
			drop + " or `ALTER SCHEMA " + l.schema + " OWNER TO` a trusted role" + elsewhere,
		}
	case "owner":
		return &UntrustedError{
			table + " in the ledger's schema belongs to role " + role + ", which is not trusted: " + trusts,
			drop + " or `ALTER TABLE " + table + " OWNER TO` a trusted role" + elsewhere,
		}
	case "kind":
		return &UntrustedError{
			table + ", which belongs to role " + role + ", is not what reaper creates: only runs and deletions are views, everything else is a plain table",
			drop + elsewhere,
		}
	case "trigger":
		return &UntrustedError{
			"trigger " + name + " on the ledger's " + table + " executes code of role " + role + ", or the table's owner is another role",
			"DROP TRIGGER " + name + " ON " + table + "; -- look at it first" + elsewhere,
		}
	case "rule":
		return &UntrustedError{
			"rule " + name + " on the ledger's " + table + ", which belongs to role " + role + ", changes what a statement executes",
			"DROP RULE " + name + " ON " + table + "; -- look at it first" + elsewhere,
		}
	case "CREATE":
		return &UntrustedError{
			"role " + role + " may create objects in the ledger's schema " + l.schema,
			"REVOKE CREATE ON SCHEMA " + l.schema + " FROM " + role + "; -- look at what is there first" + elsewhere,
		}
	default:
		return &UntrustedError{
			"role " + role + " may create triggers on the ledger's " + table,
			"REVOKE TRIGGER ON " + table + " FROM " + role + "; -- look at what is there first" + elsewhere,
		}
	}
}

// access is the ledger through a pool: single statements, pinned, once the ledger is
// known to be trusted.
type access struct {
	*Ledger
	pool *pgxpool.Pool
}

func (l *Ledger) on(db *pgxpool.Pool) access { return access{l, db} }

// ensure asks Trusted unless the answer is known.
func (a access) ensure(ctx context.Context) error {
	if a.verified.Load() {
		return nil
	}
	return a.Trusted(ctx, a.pool)
}

// Exec runs a statement.
func (a access) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := a.ensure(ctx); err != nil {
		return pgconn.CommandTag{}, err
	}
	return pg.Pinned(a.pool).Exec(ctx, sql, args...)
}

// Query runs a statement that gives rows.
func (a access) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := a.ensure(ctx); err != nil {
		return nil, err
	}
	return pg.Pinned(a.pool).Query(ctx, sql, args...)
}

// QueryRow runs a statement that gives one row.
func (a access) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := a.ensure(ctx); err != nil {
		return noRow{err}
	}
	return pg.Pinned(a.pool).QueryRow(ctx, sql, args...)
}

// inTx runs fn in a pinned transaction, and commits it.
func (a access) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	if err := a.ensure(ctx); err != nil {
		return err
	}
	return pg.InTx(ctx, a.pool, pgx.ReadWrite, fn)
}

// noRow is the row of a statement that was not sent.
type noRow struct{ err error }

// Scan is pgx.Row's.
func (r noRow) Scan(...any) error { return r.err }
