package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

// The databases to copy: the mail workload of demo/mail, and the same with NO ACTION keys.
const (
	cascading = "mail"
	noAction  = "mail_no_action"
)

// workload is the filled mail workload.
type workload struct {
	mails  int
	before map[string]content
}

// fill creates the database with the demo's mail workload.
func (b *bench) fill(ctx context.Context, mails int) (load workload, err error) {
	scripts, err := b.Mail(mails)
	if err != nil {
		return load, err
	}
	if err := b.create(ctx, cascading, fmt.Sprintf("%d mails", mails), scripts...); err != nil {
		return load, err
	}
	before, err := contents(ctx, b.server.DSN(cascading))
	return workload{mails: mails, before: before}, err
}

// fillNoAction creates its twin with NO ACTION keys.
func (b *bench) fillNoAction(ctx context.Context) error {
	sql, err := b.Script("no-action.sql")
	if err != nil {
		return err
	}
	return b.variant(ctx, noAction, sql)
}

// stayingSQL selects the mails that are not due when retentions count from $1. Ids above $2 are
// not from the fill.
const stayingSQL = `WITH staying AS MATERIALIZED (
	SELECT e.id FROM outgoing_emails e JOIN domains d ON d.id = e.domain_id JOIN organizations o ON o.id = d.organization_id
	WHERE e.id <= $2 AND NOT e.created_at < $1::text::timestamptz - make_interval(days => o.retention_days)
)`

// staying reads what plain SQL would leave of the fill's rows when retentions count from base:
// every table, dependents by their mail.
func staying(ctx context.Context, dsn, base string, mails int) (map[string]content, error) {
	from := map[string]string{
		"organizations":   "organizations x",
		"domains":         "domains x",
		"outgoing_emails": "outgoing_emails x JOIN staying s ON s.id = x.id",
		"deliveries":      "deliveries x JOIN recipients r ON r.id = x.recipient_id JOIN staying s ON s.id = r.outgoing_email_id",
		"responses":       "responses x JOIN deliveries d ON d.id = x.delivery_id JOIN recipients r ON r.id = d.recipient_id JOIN staying s ON s.id = r.outgoing_email_id",
	}
	for _, t := range []string{"recipients", "attachments", "headers", "opens", "clicks", "bounces", "tags", "webhook_events"} {
		from[t] = t + " x JOIN staying s ON s.id = x.outgoing_email_id"
	}
	var selects []string
	for t, f := range from {
		selects = append(selects, fmt.Sprintf("SELECT '%s', count(*), coalesce(sum(x.id), 0)::text FROM %s", t, f))
	}
	all := map[string]content{}
	err := lab.OnDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, stayingSQL+strings.Join(selects, " UNION ALL "), base, mails)
		if err != nil {
			return err
		}
		var t string
		var c content
		_, err = pgx.ForEachRow(rows, []any{&t, &c.rows, &c.ids}, func() error {
			all[t] = c
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading what should stay: %w", err)
	}
	return all, nil
}
