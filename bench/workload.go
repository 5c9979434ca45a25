package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

// The databases that copies are made of: the mail workload as demo/mail has
// it, and with NO ACTION keys.
const (
	cascading = "mail"
	noAction  = "mail_no_action"
)

// workload is the mail workload, filled.
type workload struct {
	mails  int
	before map[string]content
}

// fill makes the database with the mail workload of the demo.
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

// fillNoAction makes its twin, whose keys let nothing go by itself.
func (b *bench) fillNoAction(ctx context.Context) error {
	sql, err := b.Script("no-action.sql")
	if err != nil {
		return err
	}
	return b.variant(ctx, noAction, sql)
}

// stayingSQL reads the mails that are not due, when retentions count from $1. Ids
// above $2 were not made by the fill.
const stayingSQL = `WITH staying AS MATERIALIZED (
	SELECT e.id FROM outgoing_emails e JOIN domains d ON d.id = e.domain_id JOIN organizations o ON o.id = d.organization_id
	WHERE e.id <= $2 AND NOT e.created_at < $1::text::timestamptz - make_interval(days => o.retention_days)
)`

// staying reads what plain SQL would leave of the rows that the fill made, when
// retentions count from base: every table, a dependent by its mail.
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
