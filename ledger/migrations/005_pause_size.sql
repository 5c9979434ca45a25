-- What a person has paused, and until when. Every pause has an end, so that what
-- is switched off for today comes back by itself.
CREATE TABLE {{schema}}.pause (
  id         bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  policy     text,                               -- NULL: all of them
  reason     text        NOT NULL CHECK (reason <> ''),
  who        text        NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  ends_at    timestamptz NOT NULL,
  resumed_at timestamptz,                        -- NULL: nobody has ended it before its time
  CHECK (ends_at > created_at AND ends_at - created_at <= interval '7 days')
);
-- Every batch asks whether its policy is paused: the answer must not take longer
-- for all the pauses that there have been.
CREATE INDEX pause_in_force ON {{schema}}.pause (ends_at) WHERE resumed_at IS NULL;

-- How large the database was, and how its rows came and went: every five minutes
-- for two days, then every hour, then every day.
CREATE TABLE {{schema}}.size (
  at             timestamptz NOT NULL PRIMARY KEY,
  database_bytes bigint,          -- NULL: no privilege
  wal_bytes      bigint,          -- what lies in pg_wal; NULL: it may not be read
  tables         jsonb NOT NULL,  -- {"schema.table": bytes}, with indexes and TOAST
  policies       jsonb NOT NULL   -- {name: {"backlog": rows due or null, "deleted": n, "inserted": n}}, the last two as PostgreSQL counts them since its statistics began
);
