-- What one writes by hand for NO ACTION keys: remember what is due, then delete
-- from the leaves up, all in one transaction. '{{base}}' is the time that
-- retentions count from.
BEGIN;

CREATE TEMPORARY TABLE due ON COMMIT DROP AS
SELECT e.id
  FROM outgoing_emails e JOIN domains d ON d.id = e.domain_id JOIN organizations o ON o.id = d.organization_id
 WHERE e.created_at < '{{base}}'::timestamptz - make_interval(days => o.retention_days);
ANALYZE due;

DELETE FROM responses x USING deliveries d, recipients r, due
 WHERE x.delivery_id = d.id AND d.recipient_id = r.id AND r.outgoing_email_id = due.id;
DELETE FROM deliveries x USING recipients r, due
 WHERE x.recipient_id = r.id AND r.outgoing_email_id = due.id;
DELETE FROM recipients x USING due WHERE x.outgoing_email_id = due.id;
DELETE FROM attachments x USING due WHERE x.outgoing_email_id = due.id;
DELETE FROM headers x USING due WHERE x.outgoing_email_id = due.id;
DELETE FROM opens x USING due WHERE x.outgoing_email_id = due.id;
DELETE FROM clicks x USING due WHERE x.outgoing_email_id = due.id;
DELETE FROM bounces x USING due WHERE x.outgoing_email_id = due.id;
DELETE FROM tags x USING due WHERE x.outgoing_email_id = due.id;
DELETE FROM webhook_events x USING due WHERE x.outgoing_email_id = due.id;
DELETE FROM outgoing_emails x USING due WHERE x.id = due.id;

COMMIT;
