-- Partitions that a run is about to detach, or has detached and not yet dropped:
-- a row is written before the detach, and goes in the transaction that drops the
-- table or attaches it again. Nothing is said here of how far it came: that is
-- read from the catalog, which cannot be behind. No foreign key to run: a row must
-- outlive what the ledger keeps of runs.
CREATE TABLE {{schema}}.detach (
  partition oid         NOT NULL PRIMARY KEY,
  parent    oid         NOT NULL,
  name      text        NOT NULL, -- of the partition, for people
  bound     text        NOT NULL, -- FOR VALUES …, with UTC and ISO dates
  checks    text[]      NOT NULL, -- its CHECK constraints before: a detach adds one
  run_id    uuid        NOT NULL,
  policy    text        NOT NULL,
  noted_at  timestamptz NOT NULL DEFAULT clock_timestamp()
);
