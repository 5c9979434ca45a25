package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
)

// fragment is SQL of the policy file as PostgreSQL has understood it under the role's
// own search_path: every name outside of pg_catalog is qualified, so that it means the
// same under any other.
type fragment struct {
	sql     string
	columns []viewColumn // of a query; an expression has one
	// functions are those outside of pg_catalog that it calls, themselves or by an
	// operator, but for those in C, which look nothing up by name.
	functions []calledFunction
	needs     needs
	// zoned: its answer depends on the session's TimeZone.
	zoned bool
	// asWritten: it keeps its own text and the role's search_path: no view could
	// be made of it, or names in it still mean what the path makes of them.
	asWritten bool
	unread    bool // no view could be made of it
}

type viewColumn struct {
	name string
	typ  uint32 // OID
}

// calledFunction is a function that is looked at before it is trusted.
type calledFunction struct {
	Name, Owner string
	Looks       bool // it is not in C: its body may look up names by the search_path
	Trusted     bool // its owner is a superuser, or owns the database or what is planned
}

// fragmentView is the temporary view that a fragment becomes for a moment. Its only
// column is named like it.
const fragmentView = "reaper_fragment"

// besides is a second relation of that view, without columns: PostgreSQL 18 leaves out
// the table's name before columns where there is one relation alone, and in a larger
// statement the column could be taken for another's.
const besides = " CROSS JOIN (SELECT) AS reaper_besides"

// expression has PostgreSQL read a user's SQL over one relation; nil after recording a
// problem. It is described as a condition besides: there PostgreSQL itself refuses
// what is no matter of one row, aggregates, window functions and sets, which a SELECT
// list would take.
func (c *compiler) expression(what string, text policy.Text, relation string) (*fragment, error) {
	if c.barred {
		return nil, nil
	}
	sql := "(" + text.Value + "\n)"
	f, err := c.understand("SELECT "+sql+" FROM "+relation+" WHERE "+sql+" IS NULL", "SELECT "+sql+" AS "+fragmentView+" FROM "+relation+besides)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && !lockedOut(err) {
		c.fail(text.Pos, queryFix(pgErr, c.server.Role, expressionFix(pgErr)), "%s: %s", what, pgErr.Message)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checking %s: %w", what, err)
	}
	if f.asWritten {
		f.sql = text.Value
	} else {
		body := strings.TrimPrefix(strings.TrimSpace(f.sql), "SELECT ")
		f.sql = body[:strings.LastIndex(body, " AS "+fragmentView)]
	}
	c.uses(what, text.Pos, f)
	return f, nil
}

func expressionFix(pgErr *pgconn.PgError) string {
	switch {
	case pgErr.Code == "42803", pgErr.Code == "42P20", strings.HasPrefix(pgErr.Message, "set-returning"):
		return "write an expression over one row: no aggregate, no window function, no function that returns a set"
	case pgErr.Hint != "":
		return pgErr.Hint
	}
	return "it may use the columns of that table alone"
}

const boolOID = 16

// boolean has PostgreSQL read a user's condition; "" after recording a problem.
func (c *compiler) boolean(what string, text policy.Text, relation string) (string, error) {
	f, err := c.expression(what, text, relation)
	if err != nil || f == nil {
		return "", err
	}
	if f.columns[0].typ != boolOID {
		c.fail(text.Pos, "write a condition that is true or false", "%s is not boolean", what)
	}
	return f.sql, nil
}

// uses notes what a fragment needs: privileges, a search_path, functions of others, and
// the time zone.
func (c *compiler) uses(what string, pos policy.Pos, f *fragment) {
	if f.unread {
		f.needs.Unknown = []string{what}
	}
	c.plan.needs.add(f.needs)
	for _, x := range f.functions {
		if !x.Trusted {
			c.untrusted = true
			c.fail(pos, fmt.Sprintf("look at it; then let a superuser or the owner of the database or of the table own it: ALTER FUNCTION %s … OWNER TO …", x.Name),
				"%s calls %s, which belongs to role %s: whoever owns it decides what is deleted", what, x.Name, x.Owner)
		}
	}
	if f.asWritten || slices.ContainsFunc(f.functions, func(x calledFunction) bool { return x.Looks }) {
		c.plan.ownPath.reading, c.plan.ownPath.writing = true, true
	}
	if f.zoned && !isUTC(c.server.TimeZone) {
		text := fmt.Sprintf("%s depends on the TimeZone: it is worked out in UTC, while other sessions of this role and database are in %s", what, c.server.TimeZone)
		c.plan.problem(LevelWarning, c.file.Errorf(pos, "%s", text).Error(),
			fmt.Sprintf("say which time zone is meant, such as: hold_until AT TIME ZONE %s > now()", pg.Literal(c.server.TimeZone)))
	}
}

func isUTC(zone string) bool {
	return slices.Contains([]string{"utc", "etc/utc", "gmt", "etc/gmt", "zulu", "etc/zulu", "uct", "etc/uct", "universal", "etc/universal", "greenwich", "gmt0", "etc/greenwich"}, strings.ToLower(zone))
}

// understand reads what a statement means under the role's own settings: described
// first, and then as a temporary view, which is never committed.
func (c *compiler) understand(described, viewed string) (f *fragment, err error) {
	err = c.apart(func(tx pgx.Tx) error {
		if _, err := tx.Exec(c.ctx, `SELECT set_config('TimeZone', $1, true), set_config('search_path', $2, true)`, c.server.TimeZone, c.server.path); err != nil {
			return err
		}
		d, err := tx.Conn().PgConn().Prepare(c.ctx, "", described, nil)
		if err != nil {
			return err
		}
		f = &fragment{sql: viewed}
		for _, x := range d.Fields {
			f.columns = append(f.columns, viewColumn{x.Name, x.DataTypeOID})
		}
		return c.view(tx, f)
	})
	return f, err
}

// view makes the view, and reads from it what the SQL means.
func (c *compiler) view(tx pgx.Tx, f *fragment) error {
	// Columns of one name would be no view. An expression keeps its name, by which it is
	// found again in the text.
	columns := ""
	if len(f.columns) > 1 {
		columns = " (" + list(len(f.columns), func(i int) string { return fmt.Sprintf("column%d", i+1) }) + ")"
	}
	// Literals of the session's own zone become others in UTC: that shows in the text.
	create := func(name string) string { return "CREATE TEMPORARY VIEW " + name + columns + " AS " + f.sql }
	err := execAll(c.ctx, tx, create(fragmentView+"_local"), `SELECT pg_catalog.set_config('TimeZone', 'UTC', true)`, create(fragmentView), pg.Pin)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && !lockedOut(err):
		// No TEMPORARY, an event trigger that refuses, or what no view may hold: it means
		// what was described, under the role's own path.
		f.asWritten, f.unread = true, true
		return nil
	case err != nil:
		return err
	}
	return c.readView(tx, f)
}

func execAll(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, s := range statements {
		if _, err := tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// reachedSQL is what a view rests on, at any depth: other views, functions, operators,
// aggregates, types and the checks of domains. PostgreSQL notes no dependency on what is
// its own.
const reachedSQL = `
reached(class, id) AS (
  SELECT 'pg_rewrite'::regclass::oid, v.oid FROM v
  UNION SELECT x.* FROM reached r CROSS JOIN LATERAL (
    SELECT d.refclassid, d.refobjid FROM pg_depend d WHERE d.classid = r.class AND d.objid = r.id AND d.deptype IN ('n', 'a')
    UNION ALL SELECT 'pg_rewrite'::regclass::oid, w.oid FROM pg_rewrite w JOIN pg_class c ON c.oid = w.ev_class AND c.relkind IN ('v', 'm') WHERE r.class = 'pg_class'::regclass AND w.ev_class = r.id
    UNION ALL SELECT 'pg_constraint'::regclass::oid, k.oid FROM pg_constraint k WHERE r.class = 'pg_type'::regclass AND k.contypid = r.id AND r.id <> 0) x),
calls AS MATERIALIZED (
  SELECT r.id FROM reached r WHERE r.class = 'pg_proc'::regclass
  UNION SELECT o.oprcode FROM reached r JOIN pg_operator o ON r.class = 'pg_operator'::regclass AND o.oid = r.id)`

// byNameSQL is an SQL expression over a rule's tree: whether it looks up names while it
// runs, by a type of object identifiers (regclass and its like, pg_type.dat) or by a
// function that takes names.
const byNameSQL = `(v.tree ~ ':(vartype|consttype|resulttype|funcresulttype|paramtype) (24|2202|2203|2204|2205|2206|3734|3769|4089|4096|4191) '
    OR EXISTS (SELECT FROM regexp_matches(v.tree, ':(?:opfuncid|funcid) (\d+)', 'g') m JOIN pg_proc p ON p.oid = m[1]::oid
                WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^(current_schemas?|.*_is_visible|to_reg.*|has_.*_privilege|.*_to_xml.*|pg_get_serial_sequence)$'))`

// fragmentSQL reads the temporary views: the text of the one, that of the one made in the
// session's own zone, whether something in it depends on the zone, whether what it means
// depends on the search_path while it runs, the functions outside of pg_catalog that it
// rests on, what a role needs to run it, and its tree. A conversion between timestamptz and local dates or times is
// STABLE and takes or gives both; of SQLValueFunction (primnodes.h) 0 to 2 and 5 to 8 are
// local. Aggregates call functions that need not be in C.
const fragmentSQL = `
WITH RECURSIVE v AS MATERIALIZED (SELECT r.oid, r.ev_class AS own, r.ev_action::text AS tree FROM pg_rewrite r WHERE r.ev_class = 'pg_temp.` + fragmentView + `'::regclass),` + reachedSQL + `,` + needsSQL + `
SELECT pg_get_viewdef('pg_temp.` + fragmentView + `'::regclass), pg_get_viewdef('pg_temp.` + fragmentView + `_local'::regclass),
       EXISTS (SELECT FROM v CROSS JOIN LATERAL regexp_matches(v.tree, ':(?:opfuncid|funcid) (\d+)', 'g') m JOIN pg_proc p ON p.oid = m[1]::oid
                WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile = 's'
                  AND 'timestamptz'::regtype = ANY (p.proargtypes::oid[] || p.prorettype)
                  AND ARRAY['timestamp', 'date', 'time', 'text']::regtype[]::oid[] && (p.proargtypes::oid[] || p.prorettype))
    OR EXISTS (SELECT FROM v CROSS JOIN LATERAL regexp_matches(v.tree, 'SQLVALUEFUNCTION :op (\d+)', 'g') m WHERE m[1] IN ('0', '1', '2', '5', '6', '7', '8')),
       (SELECT ` + byNameSQL + ` FROM v),
       coalesce((SELECT json_agg(json_build_object('Name', n.nspname || '.' || p.proname, 'Owner', pg_get_userbyid(p.proowner),
                 'Looks', l.lanname NOT IN ('c', 'internal') OR p.prokind = 'a', 'Trusted', ` + trustedOwner + `) ORDER BY p.oid)
            FROM calls JOIN pg_proc p ON p.oid = calls.id JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
           WHERE n.nspname <> 'pg_catalog'), '[]'),
       ` + needed + `,
       (SELECT ` + plainTree + ` FROM v)`

// plainTree is a rule's tree without what only tells where in the text it stood, and
// without the view's own number, which trees hold before PostgreSQL 16.
const plainTree = `regexp_replace(regexp_replace(replace(v.tree, ':relid ' || v.own || ' ', ''), ':(location|stmt_location|stmt_len|list_start|list_end|ctelocation|rexpr_list_start|rexpr_list_end) -?\d+', '', 'g'), '` + fragmentView + `(_local|_again)?', '', 'g')`

func (c *compiler) readView(tx pgx.Tx, f *fragment) error {
	var local, tree string
	written := f.sql
	if err := tx.QueryRow(c.ctx, fragmentSQL, c.planned()).Scan(&f.sql, &local, &f.zoned, &f.asWritten, &f.functions, &f.needs, &tree); err != nil {
		return err
	}
	f.zoned = f.zoned || strings.ReplaceAll(local, fragmentView+"_local", fragmentView) != f.sql
	f.sql = strings.TrimSuffix(strings.TrimSpace(f.sql), ";")
	again, err := c.readAgain(tx, f.sql)
	if err != nil {
		return err
	}
	// PostgreSQL prints some operators without their names (CASE x WHEN, IS DISTINCT FROM,
	// NULLIF, USING): under another path they would be others.
	if f.asWritten = f.asWritten || again != tree; f.asWritten {
		f.sql = written
	}
	return nil
}

// readAgain is the tree of the printed text, read under reaper's own search_path; empty:
// it cannot be read there.
func (c *compiler) readAgain(outer pgx.Tx, sql string) (tree string, err error) {
	tx, err := outer.Begin(c.ctx)
	if err != nil {
		return "", err
	}
	defer rollback(tx)
	err = execAll(c.ctx, tx, "CREATE TEMPORARY VIEW "+fragmentView+"_again AS "+sql)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !lockedOut(err) {
		return "", nil
	}
	if err == nil {
		err = tx.QueryRow(c.ctx, `SELECT `+plainTree+` FROM (SELECT r.ev_class AS own, r.ev_action::text AS tree FROM pg_rewrite r WHERE r.ev_class = 'pg_temp.`+fragmentView+`_again'::regclass) v`).Scan(&tree)
	}
	return tree, err
}
