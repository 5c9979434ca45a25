package main

import (
	"context"

	"github.com/reaperdb/reaper/internal/lab"
)

// settleSQL ages by two hours what would become due within the next hour, so that the same
// rows are due in every run of the replay.
const settleSQL = `UPDATE outgoing_emails e SET created_at = e.created_at - interval '2 hours'
  FROM domains d JOIN organizations o ON o.id = d.organization_id
 WHERE d.id = e.domain_id
   AND e.created_at >= now() - make_interval(days => o.retention_days)
   AND e.created_at < now() - make_interval(days => o.retention_days) + interval '1 hour'`

const dueSQL = `SELECT count(*)
  FROM outgoing_emails e JOIN domains d ON d.id = e.domain_id JOIN organizations o ON o.id = d.organization_id
 WHERE e.created_at < now() - make_interval(days => o.retention_days)`

// fill creates the demo's mail workload and records what is not due.
func (r *replay) fill(ctx context.Context, s *stage) error {
	if err := lab.Execute(ctx, s.server.DSN("postgres"), "CREATE DATABASE "+database); err != nil {
		return err
	}
	scripts, err := r.Mail(r.mails)
	if err != nil {
		return err
	}
	if err := lab.Execute(ctx, s.dsn(), append(scripts, settleSQL, "VACUUM ANALYZE", "CHECKPOINT")...); err != nil {
		return err
	}
	if s.dueMails, err = lab.Ask[int64](ctx, s.dsn(), dueSQL); err != nil {
		return err
	}
	s.staying, err = staying(ctx, s.dsn())
	return err
}
