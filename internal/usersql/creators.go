package usersql

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/schema"
)

// creator is a schema of a search_path in which roles may create that are not trusted.
type creator struct {
	Schema, Roles  string // roles for people
	Granted, Owner string // of them those that were granted it, and the owner, as SQL has their names
	Trusted        string // the owner of the database, as SQL has it
	Objects        string // what such roles have put there
	Certain        bool   // whoever may create there was allowed to by somebody
}

// Creators judges the schemas of a search_path, for planned tables (OIDs).
func Creators(ctx context.Context, q schema.Querier, tables []uint32, path []string) ([]creator, error) {
	rows, err := q.Query(ctx, pathSQL, tables, path)
	if err != nil {
		return nil, fmt.Errorf("reading who may create in the search_path: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[creator])
	if err != nil {
		return nil, fmt.Errorf("reading who may create in the search_path: %w", err)
	}
	return found, nil
}

// pathSQL judges the schemas of a search_path ($2): the roles beside the trusted ones
// that may create there, for people; those of them that were granted it, the owner if
// it is one of them, and the owner of the database, as SQL has their names; and the functions and operators that such roles have put
// there. On PostgreSQL 14 everybody may create in public unless somebody took that
// away: what counts there is whether anybody has.
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
