-- Fills schema.sql with {{n}} mails (a whole number takes the place of the
-- braces) spread over the last 60 days, about 12 rows each: 50 organizations,
-- of which every tenth keeps its mails for 90 days, every third other for 7,
-- and the rest for 30.
--
-- It may run in one transaction, so VACUUM ANALYZE is left to the caller, to
-- be run by itself afterwards.

INSERT INTO organizations (id, name, retention_days)
SELECT g, 'org' || g, CASE WHEN g % 10 = 0 THEN 90 WHEN g % 3 = 0 THEN 7 ELSE 30 END
  FROM generate_series(1, 50) AS g;

INSERT INTO domains (id, organization_id, name)
SELECT g, 1 + g % 50, 'd' || g || '.test'
  FROM generate_series(1, 100) AS g;

INSERT INTO outgoing_emails (domain_id, created_at, subject, html_body)
SELECT 1 + (hashint4(g) & 2147483647) % 100,
       now() - interval '60 days' + (g::float / {{n}}) * interval '60 days',
       'subject ' || g,
       repeat(md5(g::text), 20)
  FROM generate_series(1, {{n}}) AS g;

-- Every fourth mail has a second recipient.
INSERT INTO recipients (outgoing_email_id, address)
SELECT id, 'u' || id || '@x.test' FROM outgoing_emails;
INSERT INTO recipients (outgoing_email_id, address)
SELECT id, 'v' || id || '@x.test' FROM outgoing_emails WHERE id % 4 = 0;

INSERT INTO deliveries (recipient_id, status, at)
SELECT id, 'sent', now() FROM recipients;

INSERT INTO responses (delivery_id, code, line)
SELECT id, 250, '2.0.0 OK queued as ' || id FROM deliveries;

INSERT INTO attachments (outgoing_email_id, name, content)
SELECT id, 'a.pdf', decode(repeat(md5(id::text), 30), 'hex') FROM outgoing_emails WHERE id % 5 = 0;

INSERT INTO headers (outgoing_email_id, k, v)
SELECT id, k, 'value ' || id FROM outgoing_emails, unnest(ARRAY['From', 'Message-Id']) AS k;

INSERT INTO opens (outgoing_email_id, at, ua)
SELECT id, created_at, 'Mozilla/5.0' FROM outgoing_emails WHERE id % 2 = 0;

INSERT INTO clicks (outgoing_email_id, at, url)
SELECT id, created_at, 'https://x.test/' || id FROM outgoing_emails WHERE id % 4 = 0;

INSERT INTO bounces (outgoing_email_id, at, reason)
SELECT id, created_at, 'full' FROM outgoing_emails WHERE id % 50 = 0;

INSERT INTO tags (outgoing_email_id, tag)
SELECT id, 'welcome' FROM outgoing_emails;

INSERT INTO webhook_events (outgoing_email_id, kind, payload)
SELECT id, 'delivered', '{"a": 1}' FROM outgoing_emails;
