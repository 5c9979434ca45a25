-- The loop that is passed around for batches: 1000 rows by ctid and a COMMIT
-- each, until none is found; ON DELETE CASCADE does the rest. '{{base}}' is the
-- time that retentions count from.
DO $$
DECLARE
    n bigint;
BEGIN
    LOOP
        DELETE FROM outgoing_emails WHERE ctid = ANY (ARRAY(
            SELECT e.ctid
              FROM outgoing_emails e JOIN domains d ON d.id = e.domain_id JOIN organizations o ON o.id = d.organization_id
             WHERE e.created_at < '{{base}}'::timestamptz - make_interval(days => o.retention_days)
             LIMIT 1000));
        GET DIAGNOSTICS n = ROW_COUNT;
        EXIT WHEN n = 0;
        COMMIT;
    END LOOP;
END
$$;
