-- An older version would delete from whatever database answers: see 011 for what the bound does.
ALTER TABLE {{schema}}.tick DROP COLUMN version;
ALTER TABLE {{schema}}.tick ADD COLUMN version int NOT NULL DEFAULT 12, ADD CONSTRAINT tick_version CHECK (version >= 12);
ALTER TABLE {{schema}}.tick ALTER COLUMN version DROP DEFAULT;
ALTER TABLE {{schema}}.run DROP COLUMN version;
ALTER TABLE {{schema}}.run ADD COLUMN version int NOT NULL DEFAULT 12, ADD CONSTRAINT run_version CHECK (version >= 12);
ALTER TABLE {{schema}}.run ALTER COLUMN version DROP DEFAULT;

-- The one database that this ledger belongs to, as the last run that went on has found it.
CREATE TABLE {{schema}}.latch (
  one         boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
  system_id   text,                 -- by initdb; NULL, as below: no role could read it
  database_id text        NOT NULL, -- its OID
  timeline    text,                 -- in which WAL was written
  addresses   text[]      NOT NULL, -- HOST:PORT by which it was reached
  seen_at     timestamptz NOT NULL  -- the last sign of life of any process, to within a minute
);

-- The processes, and the last sign of life of each. One that finds its own has missed nothing that
-- it was told is committed.
CREATE TABLE {{schema}}.process (
  process text        NOT NULL PRIMARY KEY,
  sign    bigint      NOT NULL,
  at      timestamptz NOT NULL
);

-- NULL: it approves a database, for all policies; print then is system_id/database_id/timeline.
ALTER TABLE {{schema}}.approval ALTER COLUMN policy DROP NOT NULL;
