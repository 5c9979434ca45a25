-- A process of an older version knows nothing of holds and gates, and would delete what they stop:
-- it can neither claim a run nor open one. Whoever changes what a run must obey raises the bound.
ALTER TABLE {{schema}}.tick ADD COLUMN version int NOT NULL DEFAULT 11, ADD CONSTRAINT tick_version CHECK (version >= 11);
ALTER TABLE {{schema}}.tick ALTER COLUMN version DROP DEFAULT;
ALTER TABLE {{schema}}.run ADD COLUMN version int NOT NULL DEFAULT 11, ADD CONSTRAINT run_version CHECK (version >= 11);
ALTER TABLE {{schema}}.run ALTER COLUMN version DROP DEFAULT;

-- What decides which rows a policy deletes, once for each that there has been, and the one that a
-- run's plan had.
CREATE TABLE {{schema}}.print (
  digest text  NOT NULL PRIMARY KEY,
  body   jsonb NOT NULL
);
ALTER TABLE {{schema}}.run ADD COLUMN print text, -- NULL: it was not taken
  ADD COLUMN roots bigint;                        -- how many it deleted; NULL: none, or not known

-- The print that a policy's next run is compared with: that of its last complete run, or the one
-- that a person has approved since.
CREATE TABLE {{schema}}.baseline (
  policy text        NOT NULL PRIMARY KEY,
  root   text        NOT NULL, -- schema.table
  print  text        NOT NULL REFERENCES {{schema}}.print,
  run_id uuid        NOT NULL,
  -- The policies of the same file then. One that is not among them has come later.
  siblings text[]    NOT NULL,
  set_at timestamptz NOT NULL DEFAULT now()
);

-- What a person has approved: exactly this print, until then.
CREATE TABLE {{schema}}.approval (
  id         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  policy     text        NOT NULL,
  gates      text[]      NOT NULL, -- which refused the run: drift, breaker
  print      text        NOT NULL, -- its digest
  most_roots bigint      NOT NULL, -- and at most so many roots due; 0 where that gate did not speak
  reason     text        NOT NULL,
  who        text        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  ends_at    timestamptz NOT NULL,
  CHECK (ends_at > created_at)
);
CREATE INDEX approval_policy ON {{schema}}.approval (policy, ends_at);
