-- One row a policy and run.
CREATE TABLE {{schema}}.run (
  run_id      uuid        NOT NULL,
  policy      text        NOT NULL,
  trigger     text        NOT NULL,
  status      text        NOT NULL DEFAULT 'running'
              CHECK (status IN ('running', 'complete', 'incomplete', 'refused', 'failed')),
  reason      text        NOT NULL DEFAULT '',
  started_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  finished_at timestamptz,
  cutoff_base timestamptz NOT NULL,
  -- A process that does not renew this has died, and its run is closed for it.
  lease_until timestamptz NOT NULL,
  -- A narrowed run is no success of its policy, however it ends.
  success     boolean     NOT NULL DEFAULT false,
  rows_total  bigint      NOT NULL DEFAULT 0,
  batches     bigint      NOT NULL DEFAULT 0,
  wal_bytes   bigint      NOT NULL DEFAULT 0,
  PRIMARY KEY (run_id, policy)
);
CREATE INDEX run_policy_started ON {{schema}}.run (policy, started_at);

-- What each batch of a run deleted, written in the batch's own transaction.
-- Insert-only, so that a long purge updates no row again and again; folded into
-- deletion when the run is closed.
CREATE TABLE {{schema}}.batch (
  run_id    uuid   NOT NULL,
  policy    text   NOT NULL,
  seq       bigint NOT NULL,
  tenant    text,
  rows      jsonb  NOT NULL, -- {"schema.table": deleted}
  nullified jsonb  NOT NULL, -- {"schema.table": set to NULL}
  PRIMARY KEY (run_id, policy, seq),
  FOREIGN KEY (run_id, policy) REFERENCES {{schema}}.run ON DELETE CASCADE
);

-- The sums of closed runs.
CREATE TABLE {{schema}}.deletion (
  run_id         uuid   NOT NULL,
  policy         text   NOT NULL,
  tenant         text,
  table_name     text   NOT NULL,
  rows           bigint NOT NULL,
  rows_nullified bigint NOT NULL,
  FOREIGN KEY (run_id, policy) REFERENCES {{schema}}.run ON DELETE CASCADE
);
CREATE INDEX deletion_run ON {{schema}}.deletion (run_id, policy);

CREATE VIEW {{schema}}.deletions AS
SELECT run_id, policy, tenant, table_name, sum(rows)::bigint AS rows, sum(rows_nullified)::bigint AS rows_nullified
  FROM (
    SELECT run_id, policy, tenant, table_name, rows, rows_nullified FROM {{schema}}.deletion
    UNION ALL
    SELECT b.run_id, b.policy, b.tenant, r.key, r.value::bigint, 0 FROM {{schema}}.batch b, jsonb_each_text(b.rows) r
    UNION ALL
    SELECT b.run_id, b.policy, b.tenant, r.key, 0, r.value::bigint FROM {{schema}}.batch b, jsonb_each_text(b.nullified) r
  ) d
 GROUP BY run_id, policy, tenant, table_name;

CREATE VIEW {{schema}}.runs AS
SELECT r.run_id, r.policy, r.trigger, r.status, r.reason, r.started_at, r.finished_at, r.cutoff_base,
       r.rows_total + coalesce(b.rows_total, 0) AS rows_total, r.batches + coalesce(b.batches, 0) AS batches, r.wal_bytes
  FROM {{schema}}.run r
  LEFT JOIN LATERAL (
    SELECT count(*) AS batches, sum((SELECT sum(x.value::bigint) FROM jsonb_each_text(b.rows) x))::bigint AS rows_total
      FROM {{schema}}.batch b WHERE b.run_id = r.run_id AND b.policy = r.policy) b ON true;
