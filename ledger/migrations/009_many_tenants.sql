-- A batch may hold rows of many tenants. Its counts are arrays then: tables, tenants, and
-- for each tenant in turn the rows deleted from each table, and those emptied in it. tenant
-- is NULL, rows and nullified are empty. A row for each tenant and table would write six
-- times as much WAL.
ALTER TABLE {{schema}}.batch ADD COLUMN tables text[], ADD COLUMN tenants text[], ADD COLUMN deleted bigint[], ADD COLUMN emptied bigint[];

CREATE OR REPLACE VIEW {{schema}}.deletions AS
SELECT run_id, policy, tenant, table_name, sum(rows)::bigint AS rows, sum(rows_nullified)::bigint AS rows_nullified
  FROM (
    SELECT run_id, policy, tenant, table_name, rows, rows_nullified FROM {{schema}}.deletion
    UNION ALL
    SELECT b.run_id, b.policy, b.tenant, r.key, r.value::bigint, 0 FROM {{schema}}.batch b, jsonb_each_text(b.rows) r
    UNION ALL
    SELECT b.run_id, b.policy, b.tenant, r.key, 0, r.value::bigint FROM {{schema}}.batch b, jsonb_each_text(b.nullified) r
    UNION ALL
    SELECT b.run_id, b.policy, b.tenants[(c.n - 1) / cardinality(b.tables) + 1], b.tables[(c.n - 1) % cardinality(b.tables) + 1], c.deleted, c.emptied
      FROM {{schema}}.batch b, ROWS FROM (unnest(b.deleted), unnest(b.emptied)) WITH ORDINALITY c(deleted, emptied, n)
     WHERE c.deleted > 0 OR c.emptied > 0
  ) d
 GROUP BY run_id, policy, tenant, table_name;

CREATE OR REPLACE VIEW {{schema}}.runs AS
SELECT r.run_id, r.policy, r.trigger, r.status,
       coalesce((SELECT t.state || ' by the guard ' || t.guard || ': ' || t.reason FROM {{schema}}.throttle t
                  WHERE r.status = 'running' AND t.run_id = r.run_id AND t.policy = r.policy AND t.ended_at IS NULL
                  ORDER BY t.began_at DESC LIMIT 1), r.reason) AS reason,
       r.started_at, r.finished_at, r.cutoff_base,
       r.rows_total + coalesce(b.rows_total, 0) AS rows_total, r.batches + coalesce(b.batches, 0) AS batches, r.wal_bytes
  FROM {{schema}}.run r
  LEFT JOIN LATERAL (
    SELECT count(*) AS batches, sum(coalesce((SELECT sum(x.value::bigint) FROM jsonb_each_text(b.rows) x), 0) + coalesce((SELECT sum(x) FROM unnest(b.deleted) x), 0))::bigint AS rows_total
      FROM {{schema}}.batch b WHERE b.run_id = r.run_id AND b.policy = r.policy) b ON true;
