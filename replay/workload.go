package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// settleSQL makes older by two hours what would become due within the next: so
// what is due is the same for every run of the replay.
const settleSQL = `UPDATE outgoing_emails e SET created_at = e.created_at - interval '2 hours'
  FROM domains d JOIN organizations o ON o.id = d.organization_id
 WHERE d.id = e.domain_id
   AND e.created_at >= now() - make_interval(days => o.retention_days)
   AND e.created_at < now() - make_interval(days => o.retention_days) + interval '1 hour'`

const dueSQL = `SELECT count(*)
  FROM outgoing_emails e JOIN domains d ON d.id = e.domain_id JOIN organizations o ON o.id = d.organization_id
 WHERE e.created_at < now() - make_interval(days => o.retention_days)`

// fill makes the mail workload of the demo, and notes what of it is to stay.
func (r *replay) fill(ctx context.Context, s *stage) error {
	if err := execute(ctx, s.server.DSN("postgres"), "CREATE DATABASE "+database); err != nil {
		return err
	}
	var scripts []string
	for _, file := range []string{"schema.sql", "fill.sql"} {
		sql, err := os.ReadFile(filepath.Join(r.root, "demo", "mail", file))
		if err != nil {
			return fmt.Errorf("reading the workload: %w", err)
		}
		scripts = append(scripts, strings.ReplaceAll(string(sql), "{{n}}", strconv.Itoa(r.mails)))
	}
	if err := execute(ctx, s.dsn(), append(scripts, settleSQL, "VACUUM ANALYZE", "CHECKPOINT")...); err != nil {
		return err
	}
	var err error
	if s.dueMails, err = ask[int64](ctx, s.dsn(), dueSQL); err != nil {
		return err
	}
	s.staying, err = staying(ctx, s.dsn())
	return err
}
