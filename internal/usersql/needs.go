package usersql

import (
	"slices"

	"github.com/reaperdb/reaper/schema"
)

// Needs are the privileges for running SQL of the policy file. PostgreSQL checks access to
// relations below a view as the view's owner or, for a security_invoker view, as the role itself –
// even if another view refers to it.
type Needs struct {
	Schemas   []string // schemas that the SQL itself names
	Relations []read   // checked as the role
	Functions []called // without those that PUBLIC may execute
	Unknown   []string // SQL of the file that could not become a view
	Relies    []Relied
}

// Relied is an object outside pg_catalog and extensions that SQL of the policy file means
// something else by when it changes: a table's column (Is: its type), a view or a function (Is: a
// digest of its definition).
type Relied struct {
	Kind     string      // column, view, function
	Relation schema.Name // of a column or view
	Name     string      // of a column; of a function, quoted and with its arguments
	Is       string
	// Printed: the digest is of text that PostgreSQL prints, and each version prints in its own way.
	Printed bool
}

// read is a relation that SQL of the policy file reads.
type read struct {
	OID         uint32
	Name        schema.Name
	CanSelect   bool // on the columns that it reads
	RowSecurity bool // row_security_active for the current role
}

// called is a function that SQL of the policy file calls.
type called struct {
	SQL        string // with its arguments, quoted
	CanExecute bool
}

// needsSQL are CTEs that determine, from a fragment's view (v), what privileges a role needs. rules
// are the rules of the view and of the views below it; invoked are those whose relations are
// checked as the role.
const needsSQL = `
rules(oid, view, invoked) AS (
  SELECT v.oid, v.own, true FROM v
  UNION SELECT w.oid, c.oid, coalesce((SELECT o.option_value::bool FROM pg_options_to_table(c.reloptions) o WHERE o.option_name = 'security_invoker'), false)
    FROM rules r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.view
    JOIN pg_class c ON c.oid = d.refobjid AND c.relkind = 'v' JOIN pg_rewrite w ON w.ev_class = c.oid AND w.ev_type = '1'),
relations AS (
  SELECT c.oid, n.nspname, c.relname, array_agg(DISTINCT d.refobjsubid::int2) FILTER (WHERE d.refobjsubid > 0) AS columns
    FROM rules r JOIN pg_depend d ON r.invoked AND d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.view
    JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p', 'v', 'm', 'f') JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname <> 'information_schema' GROUP BY c.oid, n.nspname, c.relname),
named AS (
  SELECT DISTINCT n.nspname FROM v JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = v.oid
    JOIN LATERAL (SELECT c.relnamespace FROM pg_class c WHERE d.refclassid = 'pg_class'::regclass AND c.oid = d.refobjid AND c.oid <> v.own
                  UNION ALL SELECT p.pronamespace FROM pg_proc p WHERE d.refclassid = 'pg_proc'::regclass AND p.oid = d.refobjid
                  UNION ALL SELECT o.oprnamespace FROM pg_operator o WHERE d.refclassid = 'pg_operator'::regclass AND o.oid = d.refobjid
                  UNION ALL SELECT t.typnamespace FROM pg_type t WHERE d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid) x(namespace) ON true
    JOIN pg_namespace n ON n.oid = x.namespace AND n.nspname NOT IN ('pg_catalog', 'information_schema'))`

// needed is an SQL expression over these CTEs: Needs as JSON. calls is a CTE of reachedSQL.
var needed = `json_build_object(
  'Schemas', (SELECT array_agg(nspname ORDER BY nspname) FROM named),
  'Relations', (SELECT json_agg(json_build_object('OID', oid::int8, 'Name', json_build_object('Schema', nspname, 'Name', relname), 'RowSecurity', row_security_active(oid),
      'CanSelect', has_table_privilege(oid, 'SELECT') OR has_any_column_privilege(oid, 'SELECT')
        AND NOT EXISTS (SELECT FROM unnest(columns) k WHERE NOT has_column_privilege(oid, k, 'SELECT'))) ORDER BY oid) FROM relations),
  'Functions', (SELECT json_agg(json_build_object('SQL', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
      'CanExecute', has_function_privilege(p.oid, 'EXECUTE')) ORDER BY p.oid)
      FROM calls JOIN pg_proc p ON p.oid = calls.id JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname <> 'pg_catalog' AND NOT has_function_privilege('public', p.oid, 'EXECUTE')),
  'Relies', (SELECT json_agg(json_build_object('Kind', x.kind, 'Relation', json_build_object('Schema', x.nspname, 'Name', x.relname), 'Name', x.name, 'Is', x.is, 'Printed', x.printed)) FROM (
      SELECT DISTINCT 'column' AS kind, n.nspname, c.relname, a.attname::text AS name, ` + ColumnSQL + ` AS is, false AS printed
        FROM reached r JOIN pg_depend d ON r.class = 'pg_rewrite'::regclass AND d.classid = r.class AND d.objid = r.id AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
        JOIN pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p', 'f') JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
      UNION ALL SELECT 'relation', n.nspname, c.relname, '', 'is read', false
        FROM (SELECT DISTINCT r.id FROM reached r WHERE r.class = 'pg_class'::regclass) r JOIN pg_class c ON c.oid = r.id AND c.relkind IN ('r', 'p', 'f')
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema')
      UNION ALL SELECT 'view', n.nspname, c.relname, '', md5(pg_get_viewdef(c.oid)), true
        FROM (SELECT DISTINCT r.id FROM reached r WHERE r.class = 'pg_class'::regclass) r JOIN pg_class c ON c.oid = r.id AND c.relkind IN ('v', 'm')
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.oid <> pg_my_temp_schema()
       WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
      UNION ALL SELECT 'generated', n.nspname, c.relname, a.attname::text, md5(pg_get_expr(d.adbin, d.adrelid)), true
        FROM (SELECT DISTINCT d.refobjid, d.refobjsubid FROM reached r JOIN pg_depend d ON r.class = 'pg_rewrite'::regclass AND d.classid = r.class AND d.objid = r.id AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0) k
        JOIN pg_class c ON c.oid = k.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.refobjsubid AND a.attgenerated <> '' JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
      UNION ALL SELECT 'operator', '', '', o.oid::regoperator::text, o.oprcode::regprocedure::text, false
        FROM (SELECT DISTINCT r.id FROM reached r WHERE r.class = 'pg_operator'::regclass) r JOIN pg_operator o ON o.oid = r.id AND o.oprnamespace <> 'pg_catalog'::regnamespace
      UNION ALL SELECT 'enum', '', '', y.oid::regtype::text, string_agg(e.enumlabel, ', ' ORDER BY e.enumsortorder), false
        FROM (SELECT DISTINCT r.id FROM reached r WHERE r.class = 'pg_type'::regclass) r JOIN pg_type y ON y.oid = r.id JOIN pg_enum e ON e.enumtypid = y.oid GROUP BY y.oid
      UNION ALL ` + FunctionPrintSQL(`SELECT calls.id FROM calls`) + `) x))`

// ColumnSQL is the type of a column a of pg_attribute, with its collation if that is not the type's.
const ColumnSQL = `format_type(a.atttypid, a.atttypmod) || coalesce((SELECT ' COLLATE ' || l.oid::regcollation || CASE WHEN l.collisdeterministic THEN '' ELSE ', which is not deterministic' END FROM pg_collation l JOIN pg_type y ON y.oid = a.atttypid WHERE l.oid = a.attcollation AND a.attcollation <> y.typcollation), '') || CASE WHEN a.attgenerated <> '' THEN ', generated' ELSE '' END`

// FunctionPrintSQL returns the functions among the OIDs that a query returns, as Relied has them.
func FunctionPrintSQL(oids string) string {
	return `SELECT 'function', '', '', format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)),
             md5(concat_ws(E'\n', l.lanname, p.prosrc, pg_get_function_sqlbody(p.oid), p.prosecdef, p.proconfig::text, p.proisstrict, pg_get_function_result(p.oid),
               pg_get_expr(p.proargdefaults, 0), (SELECT concat_ws(',', g.aggkind, g.aggtransfn, g.aggfinalfn, g.agginitval) FROM pg_aggregate g WHERE g.aggfnoid = p.oid))), pg_get_function_sqlbody(p.oid) IS NOT NULL OR p.proargdefaults IS NOT NULL
        FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace AND n.nspname <> 'pg_catalog' JOIN pg_language l ON l.oid = p.prolang
       WHERE p.oid IN (` + oids + `) AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')`
}

// Add adds the needs of more SQL.
func (n *Needs) Add(more Needs) {
	n.Schemas = append(n.Schemas, more.Schemas...)
	n.Functions = append(n.Functions, more.Functions...)
	n.Unknown = append(n.Unknown, more.Unknown...)
	n.Relies = append(n.Relies, more.Relies...)
	for _, r := range more.Relations {
		i := slices.IndexFunc(n.Relations, func(o read) bool { return o.OID == r.OID })
		if i < 0 {
			n.Relations = append(n.Relations, r)
			continue
		}
		n.Relations[i].CanSelect = n.Relations[i].CanSelect && r.CanSelect
	}
}
