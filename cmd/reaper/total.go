package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

// withThem names the rows that go with the roots; empty: none do.
func withThem(t preview.Total) string {
	if t.Rows == 0 {
		return ""
	}
	return ", and " + many(t.Rows, "row", "rows") + " of " + many(int64(len(t.Tables)), "table", "tables") + " with them"
}

// totalText is what is due under several policies together; empty: there is one policy.
func totalText(views []*preview.Preview) string {
	if len(views) < 2 {
		return ""
	}
	total := preview.TotalOf(views...)
	return many(int64(len(views)), "policy", "policies") + ": " + many(total.Roots, "expired row", "expired rows") + withThem(total)
}

// deletedText is what a run of several policies has deleted; empty: there is one policy, or nothing.
func deletedText(r *purge.Report) string {
	var rows int64
	tables := map[string]bool{}
	for _, p := range r.Policies {
		rows += p.RowsTotal
		for name := range p.Rows {
			tables[name] = true
		}
	}
	if len(r.Policies) < 2 || rows == 0 {
		return ""
	}
	return ", " + many(rows, "row", "rows") + " of " + many(int64(len(tables)), "table", "tables") + " deleted"
}

// database names the database and its server: "helpdesk on db.internal:5432".
func (s *session) database(ctx context.Context) (name string, err error) {
	err = s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		config := c.Conn().Config()
		name = visible.Text(cmp.Or(config.Database, config.User) + " on " + pg.Address(config, c.Conn().PgConn().Conn().RemoteAddr()))
		return nil
	})
	return name, err
}

// deleteQuestion asks whether to delete what is due in a database; most limits the roots, unless it
// is 0.
func deleteQuestion(due, most int64, database string, changed bool) string {
	const roots = " (and what depends on them)"
	text := fmt.Sprintf("Delete %s%s in %s", many(due, "root row", "root rows"), roots, database)
	switch {
	case due == 0:
		text = fmt.Sprintf("Nothing is due in %s now. Go on", database)
	case most > 0 && most < due:
		text = fmt.Sprintf("Delete up to %s%s of %s due in %s", many(most, "root row", "root rows"), roots, humanize.Comma(due), database)
	}
	if changed {
		text += ", as changed"
	}
	return text + "?"
}
