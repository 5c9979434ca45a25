package purge

import (
	"fmt"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// ownPath says which statements run under the role's own search_path, because code of
// others can run in them that may rely on it: triggers, rules, and functions that SQL
// of the file calls. Everywhere else the path is pinned to pg_catalog.
type ownPath struct{ reading, writing bool }

// readingPath is the search_path of statements that only read.
func (p *Plan) readingPath() string { return p.pathOf(p.ownPath.reading) }

// writingPath is that of batches.
func (p *Plan) writingPath() string { return p.pathOf(p.ownPath.writing) }

// pathOf is the role's own path as it was planned with, and not as another client of a
// pooler may have left it behind in a session.
func (p *Plan) pathOf(own bool) string {
	if own {
		return p.server.path
	}
	return pg.Path
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

// searchPath refuses the role's own search_path where it has to stay and others may
// create in it: what they create there would run as this role.
func (c *compiler) searchPath() error {
	p := c.plan
	if !p.ownPath.reading && !p.ownPath.writing {
		return nil
	}
	rows, err := c.conn.Query(c.ctx, pathSQL, c.planned(), c.server.SearchPath)
	if err != nil {
		return fmt.Errorf("reading who may create in the search_path: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, roles, granted, owner, trusted, objects string
		var certain bool
		if err := rows.Scan(&name, &roles, &granted, &owner, &trusted, &objects, &certain); err != nil {
			return fmt.Errorf("reading who may create in the search_path: %w", err)
		}
		text := fmt.Sprintf("%s may create in schema %s of the search_path, and %s: what they create there can run as role %s", roles, name, p.codeOfOthers(), c.server.Role)
		level := LevelWarning
		if certain || objects != "" {
			level = LevelError
		}
		if objects != "" {
			text += "; there are " + objects
		}
		p.problem(level, text, creatorsFix(ident(name), granted, owner, trusted))
	}
	return rows.Err()
}

// creatorsFix takes a schema from roles that may create in it: from its owner, if that is
// not empty, and from those that were granted it. An owner could grant it to itself again.
func creatorsFix(name, granted, owner, trusted string) string {
	const look = " -- and look at what is there"
	switch {
	case owner == "":
		return "REVOKE CREATE ON SCHEMA " + name + " FROM " + granted + ";" + look
	case granted == "":
		return "ALTER SCHEMA " + name + " OWNER TO " + trusted + ";" + look
	}
	return "ALTER SCHEMA " + name + " OWNER TO " + trusted + "; REVOKE CREATE ON SCHEMA " + name + " FROM " + granted + ";" + look
}

// codeOfOthers says what runs under the role's own search_path.
func (p *Plan) codeOfOthers() string {
	if names := p.firing(); len(names) > 0 {
		return names[0] + " runs under it"
	}
	return "functions that the policy file or the tables call run under it"
}

// planned are the OIDs of the tables that the plan is about, as far as they are known.
func (c *compiler) planned() []uint32 {
	p := c.plan
	oids := []uint32{}
	add := func(t *schema.Table) {
		if t != nil {
			oids = append(oids, t.OID)
		}
	}
	for _, n := range p.Nodes {
		add(n.Table)
	}
	for _, h := range p.hops {
		add(h.table)
	}
	if p.tenants != nil {
		add(p.tenants.table)
	}
	return oids
}
