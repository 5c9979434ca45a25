package starter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/schema"
)

const (
	// sampled is the number of rows in a sample.
	sampled = 200
	// inOrderFrom is the correlation of position and age from which rows count as written in
	// order of their age.
	inOrderFrom = 0.9
	// youngerDays is how much younger rows must be than the row they reference for that to
	// count as still in use.
	youngerDays = 90
)

func quoted(column string) string { return pgx.Identifier{column}.Sanitize() }

// unreadable reports whether rows could not be sampled: no privilege, row-level security, a
// lock or a timeout. Then nothing is known about them.
func unreadable(err error) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (strings.HasPrefix(pgErr.Code, "42") || pgErr.Code == "55P03" || pgErr.Code == "57014" || strings.HasPrefix(pgErr.Code, "22"))
}

// unit returns the unit of an integer age, judged by its values, or "" if it is not a time
// since 1970. Without values it returns the likelier unit; check verifies it later.
func (r *reader) unit(ctx context.Context, t *schema.Table, age schema.Column) (string, error) {
	likely := "ms"
	if age.TypeName == "int4" {
		likely = "s"
	}
	var most *int64
	err := r.q.QueryRow(ctx, fmt.Sprintf("SELECT max(x)::bigint FROM (SELECT %[1]s AS x FROM %[2]s WHERE %[1]s > 0 LIMIT %[3]d) s", quoted(age.Name), t.Name.SQL(), sampled)).Scan(&most)
	if err != nil && unreadable(err) || err == nil && most == nil {
		return likely, nil
	}
	if err != nil {
		return "", err
	}
	const from, to = 631_152_000, 4_133_980_800 // 1990 and 2101, in seconds
	for _, u := range []struct {
		name   string
		factor int64
	}{{"s", 1}, {"ms", 1_000}, {"us", 1_000_000}} {
		if *most >= from*u.factor && *most < to*u.factor {
			return u.name, nil
		}
	}
	return "", nil
}

// inOrder reports whether the planner's statistics show rows stored in order of age: then
// they are appended and hardly ever updated.
func (r *reader) inOrder(ctx context.Context, t *schema.Table, age schema.Column) (bool, error) {
	var correlation *float64
	err := r.q.QueryRow(ctx, `SELECT max(correlation)::float8 FROM pg_stats WHERE schemaname = $1 AND tablename = $2 AND attname = $3`,
		t.Name.Schema, t.Name.Name, age.Name).Scan(&correlation)
	return correlation != nil && *correlation >= inOrderFrom, err
}

// younger says why rows that reference the root are not part of it: they come long after
// it. It samples the newest rows if an index provides them.
func (r *reader) younger(ctx context.Context, root Root, k schema.ForeignKey) (string, error) {
	child := r.graph.Tables[k.Child]
	age, ok := ageOf(child, unknown)
	if !ok || isInteger(age) || isInteger(root.Age) || child.Bytes == 0 || root.Table.Bytes == 0 {
		return "", nil
	}
	var pairs []string
	for i := range k.ChildColumns {
		pairs = append(pairs, fmt.Sprintf("p.%s = c.%s", quoted(k.ParentColumns[i]), quoted(k.ChildColumns[i])))
	}
	order := ""
	if indexedAge(child, age.Name) {
		order = fmt.Sprintf("ORDER BY %s DESC NULLS LAST ", quoted(age.Name))
	} else if key := primaryKey(child); len(key) == 1 {
		order = fmt.Sprintf("ORDER BY %s DESC ", quoted(key[0]))
	}
	var rows int
	var later *float64
	var days *int
	err := r.q.QueryRow(ctx, fmt.Sprintf(`SELECT count(*)::int, (avg((d > %d)::int))::float8, percentile_disc(0.5) WITHIN GROUP (ORDER BY d)::int
  FROM (SELECT extract(epoch FROM c.%s::timestamp - p.%s::timestamp) / 86400 AS d
          FROM (SELECT * FROM %s %sLIMIT %d) c JOIN %s p ON %s
         WHERE isfinite(c.%[2]s) AND isfinite(p.%[3]s)) s`,
		youngerDays, quoted(age.Name), quoted(root.Age.Name), child.Name.SQL(), order, sampled, root.Table.Name.SQL(), strings.Join(pairs, " AND "))).Scan(&rows, &later, &days)
	if err != nil && unreadable(err) {
		return "", nil
	}
	if err != nil || rows == 0 || later == nil || *later < 0.5 {
		return "", err
	}
	return fmt.Sprintf("still in use: the newest rows of %s came %d days after the row that they reference", text(child.Name.String()), *days), nil
}
