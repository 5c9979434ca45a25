-- What the guards made of each run: when it was slowed down or paused, or why it
-- was stopped.
CREATE TABLE {{schema}}.throttle (
  run_id   uuid        NOT NULL,
  policy   text        NOT NULL,
  began_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz,          -- NULL: it lasts
  state    text        NOT NULL CHECK (state IN ('slow', 'pause', 'stop')),
  guard    text        NOT NULL,
  reason   text        NOT NULL,
  PRIMARY KEY (run_id, policy, began_at),
  FOREIGN KEY (run_id, policy) REFERENCES {{schema}}.run ON DELETE CASCADE
);

-- A run that the guards hold up says so while it is under way.
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
