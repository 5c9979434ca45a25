-- What a person has said must stay. It is a condition of every statement that deletes roots, so it
-- counts from its commit on.
CREATE TABLE {{schema}}.hold (
  id          bigint      NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  policy      text,                               -- NULL: all of them
  tenant      text COLLATE "C",                   -- as PostgreSQL prints its key; NULL: all of them
  reason      text        NOT NULL CHECK (reason <> ''),
  who         text        NOT NULL,
  created_at  timestamptz NOT NULL DEFAULT now(),
  ends_at     timestamptz NOT NULL,               -- infinity: somebody has to release it
  released_at timestamptz,                        -- NULL: nobody has
  released_by text,
  CHECK (ends_at > created_at)
);
-- Every batch asks whether its tenants are held.
CREATE INDEX hold_in_force ON {{schema}}.hold (tenant) WHERE released_at IS NULL;
