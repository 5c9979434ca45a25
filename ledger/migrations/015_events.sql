-- What others may learn from the ledger. An event is committed with what it tells of, and gets its
-- id afterwards, so that no id is ever overtaken by a later commit.
CREATE TABLE {{schema}}.event (
  n      bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- given before commit
  id     bigint      UNIQUE,                                            -- NULL: not given yet
  at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  kind   text        NOT NULL,
  policy text,
  tenant text,                                                          -- as PostgreSQL prints its key
  run_id uuid,
  data   jsonb       NOT NULL DEFAULT '{}'                              -- counts and ids
);
CREATE INDEX event_pending ON {{schema}}.event (n) WHERE id IS NULL;

CREATE VIEW {{schema}}.events AS
SELECT id, at, kind, policy, tenant, run_id, data FROM {{schema}}.event WHERE id IS NOT NULL;
