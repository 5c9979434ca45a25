package usersql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
)

// Fragment is SQL of the policy file as PostgreSQL resolved it under the role's own search_path.
// Every name outside pg_catalog is qualified, so its meaning does not depend on the search_path.
type Fragment struct {
	SQL     string
	Columns []viewColumn // of a query; an expression has one
	// Functions are those outside pg_catalog that it calls, directly or through operators, except C
	// functions, which look up nothing by name.
	Functions []CalledFunction
	Needs     Needs
	// Zoned: the result depends on the session's TimeZone.
	Zoned bool
	// Changes names something that can give another result for the same row another time: a volatile
	// function, the time, or a stable function outside pg_catalog, which may read tables. Empty: there
	// is nothing of the kind.
	Changes string
	// AsWritten: the original text and the role's search_path are used, because it cannot become a
	// view, or names in it are resolved at run time.
	AsWritten bool
	Unread    bool // it could not become a view
}

type viewColumn struct {
	Name string
	Type uint32 // OID
}

// CalledFunction is a function whose owner must be trusted.
type CalledFunction struct {
	Name, Owner string
	Looks       bool // not in C: the body may look up names on the search_path
	Trusted     bool // the owner is a superuser, or owns the database or a planned table
}

// FragmentView is the temporary view made of a fragment. Its only column has the same name.
const FragmentView = "reaper_fragment"

// Besides is a second relation of that view, without columns. With a single relation, PostgreSQL 18
// prints columns unqualified, which could be ambiguous in a larger statement.
const Besides = " CROSS JOIN (SELECT) AS reaper_besides"

// Reader parses SQL of the policy file.
type Reader struct {
	Ctx            context.Context
	Tx             pgx.Tx
	TimeZone, Path string   // of the role's own sessions; Path is the search_path
	Tables         []uint32 // planned so far; their owners are trusted
	Known          Known    // what has been understood before in this transaction; nil: nothing is kept
}

// Known are fragments by their text. One that calls functions is not among them: whom its owner is
// trusted by depends on the tables.
type Known map[string]Fragment

// Understand resolves a statement under the role's own settings: it describes the statement, and
// then makes a temporary view of it, which is never committed.
func (r *Reader) Understand(described, viewed string) (f *Fragment, err error) {
	if known, there := r.Known[described+viewed]; there {
		return &known, nil
	}
	if f, err = r.understand(described, viewed); err == nil && r.Known != nil && len(f.Functions) == 0 {
		r.Known[described+viewed] = *f
	}
	return f, err
}

func (r *Reader) understand(described, viewed string) (f *Fragment, err error) {
	err = pg.Savepoint(r.Ctx, r.Tx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(r.Ctx, `SELECT set_config('TimeZone', $1, true), set_config('search_path', $2, true)`, r.TimeZone, r.Path); err != nil {
			return err
		}
		d, err := tx.Conn().PgConn().Prepare(r.Ctx, "", described, nil)
		if err != nil {
			return err
		}
		f = &Fragment{SQL: viewed}
		for _, x := range d.Fields {
			f.Columns = append(f.Columns, viewColumn{x.Name, x.DataTypeOID})
		}
		return r.view(tx, f)
	})
	return f, err
}

// view makes the view and reads the resolved SQL from it.
func (r *Reader) view(tx pgx.Tx, f *Fragment) error {
	// A view cannot have two columns of one name. An expression keeps its name, which locates it in
	// the text.
	columns := ""
	if len(f.Columns) > 1 {
		columns = " (" + pg.List(len(f.Columns), func(i int) string { return fmt.Sprintf("column%d", i+1) }) + ")"
	}
	// Literals in the session's own zone differ from those in UTC, which shows in the text.
	create := func(name string) string { return "CREATE TEMPORARY VIEW " + name + columns + " AS " + f.SQL }
	err := pg.ExecAll(r.Ctx, tx, create(FragmentView+"_local"), `SELECT pg_catalog.set_config('TimeZone', 'UTC', true)`, create(FragmentView), pg.Pin)
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && !pg.HasCode(err, "55P03"):
		// No TEMPORARY privilege, an event trigger that refuses, or SQL that a view cannot contain:
		// use the original text under the role's own path.
		f.AsWritten, f.Unread = true, true
		return nil
	case err != nil:
		return err
	}
	return r.readView(tx, f)
}

// reachedSQL are the objects that a view depends on at any depth: views, functions, operators,
// aggregates, types and domain checks. PostgreSQL records no dependencies on its built-in objects.
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

// byNameSQL is an SQL expression over a rule's tree: whether it looks up names at run time, through
// an object identifier type (regclass and the like, pg_type.dat) or a function that takes names.
const byNameSQL = `(v.tree ~ ':(vartype|consttype|resulttype|funcresulttype|paramtype) (24|2202|2203|2204|2205|2206|3734|3769|4089|4096|4191) '
    OR EXISTS (SELECT FROM regexp_matches(v.tree, ':(?:opfuncid|funcid) (\d+)', 'g') m JOIN pg_proc p ON p.oid = m[1]::oid
                WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^(current_schemas?|.*_is_visible|to_reg.*|has_.*_privilege|.*_to_xml.*|pg_get_serial_sequence)$'))`

// changesSQL is an SQL expression over a rule's tree; see Fragment.Changes. 0 to 8 of
// SQLValueFunction (primnodes.h) are dates and times. Every type of the table's columns brings along its
// functions that read and write values, some of them stable.
const changesSQL = `CASE WHEN EXISTS (SELECT FROM regexp_matches(v.tree, 'SQLVALUEFUNCTION :op [0-8] ', 'g')) THEN 'the time'
         WHEN v.tree LIKE '%{NEXTVALUEEXPR %' THEN 'a sequence'
         ELSE coalesce((SELECT min('function ' || p.oid::regprocedure::text) FROM (
                SELECT m[1]::oid AS id FROM regexp_matches(v.tree, ':(?:opfuncid|funcid) (\d+)', 'g') m UNION SELECT c.id FROM calls c) f JOIN pg_proc p ON p.oid = f.id
               WHERE p.provolatile = 'v' OR p.provolatile = 's' AND (p.pronamespace <> 'pg_catalog'::regnamespace
                     OR p.proname ~ '^(now|transaction_timestamp|statement_timestamp|age|txid_.*|pg_current_.*|pg_snapshot_.*|current_setting|.*_to_xml.*|pg_.*size.*)$')
               AND NOT EXISTS (SELECT FROM pg_type y WHERE p.oid IN (y.typinput, y.typoutput, y.typreceive, y.typsend, y.typmodin, y.typmodout, y.typanalyze))), '') END`

// fragmentSQL reads the temporary views: the text of the view; that of the one made in the
// session's own zone; whether the result depends on the zone; whether names are looked up at run
// time; what changes it; the functions outside pg_catalog that it depends on; the privileges it needs; and its tree.
// A function depends on the zone if it is STABLE and converts between timestamptz and local dates
// or times; so do values 0 to 2 and 5 to 8 of SQLValueFunction (primnodes.h). Aggregates may call
// functions that are not in C.
var fragmentSQL = `
WITH RECURSIVE v AS MATERIALIZED (SELECT r.oid, r.ev_class AS own, r.ev_action::text AS tree FROM pg_rewrite r WHERE r.ev_class = 'pg_temp.` + FragmentView + `'::regclass),` + reachedSQL + `,` + needsSQL + `
SELECT pg_get_viewdef('pg_temp.` + FragmentView + `'::regclass), pg_get_viewdef('pg_temp.` + FragmentView + `_local'::regclass),
       EXISTS (SELECT FROM v CROSS JOIN LATERAL regexp_matches(v.tree, ':(?:opfuncid|funcid) (\d+)', 'g') m JOIN pg_proc p ON p.oid = m[1]::oid
                WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.provolatile = 's'
                  AND 'timestamptz'::regtype = ANY (p.proargtypes::oid[] || p.prorettype)
                  AND ARRAY['timestamp', 'date', 'time', 'text']::regtype[]::oid[] && (p.proargtypes::oid[] || p.prorettype))
    OR EXISTS (SELECT FROM v CROSS JOIN LATERAL regexp_matches(v.tree, 'SQLVALUEFUNCTION :op (\d+)', 'g') m WHERE m[1] IN ('0', '1', '2', '5', '6', '7', '8')),
       (SELECT ` + byNameSQL + ` FROM v),
       (SELECT ` + changesSQL + ` FROM v),
       coalesce((SELECT json_agg(json_build_object('Name', n.nspname || '.' || p.proname, 'Owner', pg_get_userbyid(p.proowner),
                 'Looks', l.lanname NOT IN ('c', 'internal') OR p.prokind = 'a', 'Trusted', ` + trustedOwner + `) ORDER BY p.oid)
            FROM calls JOIN pg_proc p ON p.oid = calls.id JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
           WHERE n.nspname <> 'pg_catalog'), '[]'),
       ` + needed + `,
       (SELECT ` + plainTree + ` FROM v)`

// plainTree is a rule's tree without text locations, and without the view's OID, which trees
// contain before PostgreSQL 16.
const plainTree = `regexp_replace(regexp_replace(replace(v.tree, ':relid ' || v.own || ' ', ''), ':(location|stmt_location|stmt_len|list_start|list_end|ctelocation|rexpr_list_start|rexpr_list_end) -?\d+', '', 'g'), '` + FragmentView + `(_local|_again)?', '', 'g')`

func (r *Reader) readView(tx pgx.Tx, f *Fragment) error {
	var local, tree string
	written := f.SQL
	if err := tx.QueryRow(r.Ctx, fragmentSQL, r.Tables).Scan(&f.SQL, &local, &f.Zoned, &f.AsWritten, &f.Changes, &f.Functions, &f.Needs, &tree); err != nil {
		return err
	}
	f.Zoned = f.Zoned || strings.ReplaceAll(local, FragmentView+"_local", FragmentView) != f.SQL
	f.SQL = strings.TrimSuffix(strings.TrimSpace(f.SQL), ";")
	again, err := r.readAgain(tx, f.SQL)
	if err != nil {
		return err
	}
	// PostgreSQL prints some constructs without the operator's name (CASE x WHEN, IS DISTINCT FROM,
	// NULLIF, USING). Under another search_path they could mean other operators.
	if f.AsWritten = f.AsWritten || again != tree; f.AsWritten {
		f.SQL = written
	}
	return nil
}

// readAgain is the tree of the printed text, parsed under reaper's own search_path; empty if that
// fails.
func (r *Reader) readAgain(outer pgx.Tx, sql string) (tree string, err error) {
	tx, err := outer.Begin(r.Ctx)
	if err != nil {
		return "", err
	}
	defer pg.Rollback(tx)
	err = pg.ExecAll(r.Ctx, tx, "CREATE TEMPORARY VIEW "+FragmentView+"_again AS "+sql)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !pg.HasCode(err, "55P03") {
		return "", nil
	}
	if err == nil {
		err = tx.QueryRow(r.Ctx, `SELECT `+plainTree+` FROM (SELECT r.ev_class AS own, r.ev_action::text AS tree FROM pg_rewrite r WHERE r.ev_class = 'pg_temp.`+FragmentView+`_again'::regclass) v`).Scan(&tree)
	}
	return tree, err
}

// trustedOwner is an SQL condition: the owner of function p is this role, or one with full control
// of the planned tables ($1: OIDs) anyway.
const trustedOwner = `(p.proowner IN (SELECT r.oid FROM pg_roles r WHERE r.rolname = current_user UNION ` + trustedRoles + `))`

// trustedRoles are the OIDs of superusers, of the owner of the database, and of the owners of the
// planned tables and their schemas.
const trustedRoles = `SELECT r.oid FROM pg_roles r WHERE r.rolsuper
	UNION SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()
	UNION SELECT c.relowner FROM pg_class c WHERE c.oid = ANY ($1::oid[])
	UNION SELECT n.nspowner FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY ($1::oid[])`

// QueryFix is the remedy for an error in users' SQL: grants if a privilege is missing, otherwise
// other. The schema's name is only in the error's message, which may be translated.
func QueryFix(wrong *pgconn.PgError, role, other string) string {
	if wrong.Code != "42501" {
		return other
	}
	if name, ok := strings.CutPrefix(wrong.Message, "permission denied for schema "); ok {
		return fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", pg.Ident(name), pg.Ident(role))
	}
	return "run what reaper grants --role " + pg.Ident(role) + " prints, as the owner of what the SQL reads"
}
