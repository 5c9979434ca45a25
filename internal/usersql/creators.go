package usersql

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// creator is a schema of a search_path in which untrusted roles may create objects.
type creator struct {
	Schema, Roles  string // roles for display
	Granted, Owner string // the roles with a grant, and the untrusted owner, as SQL identifiers
	Trusted        string // the owner of the database, as an SQL identifier
	Objects        string // objects there that untrusted roles own
	Certain        bool   // more than PUBLIC's default privilege on schema public before PostgreSQL 15
}

// Fix removes CREATE on the schema from untrusted roles: from its owner by changing the owner, who
// could grant it to itself again; from the others by REVOKE.
func (c creator) Fix() string {
	const look = " -- and look at what is there"
	name := pg.Ident(c.Schema)
	own, revoke := "ALTER SCHEMA "+name+" OWNER TO "+c.Trusted+";", "REVOKE CREATE ON SCHEMA "+name+" FROM "+c.Granted+";"
	switch {
	case c.Owner == "":
		return revoke + look
	case c.Granted == "":
		return own + look
	}
	return own + " " + revoke + look
}

// Creators checks the schemas of a search_path for a plan's tables (OIDs).
func Creators(ctx context.Context, q schema.Querier, tables []uint32, path []string) ([]creator, error) {
	rows, err := q.Query(ctx, pathSQL, tables, path)
	if err != nil {
		return nil, fmt.Errorf("reading the privileges on the search_path: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[creator])
	if err != nil {
		return nil, fmt.Errorf("reading the privileges on the search_path: %w", err)
	}
	return found, nil
}

// pathSQL returns, for the schemas of a search_path ($2): the untrusted roles that may create
// objects, for display; those with a grant, the owner if untrusted, and the owner of the database,
// as SQL identifiers; and the functions and operators that these roles own there. On PostgreSQL 14,
// PUBLIC may create in schema public by default; that alone does not count as certain, but objects
// there do.
const pathSQL = `
WITH trusted AS MATERIALIZED (` + trustedRoles + ` UNION SELECT r.oid FROM pg_roles r WHERE r.rolname IN (current_user, 'pg_database_owner')),
path AS MATERIALIZED (SELECT n.oid, n.nspname, coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl, n.nspowner FROM pg_namespace n
  WHERE n.nspname = ANY ($2::text[]) AND n.nspname <> 'pg_catalog' AND n.nspname NOT LIKE 'pg\_temp\_%')
SELECT p.nspname, string_agg(DISTINCT CASE WHEN x.role = 0 THEN 'PUBLIC' ELSE pg_get_userbyid(x.role)::text END, ', '),
       coalesce(string_agg(DISTINCT CASE WHEN x.role = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.role)) END, ', ') FILTER (WHERE x.role <> p.nspowner), ''),
       coalesce(max(quote_ident(pg_get_userbyid(x.role))) FILTER (WHERE x.role = p.nspowner), ''),
       (SELECT quote_ident(pg_get_userbyid(d.datdba)) FROM pg_database d WHERE d.datname = current_database()),
       coalesce((SELECT string_agg(f.what, ', ') FROM (
         SELECT format('function %s', o.oid::regprocedure) AS what FROM pg_proc o WHERE o.pronamespace = p.oid AND o.proowner NOT IN (SELECT * FROM trusted)
         UNION ALL SELECT format('operator %s', o.oid::regoperator) FROM pg_operator o WHERE o.oprnamespace = p.oid AND o.oprowner NOT IN (SELECT * FROM trusted)
         ORDER BY 1 LIMIT 3) f), ''),
       bool_or(x.role <> 0 OR p.nspname <> 'public' OR current_setting('server_version_num')::int >= 150000)
  FROM path p CROSS JOIN LATERAL (
       SELECT a.grantee AS role FROM aclexplode(p.acl) a WHERE a.privilege_type = 'CREATE' AND a.grantee NOT IN (SELECT * FROM trusted)
       UNION ALL SELECT p.nspowner WHERE p.nspowner NOT IN (SELECT * FROM trusted)) x
 GROUP BY p.oid, p.nspname ORDER BY 1`
