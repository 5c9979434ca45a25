-- What the last verification of the archive has found, and when one has last found nothing wrong.
CREATE TABLE {{schema}}.verification (
  one         boolean     NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
  at          timestamptz NOT NULL,
  verified_at timestamptz,          -- NULL: never
  loaded_at   timestamptz,          -- NULL: never
  found       jsonb       NOT NULL, -- what was counted, and failures
  error       text        NOT NULL  -- why it could not be done; empty: it could
);
