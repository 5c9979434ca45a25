package deletion

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// Tables describes the tables of a plan for the manifests of its segments. It is read anew when
// their columns or types change. The zero value is ready for use by one goroutine.
type Tables struct {
	shape         string // digest of what it describes
	database      string
	serverVersion string
	columns       map[uint32][]tableColumn
	types         string // the statements that make them
	left          map[*plan.Edge][]archive.Left
}

// tableColumn is a column that is copied, or generated.
type tableColumn struct {
	archive.Column
	generated string // its expression; empty: it is copied
	notNull   bool
	fallback  string // the expression of its default; empty: none
}

// columnsSQL reads the columns of tables, as they are written under archive.Settings.
const columnsSQL = `SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '', coalesce(pg_get_expr(d.adbin, d.adrelid), '')
  FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum`

// typesSQL writes the statements that make the types of the columns of tables, the innermost first:
// extensions, enums, domains (without their constraints), composites and ranges.
const typesSQL = `WITH RECURSIVE t(oid, depth) AS (
	SELECT a.atttypid, 0 FROM pg_attribute a WHERE a.attrelid = ANY ($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
	UNION
	SELECT r.oid, t.depth + 1 FROM t CROSS JOIN LATERAL (
		SELECT unnest(ARRAY[y.typbasetype, y.typelem]) FROM pg_type y WHERE y.oid = t.oid
		UNION ALL SELECT g.rngsubtype FROM pg_range g WHERE g.rngtypid = t.oid
		UNION ALL SELECT g.rngtypid FROM pg_range g WHERE g.rngmultitypid = t.oid
		UNION ALL SELECT a.atttypid FROM pg_type y JOIN pg_attribute a ON a.attrelid = y.typrelid WHERE y.oid = t.oid AND y.typtype = 'c' AND a.attnum > 0 AND NOT a.attisdropped
	) r(oid) WHERE r.oid <> 0 AND t.depth < 50
), u AS (SELECT oid, max(depth) AS depth FROM t WHERE oid >= 16384 GROUP BY oid)
SELECT coalesce(string_agg(DISTINCT format('CREATE SCHEMA IF NOT EXISTS %I;', n.nspname), E'\n') || E'\n', '') ||
       coalesce(string_agg(DISTINCT format('CREATE EXTENSION IF NOT EXISTS %I SCHEMA %I;', x.extname, xn.nspname), E'\n') FILTER (WHERE x.oid IS NOT NULL) || E'\n', '') ||
       coalesce(string_agg(format(CASE y.typtype
	       WHEN 'e' THEN 'CREATE TYPE %1$I.%2$I AS ENUM (' || (SELECT string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder) FROM pg_enum e WHERE e.enumtypid = y.oid) || ');'
	       WHEN 'd' THEN 'CREATE DOMAIN %1$I.%2$I AS %3$s;'
	       WHEN 'r' THEN 'CREATE TYPE %1$I.%2$I AS RANGE (SUBTYPE = %4$s, MULTIRANGE_TYPE_NAME = %6$s);'
	       WHEN 'c' THEN 'CREATE TYPE %1$I.%2$I AS (%5$s);'
	     END, n.nspname, y.typname, format_type(y.typbasetype, y.typtypmod),
	     (SELECT format_type(g.rngsubtype, NULL) FROM pg_range g WHERE g.rngtypid = y.oid),
	     (SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = y.typrelid AND a.attnum > 0 AND NOT a.attisdropped),
	     (SELECT format_type(g.rngmultitypid, NULL) FROM pg_range g WHERE g.rngtypid = y.oid)),
	     E'\n' ORDER BY u.depth DESC, u.oid) FILTER (WHERE x.oid IS NULL AND y.typtype IN ('e', 'd', 'r', 'c')) || E'\n', ''),
       current_database()::text, current_setting('server_version')
  FROM u JOIN pg_type y ON y.oid = u.oid JOIN pg_namespace n ON n.oid = y.typnamespace
  LEFT JOIN pg_depend d ON d.classid = 'pg_type'::regclass AND d.objid = y.oid AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
  LEFT JOIN pg_extension x ON x.oid = d.refobjid LEFT JOIN pg_namespace xn ON xn.oid = x.extnamespace`

// read describes the tables of a plan, under archive.Settings, unless they are what they were.
func (d *Tables) read(ctx context.Context, conn *pgx.Conn, p *plan.Plan, shape string) error {
	if d.shape == shape {
		return nil
	}
	var oids []uint32
	for _, n := range p.Nodes {
		oids = append(oids, n.Table.OID)
	}
	rows, err := conn.Query(ctx, columnsSQL, oids)
	if err != nil {
		return fmt.Errorf("describing tables: %w", err)
	}
	d.columns = map[uint32][]tableColumn{}
	var oid uint32
	var c tableColumn
	var generated bool
	if _, err := pgx.ForEachRow(rows, []any{&oid, &c.Name, &c.Type, &c.notNull, &generated, &c.fallback}, func() error {
		found := c
		if found.generated = ""; generated {
			found.generated, found.fallback = c.fallback, ""
		}
		d.columns[oid] = append(d.columns[oid], found)
		return nil
	}); err != nil {
		return fmt.Errorf("describing tables: %w", err)
	}
	if err := conn.QueryRow(ctx, typesSQL, oids).Scan(&d.types, &d.database, &d.serverVersion); err != nil {
		return fmt.Errorf("describing types: %w", err)
	}
	if err := d.readLeft(ctx, conn, p); err != nil {
		return err
	}
	d.shape = shape
	return nil
}

// readLeft evaluates what is left in references that are emptied.
func (d *Tables) readLeft(ctx context.Context, conn *pgx.Conn, p *plan.Plan) error {
	d.left = map[*plan.Edge][]archive.Left{}
	for _, e := range p.Whole.Clears {
		for _, column := range e.SetColumns {
			left := archive.Left{Column: column}
			if c, ok := d.column(e.Child, column); ok && e.Action == plan.BySetDefault && c.fallback != "" {
				err := conn.QueryRow(ctx, "SELECT (("+c.fallback+")::"+c.Type+")::text").Scan(&left.Value)
				if pg.HasCode(err, "25006") { // in a READ ONLY transaction this is no standby
					return fmt.Errorf("%w: the default of %s.%s writes: %s", ErrDefault, e.Child.Table.Name, pg.Ident(column), pg.ErrorText(err))
				}
				if err != nil {
					return fmt.Errorf("evaluating the default of %s.%s: %w", e.Child.Table.Name, column, err)
				}
			}
			d.left[e] = append(d.left[e], left)
		}
	}
	return nil
}

func (d *Tables) column(n *plan.Node, name string) (tableColumn, bool) {
	i := slices.IndexFunc(d.columns[n.Table.OID], func(c tableColumn) bool { return c.Name == name })
	if i < 0 {
		return tableColumn{}, false
	}
	return d.columns[n.Table.OID][i], true
}

// deleted describes the file of a node's deleted rows. The first one makes the types of all.
func (d *Tables) deleted(n *plan.Node, first bool) archive.Table {
	t := archive.Table{Name: nameOf(n), Kind: archive.Deleted, Key: n.CopyKey()}
	for _, c := range d.columns[n.Table.OID] {
		if c.generated == "" {
			t.Columns = append(t.Columns, c.Column)
		}
	}
	if first {
		t.DDL = d.types
	}
	t.DDL += d.ddl(n)
	return t
}

// ddl is the statement that makes a table, with its key, without its defaults.
func (d *Tables) ddl(n *plan.Node) string {
	var parts []string
	for _, c := range d.columns[n.Table.OID] {
		part := "  " + pg.Ident(c.Name) + " " + c.Type
		if c.generated != "" {
			part += " GENERATED ALWAYS AS (" + c.generated + ") STORED"
		}
		if c.notNull {
			part += " NOT NULL"
		}
		parts = append(parts, part)
	}
	if key := n.CopyKey(); key != nil {
		parts = append(parts, "  PRIMARY KEY ("+pg.List(len(key), func(i int) string { return pg.Ident(key[i]) })+")")
	}
	return "CREATE SCHEMA IF NOT EXISTS " + pg.Ident(n.Table.Name.Schema) + ";\nCREATE TABLE " + pg.Ident(n.Table.Name.Schema, n.Table.Name.Name) + " (\n" + strings.Join(parts, ",\n") + "\n);"
}

// emptied describes the file of the rows whose reference is emptied.
func (d *Tables) emptied(e *plan.Edge) (archive.Table, error) {
	t := archive.Table{Name: nameOf(e.Child), Kind: archive.Emptied, Key: e.Child.CopyKey(), Emptied: d.left[e]}
	for _, name := range e.EmptiedColumns() {
		c, ok := d.column(e.Child, name)
		if !ok {
			return t, plan.ErrSchemaChanged
		}
		t.Columns = append(t.Columns, c.Column)
	}
	return t, nil
}

func nameOf(n *plan.Node) archive.Name {
	return archive.Name{Schema: n.Table.Name.Schema, Name: n.Table.Name.Name}
}

// edges are those of the plan that a batch acts on, for the manifest.
func edges(p *plan.Plan) (out []archive.Edge) {
	for _, e := range p.Edges {
		if !p.Whole.Walks(e) || e.Action == plan.ByKeep {
			continue
		}
		x := archive.Edge{
			Parent: nameOf(e.Parent), ParentColumns: e.ParentColumns, Child: nameOf(e.Child), ChildColumns: e.ChildColumns,
			Compare: e.Compared(), Where: e.Where, Kind: archive.Deleted,
		}
		if e.Action.Clears() {
			x.Kind, x.Emptied = archive.Emptied, e.SetColumns
		}
		out = append(out, x)
	}
	return out
}
