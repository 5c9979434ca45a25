-- The whole policy as one statement in one transaction; ON DELETE CASCADE does
-- the rest. '{{base}}' is the time that retentions count from.
DELETE FROM outgoing_emails e USING domains d, organizations o
 WHERE d.id = e.domain_id AND o.id = d.organization_id
   AND e.created_at < '{{base}}'::timestamptz - make_interval(days => o.retention_days);
