-- What an application does on the mail workload while its old rows go: it
-- writes a mail with some dependents for some domain, and reads one by its key,
-- with whose it is. Run by pgbench, which knows :mails.
\set domain random(1, 100)
\set mail random(1, :mails)
BEGIN;
INSERT INTO outgoing_emails (domain_id, created_at, subject, html_body)
VALUES (:domain, now(), 'subject', repeat('body ', 128)) RETURNING id AS written \gset
INSERT INTO recipients (outgoing_email_id, address) VALUES (:written, 'u@x.test') RETURNING id AS recipient \gset
INSERT INTO deliveries (recipient_id, status, at) VALUES (:recipient, 'sent', now());
INSERT INTO headers (outgoing_email_id, k, v) VALUES (:written, 'From', 'value'), (:written, 'Message-Id', 'value');
INSERT INTO tags (outgoing_email_id, tag) VALUES (:written, 'welcome');
COMMIT;
SELECT e.subject, e.html_body, o.name
  FROM outgoing_emails e JOIN domains d ON d.id = e.domain_id JOIN organizations o ON o.id = d.organization_id
 WHERE e.id = :mail;
