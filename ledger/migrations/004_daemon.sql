-- The times at which a schedule was due, and the run that each was claimed for:
-- of all processes that see the time come, one inserts the row, and that one
-- runs. A run that died gives its claim up.
CREATE TABLE {{schema}}.tick (
  policy     text        NOT NULL,
  at         timestamptz NOT NULL,
  run_id     uuid        NOT NULL,
  instance   text        NOT NULL, -- the process
  claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  PRIMARY KEY (policy, at)
);

-- What one process at a time does for all: it renews the row, and whoever finds
-- it lapsed takes it over.
CREATE TABLE {{schema}}.lease (
  name        text        NOT NULL PRIMARY KEY,
  instance    text        NOT NULL,
  lease_until timestamptz NOT NULL
);

-- What the last look at each policy's table found, for all processes to show.
CREATE TABLE {{schema}}.scan (
  policy      text             NOT NULL PRIMARY KEY,
  scanned_at  timestamptz      NOT NULL,
  lag_seconds double precision NOT NULL, -- 0: nothing is due
  oldest      timestamptz,               -- age of the oldest expired row
  tenants     bigint           NOT NULL, -- that have something due
  rows        bigint,                    -- that are due; NULL: counting took too long
  worst       jsonb            NOT NULL  -- [{"key", "lag_seconds"}], the most overdue tenants
);
