package plan

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
)

// A policy with an archive deletes no row of which a copy was not confirmed. So nothing is left to ON
// DELETE, and every row that goes, or loses a reference, is collected and copied first.

// newWhole walks every edge, and collects every row that goes.
func newWhole(p *Plan) *Traversal {
	m := (&Traversal{Full: true, Whole: true, Collected: map[*Node]bool{}}).divide(p)
	m.Counted = addNode(m.Counted, p.Root)
	return m
}

// archived refuses what cannot be copied and put back.
func (c *compiler) archived() error {
	p := c.plan
	if !p.Policy.Archive {
		return nil
	}
	for _, n := range p.Nodes {
		if len(n.FiringRules()) > 0 {
			c.fail(p.Policy.Pos, "take archive: true out of the policy, or drop the rule", "archive: true: %s can do something else than deleting what was copied", ruleText(n.FiringRules()[0]))
		}
		for _, e := range n.In {
			if e.Action.Clears() {
				if err := c.archivedReference(e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// changingDefaultSQL finds a column whose default calls a sequence, or a function that may write or
// give another value each time.
const changingDefaultSQL = `SELECT a.attname::text FROM pg_attribute a JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  JOIN pg_depend x ON x.classid = 'pg_attrdef'::regclass AND x.objid = d.oid
  LEFT JOIN pg_proc f ON x.refclassid = 'pg_proc'::regclass AND f.oid = x.refobjid
  LEFT JOIN pg_class s ON x.refclassid = 'pg_class'::regclass AND s.oid = x.refobjid
 WHERE a.attrelid = $1::oid AND a.attname = ANY ($2::text[]) AND (f.provolatile = 'v' OR s.relkind = 'S') ORDER BY a.attnum LIMIT 1`

// archivedReference refuses a reference that is emptied, if nothing tells which row it was emptied in,
// or what it is set to.
func (c *compiler) archivedReference(e *Edge) error {
	t := e.Child.Table
	best := bestKey(t)
	if best == nil {
		c.fail(c.plan.Policy.Pos, "add a primary key to "+t.Name.String()+", or decide another action for the reference",
			"archive: true: references of %s are emptied (%s), and no key tells its rows apart", t.Name, e.Label())
		return nil
	}
	if i := slices.IndexFunc(e.SetColumns, func(column string) bool { return slices.Contains(best.ColumnNames(), column) }); i >= 0 {
		c.fail(c.plan.Policy.Pos, "decide another action for the reference",
			"archive: true: column %s of %s is emptied (%s), and is part of the key that tells its rows apart", pg.Ident(e.SetColumns[i]), t.Name, e.Label())
	}
	if e.Action != BySetDefault {
		return nil
	}
	var column string
	switch err := c.conn.QueryRow(c.ctx, changingDefaultSQL, t.OID, e.SetColumns).Scan(&column); {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return fmt.Errorf("reading the defaults of %s: %w", t.Name, err)
	default:
		c.fail(c.plan.Policy.Pos, "give the column a constant default, or decide another action for the reference",
			"archive: true: column %s of %s is set to its default (%s), which is not the same each time, so nothing tells what was left in it", pg.Ident(column), t.Name, e.Label())
	}
	return nil
}

// CopyKey are the columns that tell the rows of a node apart, by name; nil: none do.
func (n *Node) CopyKey() []string {
	if best := bestKey(n.Table); best != nil {
		return best.ColumnNames()
	}
	return nil
}

// Compared is the condition, over the aliases p and c, that a child row references a parent row: one
// for each pair of columns.
func (e *Edge) Compared() []string {
	conditions := make([]string, len(e.Pairs))
	for i, x := range e.Pairs {
		conditions[i] = x.FindTheirs("p."+pg.Ident(e.ParentColumns[i]), "c."+pg.Ident(e.ChildColumns[i]))
	}
	return conditions
}

// shapeSQL returns what, besides the rows themselves, decides what a copy of them says: when the
// server was started, the timeline that it inserts WAL into, the time (microseconds since 1970), and
// a digest of the given tables, of their columns and of all types below those. A table that was
// rewritten has another file (relfilenode), and rows in the places of others that may have the same
// xmin. Types that PostgreSQL brings along (below 16384, FirstNormalObjectId) never change.
const shapeSQL = `
WITH RECURSIVE reaper_c AS (
	SELECT a.* FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[]) AND a.attnum OPERATOR(pg_catalog.>) 0
), reaper_t(oid) AS (
	SELECT atttypid FROM reaper_c WHERE NOT attisdropped AND atttypid OPERATOR(pg_catalog.>=) 16384
	UNION
	SELECT r.oid FROM reaper_t t CROSS JOIN LATERAL (
		SELECT unnest(ARRAY[y.typbasetype, y.typelem]) FROM pg_catalog.pg_type y WHERE y.oid OPERATOR(pg_catalog.=) t.oid
		UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range g WHERE t.oid OPERATOR(pg_catalog.=) ANY (ARRAY[g.rngtypid, g.rngmultitypid])
		UNION ALL SELECT a.atttypid FROM pg_catalog.pg_type y JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) y.typrelid
		 WHERE y.oid OPERATOR(pg_catalog.=) t.oid AND y.typtype OPERATOR(pg_catalog.=) 'c' AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
	) r(oid) WHERE r.oid OPERATOR(pg_catalog.>=) 16384
), reaper_f(x) AS (
	SELECT (ROW('column', c.attrelid, c.attnum, c.attname, c.atttypid, c.atttypmod, c.attcollation, c.attgenerated, c.attidentity, c.attisdropped, c.attnotnull, c.attmissingval,
	        (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid OPERATOR(pg_catalog.=) c.attrelid AND d.adnum OPERATOR(pg_catalog.=) c.attnum)))::pg_catalog.text FROM reaper_c c
	UNION ALL
	SELECT (ROW('table', c.oid, c.relname, c.relnamespace, c.relkind, c.relfilenode))::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
	UNION ALL
	SELECT (ROW('type', y.oid, y.typname, y.typnamespace, y.typtype, y.typbasetype, y.typtypmod, y.typelem, y.typrelid))::pg_catalog.text FROM reaper_t JOIN pg_catalog.pg_type y USING (oid)
	UNION ALL
	SELECT (ROW('label', e.oid, e.enumtypid, e.enumlabel, e.enumsortorder))::pg_catalog.text FROM reaper_t JOIN pg_catalog.pg_enum e ON e.enumtypid OPERATOR(pg_catalog.=) reaper_t.oid
	UNION ALL
	SELECT (ROW('attribute', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attisdropped))::pg_catalog.text
	  FROM reaper_t JOIN pg_catalog.pg_type y USING (oid) JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) y.typrelid
	 WHERE y.typtype OPERATOR(pg_catalog.=) 'c' AND a.attnum OPERATOR(pg_catalog.>) 0
)
SELECT pg_catalog.pg_postmaster_start_time()::pg_catalog.text, pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8),
       (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8,
       pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce((SELECT pg_catalog.string_agg(x, ' ' ORDER BY x COLLATE "C") FROM reaper_f), ''), 'UTF8')), 'hex')`

// CopySettingsSQL is the first statement of the snapshot in which rows are copied: its settings are those
// of a batch, so that values of one are values of the other.
func (p *Plan) CopySettingsSQL(timeout time.Duration) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("SELECT ", pg.LocalSettings(s, p.writingPath(), timeout, p.LockTimeout()), ", ", pg.SetConfig("random_page_cost", "'0.1'"))
}

// ShapeSQL reads what, besides the rows themselves, decides what a copy of rows of the plan says.
func (p *Plan) ShapeSQL() *pg.Statement {
	var oids []uint32
	for _, n := range p.Nodes {
		oids = append(oids, n.Table.OID)
		oids = append(oids, p.Leaves(n)...)
	}
	slices.Sort(oids)
	s := &pg.Statement{Args: []any{slices.Compact(oids)}}
	return s.Add(shapeSQL)
}

// EmptiedColumns are what is copied of a row whose reference is emptied: its key, and all of the
// reference, of which ON DELETE SET NULL (columns) may empty a part.
func (e *Edge) EmptiedColumns() []string {
	columns := e.Child.CopyKey()
	for _, name := range slices.Concat(e.SetColumns, e.ChildColumns) {
		if !slices.Contains(columns, name) {
			columns = append(columns, name)
		}
	}
	return columns
}
