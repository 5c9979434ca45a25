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
-- Every batch asks whether its tenants are held. A key may be longer than a B-tree can hold.
CREATE INDEX hold_of_tenant ON {{schema}}.hold USING hash (tenant) WHERE released_at IS NULL;
CREATE INDEX hold_of_all ON {{schema}}.hold (ends_at) WHERE released_at IS NULL AND tenant IS NULL;
