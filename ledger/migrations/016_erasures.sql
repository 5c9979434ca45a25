-- The key of the hash by which the ledger knows a tenant after its erasure: random, made once.
CREATE TABLE {{schema}}.erasure_secret (
  one    boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
  secret bytea   NOT NULL CHECK (length(secret) = 32)
);

-- Tenants whose rows go, or went.
CREATE TABLE {{schema}}.erasure (
  id           uuid             NOT NULL PRIMARY KEY,
  tenant       text COLLATE "C",              -- as PostgreSQL prints its key; NULL: only its hash is known any more
  tenant_hash  text             NOT NULL,     -- HMAC-SHA256 of that, in hex
  origin       text             NOT NULL CHECK (origin IN ('command', 'when')),
  gone         boolean          NOT NULL,     -- its row was missing already when it was requested
  who          text             NOT NULL,
  reason       text             NOT NULL CHECK (reason <> ''),
  requested_at timestamptz      NOT NULL DEFAULT now(),
  due_at       timestamptz      NOT NULL,
  state        text             NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'waiting', 'running', 'done', 'cancelled')),
  note         text             NOT NULL DEFAULT '', -- why it does not go on, or how it ended; empty: nothing to say
  run_id       uuid,                          -- its last run; NULL: none has begun
  print        text,                          -- the digest of that run's plan
  begun_at     timestamptz,                   -- the application was told; NULL: not yet
  finished_at  timestamptz,                   -- done or cancelled
  ended_by     text,                          -- who has cancelled it
  rechecked_at timestamptz,                   -- when its rows were counted last; NULL: never
  remaining    bigint,                        -- what that count found besides what is kept
  kept         jsonb            NOT NULL DEFAULT '[]', -- [{"table", "rows", "until", "reason"}]
  again_at   timestamptz,                   -- when kept rows are looked at again; NULL: none is kept, or all forever
  row_stays    boolean          NOT NULL DEFAULT false, -- of a done one: the tenants' table still has its row
  sweeps       int              NOT NULL DEFAULT 0, -- that have ended
  sweep_at     timestamptz                    -- the next one; NULL: there is none to come
);
-- A key may be longer than a B-tree can hold; its hash is not.
CREATE UNIQUE INDEX erasure_open ON {{schema}}.erasure (tenant_hash) WHERE state IN ('requested', 'waiting', 'running');
CREATE INDEX erasure_tenant ON {{schema}}.erasure (tenant_hash);

-- What its batches have done, counted in their own transactions.
CREATE TABLE {{schema}}.erasure_count (
  erasure    uuid   NOT NULL REFERENCES {{schema}}.erasure ON DELETE CASCADE,
  table_name text   NOT NULL,
  action     text   NOT NULL CHECK (action IN ('delete', 'redact', 'nullify')),
  rows       bigint NOT NULL,
  PRIMARY KEY (erasure, table_name, action)
);

-- Values of columns of rows that went and that others are owned through, until the last sweep.
CREATE TABLE {{schema}}.erasure_key (
  erasure     uuid   NOT NULL REFERENCES {{schema}}.erasure ON DELETE CASCADE,
  n           bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  table_name  text   NOT NULL,
  column_name text   NOT NULL,
  value       text   NOT NULL, -- as PostgreSQL prints it
  PRIMARY KEY (erasure, n)
);

-- What sweeps have found for tenants that were gone.
CREATE TABLE {{schema}}.erasure_leftover (
  erasure    uuid        NOT NULL REFERENCES {{schema}}.erasure ON DELETE CASCADE,
  sweep      int         NOT NULL, -- from 1
  table_name text        NOT NULL,
  found      bigint      NOT NULL,
  deleted    bigint      NOT NULL,
  at         timestamptz NOT NULL DEFAULT clock_timestamp(),
  note       text        NOT NULL, -- why they stay; empty: they went, or are only reported
  PRIMARY KEY (erasure, sweep, table_name)
);
