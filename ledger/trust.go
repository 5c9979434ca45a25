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

// A relation's owner decides what a statement on it executes: a view calls its owner's
// functions, a trigger those of its creator. So before the ledger is read or written, its
// ownership is checked in the catalog.

// trustSQL reports whether schema $1 exists, and the first untrusted thing about it or
// its relations named in $2: what it is, its name, its relation and the roles. For
// privileges, it reports all relations and roles at once.
//
//   - strict: the current role, those it is a member of, and superusers. Before
//     PostgreSQL 15 any role may grant membership in itself to anyone, so a membership
//     counts only if a role administrator granted it. From 16 on, a membership may
//     convey nothing but ADMIN OPTION.
//   - trusted: also the database's owner and pg_database_owner.
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
	SELECT 3, 'kind', relname, relname, relowner FROM rel WHERE relkind <> CASE WHEN relname IN ('runs', 'deletions', 'events') THEN 'v' ELSE 'r' END
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

// Trusted returns an *UntrustedError if another role owns the ledger, or may create
// objects in it, and could thereby execute code as the current role. It reads only the
// catalog, and returns nil if there is no ledger yet.
//
// Every method that reads or writes the ledger calls this once; Usable, NeedsMigration
// and Migrate call it every time.
func (l *Ledger) Trusted(ctx context.Context, db *pgxpool.Pool) error {
	return l.verify(ctx, pg.Pinned(db))
}

func (l *Ledger) verify(ctx context.Context, db pg.Querier) error {
	l.verified.Store(false)
	var exists bool
	var what, countsJSON, role string
	var on []string
	if err := db.QueryRow(ctx, trustSQL, l.name, relations()).Scan(&exists, &what, &countsJSON, &on, &role); err != nil {
		return fmt.Errorf("reading the ledger's ownership: %w", err)
	}
	if what != "" {
		return l.untrusted(what, countsJSON, on, role)
	}
	l.verified.Store(exists)
	return nil
}

// UntrustedError is a ledger through which another role could execute code as the
// current role.
type UntrustedError struct {
	text, fix string
}

// Text describes the problem without the remedy.
func (e *UntrustedError) Text() string { return e.text }

// Fix returns the remedy.
func (e *UntrustedError) Fix() string { return e.fix }

// Error includes the remedy.
func (e *UntrustedError) Error() string { return e.text + "; " + e.fix }

// untrusted describes a finding of trustSQL. role is quoted.
func (l *Ledger) untrusted(what, countsJSON string, on []string, role string) *UntrustedError {
	tables := make([]string, len(on))
	for i, relation := range on {
		tables[i] = pgx.Identifier{l.name, relation}.Sanitize()
	}
	table, name := strings.Join(tables, ", "), pgx.Identifier{countsJSON}.Sanitize()
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
			table + ", which belongs to role " + role + ", is not what reaper creates: only runs, deletions and events are views, everything else is a plain table",
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

// conn is the ledger through a pool: single, pinned statements, sent once the ledger is
// known to be trusted.
type conn struct {
	*Ledger
	pool *pgxpool.Pool
}

func (l *Ledger) on(db *pgxpool.Pool) conn { return conn{l, db} }

// ensure calls Trusted unless the ledger is already verified.
func (a conn) ensure(ctx context.Context) error {
	if a.verified.Load() {
		return nil
	}
	return a.Trusted(ctx, a.pool)
}

// Exec runs a statement.
func (a conn) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	if err := a.ensure(ctx); err != nil {
		return pgconn.CommandTag{}, err
	}
	return pg.Pinned(a.pool).Exec(ctx, sql, args...)
}

// Query runs a statement that returns rows.
func (a conn) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := a.ensure(ctx); err != nil {
		return nil, err
	}
	return pg.Pinned(a.pool).Query(ctx, sql, args...)
}

// QueryRow runs a statement that returns one row.
func (a conn) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := a.ensure(ctx); err != nil {
		return noRow{err}
	}
	return pg.Pinned(a.pool).QueryRow(ctx, sql, args...)
}

// inTx runs fn in a pinned transaction and commits it.
func (a conn) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	if err := a.ensure(ctx); err != nil {
		return err
	}
	return pg.InTx(ctx, a.pool, pgx.ReadWrite, fn)
}

// noRow is the result of a statement that was not sent.
type noRow struct{ err error }

// Scan implements pgx.Row.
func (r noRow) Scan(...any) error { return r.err }
