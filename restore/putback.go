package restore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
)

// done is what one transaction did.
type done struct {
	restored, present, references, changed int64 // the first two count roots
	rows                                   map[string]int64
}

// putBack puts the rows of the temporary tables back.
func (l *loaded) putBack(ctx context.Context, part []int32) (*done, error) {
	d := &done{rows: map[string]int64{}}
	if l.Into == "" {
		if !l.Fire {
			if err := l.refuseLossy(ctx); err != nil {
				return nil, err
			}
		}
		if err := l.refuseDifferent(ctx); err != nil {
			return nil, err
		}
		if err := l.forgetPresent(ctx, d); err != nil {
			return nil, err
		}
	}
	if err := l.countRoots(ctx, part, d); err != nil {
		return nil, err
	}
	// The session's own search_path: triggers, defaults and checks of the user's may need it. All
	// names of ours are qualified.
	if err := pg.ExecAll(ctx, l.tx, "SET LOCAL search_path TO DEFAULT"); err != nil {
		return nil, err
	}
	if err := l.insert(ctx, d); err != nil {
		return nil, err
	}
	if err := l.refer(ctx, d); err != nil {
		return nil, err
	}
	if err := pg.ExecAll(ctx, l.tx, "SET CONSTRAINTS ALL IMMEDIATE", "SET LOCAL search_path TO pg_catalog"); err != nil {
		return nil, err
	}
	return d, l.hold(ctx, d)
}

// groupsOf are the groups of rows, each once.
func (l *loaded) groupsOf(ids []int32) []int32 {
	var found []int32
	for _, id := range ids {
		found = append(found, l.groups.of[id])
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// refuseDifferent refuses groups of which a row is there and different.
func (l *loaded) refuseDifferent(ctx context.Context) error {
	for i, t := range l.tables {
		if t.Kind != archive.Deleted || t.key == nil {
			continue
		}
		ids, err := l.ids(ctx, i, fmt.Sprintf("SELECT r.%s FROM %s r JOIN %s x ON %s WHERE %s <> %s", pg.Ident(t.ord), t.temp, t.target, t.same(), rowText("x.", t.columns), copiedText(t.columns)))
		if err != nil {
			return fmt.Errorf("comparing rows of %s: %w", t.target, err)
		}
		if len(ids) > 0 {
			return &refusal{l.groupsOf(ids), "a row of " + t.target + " with the same key is there, and different"}
		}
	}
	return nil
}

// forgetPresent takes rows that are there and the same out of the temporary tables, and references
// that are set, or that are no longer what the deletion left.
func (l *loaded) forgetPresent(ctx context.Context, d *done) error {
	for _, t := range l.tables {
		var sql string
		switch {
		case t.Kind == archive.Emptied:
			if err := l.forgetReferences(ctx, t, d); err != nil {
				return err
			}
			continue
		case t.key != nil:
			sql = fmt.Sprintf("DELETE FROM %s r USING %s x WHERE %s", t.temp, t.target, t.same())
		default: // as many as there are equal ones
			sql = fmt.Sprintf(`WITH n AS (SELECT r.%[1]s AS ord, %[2]s AS row, pg_catalog.row_number() OVER (PARTITION BY %[2]s ORDER BY r.%[1]s) AS nth FROM %[3]s r),
				there AS (SELECT %[4]s AS row, pg_catalog.count(*) AS n FROM %[5]s x WHERE %[4]s IN (SELECT n.row FROM n) GROUP BY 1)
				DELETE FROM %[3]s r USING n, there WHERE n.ord = r.%[1]s AND there.row = n.row AND n.nth <= there.n`,
				pg.Ident(t.ord), copiedText(t.columns), t.temp, rowText("x.", t.columns), t.target)
		}
		if _, err := l.tx.Exec(ctx, sql); err != nil {
			return fmt.Errorf("looking for rows of %s that are there: %w", t.target, err)
		}
	}
	return nil
}

// emptied are the columns of a reference, and the text of what the deletion left in them.
func (t *table) emptied() (columns []column, left string) {
	var values []string
	for _, e := range t.Emptied {
		i := slices.IndexFunc(t.columns, func(c column) bool { return c.name == e.Column })
		if i < 0 {
			continue // newTable has seen all columns; a manifest that names others was not written by reaper
		}
		columns = append(columns, t.columns[i])
		value := "NULL"
		if e.Value != nil {
			value = pg.Literal(*e.Value)
		}
		values = append(values, value+"::"+t.columns[i].today)
	}
	return columns, "(ROW(" + strings.Join(values, ", ") + ")::text COLLATE pg_catalog.\"C\")"
}

func (l *loaded) forgetReferences(ctx context.Context, t *table, d *done) error {
	columns, left := t.emptied()
	// Set already: nothing is to be done, and nothing is said.
	if _, err := l.tx.Exec(ctx, fmt.Sprintf("DELETE FROM %s r USING %s x WHERE %s AND %s", t.temp, t.target, t.same(), equal(rowText("x.", columns), copiedText(columns)))); err != nil {
		return fmt.Errorf("comparing references of %s: %w", t.target, err)
	}
	tag, err := l.tx.Exec(ctx, fmt.Sprintf("DELETE FROM %s r WHERE NOT EXISTS (SELECT FROM %s x WHERE %s AND %s)", t.temp, t.target, t.same(), equal(rowText("x.", columns), left)))
	if err != nil {
		return fmt.Errorf("comparing references of %s: %w", t.target, err)
	}
	d.changed += tag.RowsAffected()
	return nil
}

// countRoots counts the roots of groups of which something comes back, and the others.
func (l *loaded) countRoots(ctx context.Context, part []int32, d *done) error {
	some := map[int32]bool{}
	for i, t := range l.tables {
		ids, err := l.ids(ctx, i, "SELECT r."+pg.Ident(t.ord)+" FROM "+t.temp+" r")
		if err != nil {
			return err
		}
		for _, g := range l.groupsOf(ids) {
			some[g] = true
		}
	}
	for _, g := range part {
		if n := int64(len(l.groups.roots[g])); some[g] {
			d.restored += n
		} else {
			d.present += n
		}
	}
	return nil
}

// insert inserts the rows of all tables in one statement: PostgreSQL checks foreign keys at its end,
// so neither order nor cycles matter.
func (l *loaded) insert(ctx context.Context, d *done) error {
	var with, counts []string
	var into []*table
	for i, t := range l.tables {
		if t.Kind != archive.Deleted && l.Into == "" {
			continue
		}
		overriding := ""
		if l.Into == "" {
			overriding = " OVERRIDING SYSTEM VALUE"
		}
		with = append(with, fmt.Sprintf("i%d AS (INSERT INTO %s (%s)%s SELECT %s FROM %s r ORDER BY r.%s RETURNING 1)",
			i, t.target, names("", t.columns), overriding, names("r.", t.columns), t.temp, pg.Ident(t.ord)))
		counts = append(counts, fmt.Sprintf("(SELECT pg_catalog.count(*) FROM i%d)", i))
		into = append(into, t)
	}
	if len(into) == 0 {
		return nil
	}
	n := make([]int64, len(into))
	if err := l.tx.QueryRow(ctx, "WITH "+strings.Join(with, ",\n")+"\nSELECT "+strings.Join(counts, ", ")).Scan(pg.Pointers(n)...); err != nil {
		return err
	}
	for i, t := range into {
		if n[i] > 0 {
			d.rows[t.Schema+"."+t.File.Table.Name.Name] += n[i]
		}
	}
	return nil
}

// refer sets emptied references again.
func (l *loaded) refer(ctx context.Context, d *done) error {
	for _, t := range l.tables {
		if t.Kind != archive.Emptied || l.Into != "" {
			continue
		}
		columns, left := t.emptied()
		tag, err := l.tx.Exec(ctx, fmt.Sprintf("UPDATE %s x SET %s FROM %s r WHERE %s AND %s", t.target,
			pg.List(len(columns), func(i int) string { return pg.Ident(columns[i].name) + " = r." + pg.Ident(columns[i].name) }),
			t.temp, t.same(), equal(rowText("x.", columns), left)))
		if err != nil {
			return err
		}
		d.references += tag.RowsAffected()
	}
	return nil
}

// refuseLossy refuses groups of which a value does not fit into today's type as it was.
func (l *loaded) refuseLossy(ctx context.Context) error {
	for i, t := range l.tables {
		lossy, changed := "", []string{}
		for _, c := range t.columns {
			if c.was != c.today {
				v := pg.Ident(c.name)
				changed = append(changed, v+" ("+c.was+", now "+c.today+")")
				lossy += fmt.Sprintf(" OR ROW(r.%s)::text <> ROW(%s::%s)::text", v, c.cast(), c.was)
			}
		}
		if lossy == "" {
			continue
		}
		ids, err := l.ids(ctx, i, fmt.Sprintf("SELECT r.%s FROM %s r WHERE false%s", pg.Ident(t.ord), t.temp, lossy))
		if err != nil {
			return fmt.Errorf("comparing values of %s: %w", t.target, err)
		}
		if len(ids) > 0 {
			return &refusal{l.groupsOf(ids), "a row of " + t.target + " would come out other than it went, since the type of a column has changed: column " + strings.Join(changed, ", ")}
		}
	}
	return nil
}

// hold has holds made for what came back.
func (l *loaded) hold(ctx context.Context, d *done) error {
	if l.Into != "" {
		return nil
	}
	for _, h := range l.Holds {
		keys, err := l.keysToHold(ctx, h, d)
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			continue
		}
		if err := h.Hold(ctx, l.tx, keys); err != nil {
			return fmt.Errorf("holding what came back: %w", err)
		}
	}
	return nil
}

// keysToHold are those of what came back to a table; of a piece, its root's, too, wherever that is.
func (l *loaded) keysToHold(ctx context.Context, h Holds, d *done) (keys [][]string, err error) {
	if at := l.file(h.Table, archive.Deleted, nil); at >= 0 {
		rows, err := l.tx.Query(ctx, fmt.Sprintf("SELECT ARRAY[%s] FROM %s r", pg.List(len(h.Columns), func(i int) string { return "r." + pg.Ident(h.Columns[i]) + "::text" }), l.tables[at].temp))
		if err != nil {
			return nil, err
		}
		if keys, err = pgx.CollectRows(rows, pgx.RowTo[[]string]); err != nil {
			return nil, err
		}
	}
	if l.from.Piece != nil && len(d.rows) > 0 && l.from.Root == h.Table && slices.Equal(l.from.RootKey, h.Columns) {
		keys = append(keys, l.from.Piece)
	}
	return keys, nil
}
