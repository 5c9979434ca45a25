package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

// content is what a table holds of the rows that the fill inserted.
type content struct {
	rows int64
	ids  string // their sum
	last int64  // the largest id of the fill; the writer's are larger
}

// stayingSQL selects the mails that are not due.
const stayingSQL = `WITH staying AS MATERIALIZED (
	SELECT e.id FROM outgoing_emails e JOIN domains d ON d.id = e.domain_id JOIN organizations o ON o.id = d.organization_id
	WHERE NOT e.created_at < now() - make_interval(days => o.retention_days)
)`

// holders maps each table to the joins that lead from its rows to the staying mails.
var holders = map[string]string{
	"organizations":   "",
	"domains":         "",
	"outgoing_emails": "JOIN staying s ON s.id = x.id",
	"deliveries":      "JOIN recipients r ON r.id = x.recipient_id JOIN staying s ON s.id = r.outgoing_email_id",
	"responses":       "JOIN deliveries d ON d.id = x.delivery_id JOIN recipients r ON r.id = d.recipient_id JOIN staying s ON s.id = r.outgoing_email_id",
	"recipients":      joinMail, "attachments": joinMail, "headers": joinMail, "opens": joinMail, "clicks": joinMail, "bounces": joinMail, "tags": joinMail, "webhook_events": joinMail,
}

const joinMail = "JOIN staying s ON s.id = x.outgoing_email_id"

// staying reads, before anything is deleted, what plain SQL would leave.
func staying(ctx context.Context, dsn string) (map[string]content, error) {
	var selects []string
	for t, join := range holders {
		selects = append(selects, fmt.Sprintf("SELECT '%s', count(*), coalesce(sum(x.id), 0)::text, (SELECT max(id) FROM %s) FROM %s x %s", t, t, t, join))
	}
	return contents(ctx, dsn, stayingSQL+strings.Join(selects, " UNION ALL "))
}

// remaining reads what is left of the rows that the fill inserted.
func remaining(ctx context.Context, dsn string, fill map[string]content) (map[string]content, error) {
	var selects []string
	for t, c := range fill {
		selects = append(selects, fmt.Sprintf("SELECT '%s', count(*), coalesce(sum(id), 0)::text, %d::bigint FROM %s WHERE id <= %d", t, c.last, t, c.last))
	}
	return contents(ctx, dsn, strings.Join(selects, " UNION ALL "))
}

func contents(ctx context.Context, dsn, sql string) (map[string]content, error) {
	all := map[string]content{}
	err := lab.OnDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, sql)
		if err != nil {
			return err
		}
		var t string
		var c content
		_, err = pgx.ForEachRow(rows, []any{&t, &c.rows, &c.ids, &c.last}, func() error {
			all[t] = c
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the tables' contents: %w", err)
	}
	return all, nil
}

// difference names the tables with unexpected contents; empty if there are none.
func difference(want, got map[string]content) string {
	var found []string
	for t := range want {
		if want[t] != got[t] {
			found = append(found, fmt.Sprintf("%s has %d rows of the fill, plain SQL would leave %d", t, got[t].rows, want[t].rows))
		}
	}
	slices.Sort(found)
	return strings.Join(found, "; ")
}
