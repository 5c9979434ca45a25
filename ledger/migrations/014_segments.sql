-- Which object of the archive has the copy of what a batch deleted, and the list of the roots, until
-- the store has it too. A batch's row and this one are of one transaction.
CREATE TABLE {{schema}}.segment (
  name    text        PRIMARY KEY,
  run_id  uuid        NOT NULL,
  policy  text        NOT NULL,
  seq     bigint      NOT NULL,                   -- of the batch
  at      timestamptz NOT NULL DEFAULT clock_timestamp(),
  list    jsonb                                   -- NULL: the store has it
);
CREATE INDEX segment_without_list ON {{schema}}.segment (policy) WHERE list IS NOT NULL;
CREATE INDEX segment_at ON {{schema}}.segment (at);
