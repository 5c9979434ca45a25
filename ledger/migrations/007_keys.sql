-- Every table has a primary key: a publication FOR ALL TABLES publishes the ledger
-- too, and refuses to update or delete rows that have no replica identity.
--
-- No index holds the key of a tenant, which may be longer than an index can hold.

-- A number, since the tenant may be NULL.
ALTER TABLE {{schema}}.deletion ADD COLUMN n bigint NOT NULL GENERATED ALWAYS AS IDENTITY;
ALTER TABLE {{schema}}.deletion ADD PRIMARY KEY (run_id, policy, n);
DROP INDEX {{schema}}.deletion_run;

ALTER TABLE {{schema}}.cutoff DROP CONSTRAINT cutoff_pkey;
ALTER TABLE {{schema}}.cutoff ADD CONSTRAINT cutoff_pkey PRIMARY KEY USING INDEX cutoff_rank;

-- The views once more: until this version, what they call was looked up in the
-- search_path of whoever created them.
CREATE OR REPLACE VIEW {{schema}}.deletions AS
SELECT run_id, policy, tenant, table_name, sum(rows)::bigint AS rows, sum(rows_nullified)::bigint AS rows_nullified
  FROM (
    SELECT run_id, policy, tenant, table_name, rows, rows_nullified FROM {{schema}}.deletion
    UNION ALL
    SELECT b.run_id, b.policy, b.tenant, r.key, r.value::bigint, 0 FROM {{schema}}.batch b, jsonb_each_text(b.rows) r
    UNION ALL
    SELECT b.run_id, b.policy, b.tenant, r.key, 0, r.value::bigint FROM {{schema}}.batch b, jsonb_each_text(b.nullified) r
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
    SELECT count(*) AS batches, sum((SELECT sum(x.value::bigint) FROM jsonb_each_text(b.rows) x))::bigint AS rows_total
      FROM {{schema}}.batch b WHERE b.run_id = r.run_id AND b.policy = r.policy) b ON true;
