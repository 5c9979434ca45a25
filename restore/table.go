package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
)

// table is a file of a segment, and the table that its rows go into.
type table struct {
	*archive.File
	target string // qualified and quoted
	temp   string // the temporary table that takes its rows
	ord    string // the column of the rows' ordinals, by no name of theirs
	// columns are those of the file, as they are in the database of today.
	columns []column
	key     []column // of columns; nil: rows cannot be told apart
	equal   []string // for each of key, the operator of the index that serves it
}

type column struct {
	name    string
	today   string // type in the target table
	was     string // type in the temporary table: that of the copy if there is one of this name
	collate string // empty, or COLLATE …
}

// columnsSQL reads the columns of a table as they are today.
const columnsSQL = `SELECT a.attname::text, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attgenerated::text,
       CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation
            THEN (SELECT 'COLLATE ' || pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname)
                    FROM pg_catalog.pg_collation c JOIN pg_catalog.pg_namespace n ON n.oid = c.collnamespace WHERE c.oid = a.attcollation) ELSE '' END
  FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
 WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped`

// keySQL reads the operators by which a unique index over exactly these columns compares.
const keySQL = `SELECT array(
         SELECT pg_catalog.quote_ident(n.nspname) || '.' || o.oprname
           FROM pg_catalog.unnest($2::text[]) WITH ORDINALITY k(name, place)
           JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attname = k.name
           JOIN ROWS FROM (pg_catalog.unnest(i.indkey::smallint[]), pg_catalog.unnest(i.indclass::oid[])) x(attnum, opclass) ON x.attnum = a.attnum
           JOIN pg_catalog.pg_opclass c ON c.oid = x.opclass
           JOIN pg_catalog.pg_amop m ON m.amopfamily = c.opcfamily AND m.amoplefttype = c.opcintype AND m.amoprighttype = c.opcintype AND m.amopstrategy = 3
           JOIN pg_catalog.pg_operator o ON o.oid = m.amopopr
           JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace
          ORDER BY k.place)
  FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class r ON r.oid = i.indexrelid JOIN pg_catalog.pg_am am ON am.oid = r.relam AND am.amname = 'btree'
 WHERE i.indrelid = $1::oid AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL
   AND i.indnkeyatts = pg_catalog.cardinality($2::text[])
   AND (SELECT pg_catalog.count(*) FROM pg_catalog.unnest((i.indkey::smallint[])[0:i.indnkeyatts - 1]) x(attnum)
          JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = x.attnum WHERE a.attname = ANY ($2::text[])) = i.indnkeyatts
 ORDER BY i.indisprimary DESC, r.oid LIMIT 1`

const tableSQL = `SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1::text AND c.relname = $2::text AND c.relkind IN ('r', 'p')`

// firesSQL reads the triggers and rules that INSERT (or UPDATE) would set off, on the table and its
// partitions.
const firesSQL = `WITH tree AS (SELECT $1::oid AS relid UNION SELECT relid FROM pg_catalog.pg_partition_tree($1::oid::regclass))
SELECT 'trigger ' || pg_catalog.quote_ident(t.tgname) FROM tree JOIN pg_catalog.pg_trigger t ON t.tgrelid = tree.relid
 WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND t.tgtype & $2::int <> 0
UNION
SELECT 'rule ' || pg_catalog.quote_ident(r.rulename) FROM tree JOIN pg_catalog.pg_rewrite r ON r.ev_class = tree.relid
 WHERE r.ev_enabled IN ('O', 'A') AND r.ev_type = $3::text::"char"
ORDER BY 1`

// newTable finds the table that a file's rows go into.
func newTable(ctx context.Context, tx pgx.Tx, n int, f *archive.File, fire bool) (*table, error) {
	t := &table{File: f, target: pg.Ident(f.Schema, f.Table.Name.Name), temp: fmt.Sprintf("pg_temp.reaper_restore_%d", n), ord: ordName(f)}
	what := fmt.Sprintf("table %s", t.target)
	if f.Schema == "information_schema" || strings.HasPrefix(f.Schema, "pg_") {
		return nil, fmt.Errorf("%s is PostgreSQL's own, so reaper has not written this segment", what)
	}
	var oid uint32
	err := tx.QueryRow(ctx, tableSQL, f.Schema, f.Table.Name.Name).Scan(&oid)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%s is not there any more; make it again (schema.sql of the segment has it), or use --into SCHEMA", what)
	}
	if err != nil {
		return nil, fmt.Errorf("looking at %s: %w", what, err)
	}
	if err := t.readColumns(ctx, tx, oid); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if err := t.readKey(ctx, tx, oid); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if !fire {
		err = t.refuseFiring(ctx, tx, oid)
	}
	return t, err
}

// ordName is a name that no column of the file has.
func ordName(f *archive.File) string {
	name := "reaper_ord"
	for slices.ContainsFunc(f.Columns, func(c archive.Column) bool { return c.Name == name }) {
		name += "_"
	}
	return name
}

func (t *table) readColumns(ctx context.Context, tx pgx.Tx, oid uint32) error {
	rows, err := tx.Query(ctx, columnsSQL, oid)
	if err != nil {
		return err
	}
	today := map[string]column{}
	var c column
	var generated string
	if _, err := pgx.ForEachRow(rows, []any{&c.name, &c.today, &generated, &c.collate}, func() error {
		if generated == "" {
			today[c.name] = c
		}
		return nil
	}); err != nil {
		return err
	}
	for _, was := range t.Columns {
		c, ok := today[was.Name]
		if !ok {
			return fmt.Errorf("column %s is gone, or generated now, so its values cannot come back; add it again, or use --into SCHEMA", pg.Ident(was.Name))
		}
		t.columns = append(t.columns, c)
	}
	return nil
}

func (t *table) readKey(ctx context.Context, tx pgx.Tx, oid uint32) error {
	if len(t.Key) == 0 {
		return nil
	}
	err := tx.QueryRow(ctx, keySQL, oid, t.Key).Scan(&t.equal)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && len(t.equal) != len(t.Key) {
		return fmt.Errorf("no unique index is over its key (%s) any more, so rows that are there cannot be found; make one, or use --into SCHEMA", pg.List(len(t.Key), func(i int) string { return pg.Ident(t.Key[i]) }))
	}
	for _, name := range t.Key {
		i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
		if i < 0 {
			return fmt.Errorf("the segment has no column %s of its key", pg.Ident(name))
		}
		t.key = append(t.key, t.columns[i])
	}
	return err
}

// FiresError means that triggers or rules would run.
type FiresError struct {
	Table string
	Names []string
}

// Error names them and the remedy.
func (e *FiresError) Error() string {
	return fmt.Sprintf("%s of table %s would run for rows that come back, and could send what was sent before; disable them, or say --triggers fire if that is meant", strings.Join(e.Names, ", "), e.Table)
}

func (t *table) refuseFiring(ctx context.Context, tx pgx.Tx, oid uint32) error {
	bit, event := 4, "3" // INSERT
	if t.Kind == archive.Emptied {
		bit, event = 16, "2" // UPDATE
	}
	rows, err := tx.Query(ctx, firesSQL, oid, bit, event)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(names) > 0 {
		err = &FiresError{t.target, names}
	}
	return err
}

// make makes the temporary table. Its types are those of the copy, if they are still there: what
// does not fit into today's is found then, and named.
func (t *table) make(ctx context.Context, tx pgx.Tx) error {
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TEMPORARY TABLE %s (%s bigint", t.temp, pg.Ident(t.ord))
	for i := range t.columns {
		c := &t.columns[i]
		var err error
		if c.was, err = t.typeOf(ctx, tx, i); err != nil {
			return err
		}
		collate := c.collate
		if c.was != c.today {
			collate = ""
		}
		fmt.Fprintf(&b, ", %s %s %s", pg.Ident(c.name), c.was, collate)
	}
	b.WriteString(") ON COMMIT DROP")
	_, err := tx.Exec(ctx, b.String())
	return err
}

// typeOf is the type that a column had, or the one it has today if there is no such type any more.
func (t *table) typeOf(ctx context.Context, tx pgx.Tx, i int) (string, error) {
	was, today := t.Columns[i].Type, t.columns[i].today
	if was == today {
		return today, nil
	}
	// What to_regtype takes is the name of a type and nothing else, so it may stand in a statement.
	var known bool
	err := pg.Savepoint(ctx, tx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "SELECT pg_catalog.to_regtype($1::text) IS NOT NULL", was).Scan(&known)
	})
	if pg.HasCode(err, "42601", "3F000", "42704", "22023") { // no name of a type, of today's
		err = nil
	}
	if err != nil || !known {
		return today, err
	}
	return was, nil
}

// names lists columns, with a prefix.
func names(prefix string, columns []column) string {
	return pg.List(len(columns), func(i int) string { return prefix + pg.Ident(columns[i].name) })
}

// rowText is the text of a row's columns.
func rowText(prefix string, columns []column) string {
	return "(ROW(" + names(prefix, columns) + ")::text COLLATE pg_catalog.\"C\")"
}

// copiedText is the text of a copied row's columns, as today's types have it.
func copiedText(columns []column) string {
	return "(ROW(" + pg.List(len(columns), func(i int) string { return columns[i].cast() }) + ")::text COLLATE pg_catalog.\"C\")"
}

// cast is a copied value in today's type.
func (c *column) cast() string {
	if c.was == c.today {
		return "r." + pg.Ident(c.name)
	}
	return "r." + pg.Ident(c.name) + "::" + c.today
}

// equal is the condition that two texts of rows are equal.
func equal(a, b string) string { return a + " OPERATOR(pg_catalog.=) " + b }

// same is the condition that x and r have the same key.
func (t *table) same() string {
	return pg.And(len(t.key), func(i int) string {
		k := pg.Ident(t.key[i].name)
		return fmt.Sprintf("x.%s OPERATOR(%s) r.%s", k, t.equal[i], k)
	})
}
