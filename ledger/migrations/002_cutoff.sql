-- The cutoffs that count for an open run, as they were at its start: a retention
-- that becomes shorter meanwhile waits for the next run. Rows go when the run is
-- closed.
CREATE TABLE {{schema}}.cutoff (
  run_id uuid        NOT NULL,
  policy text        NOT NULL,
  rank   bigint      NOT NULL, -- the order in which tenants are worked on
  tenant text        NOT NULL,
  cutoff timestamptz NOT NULL,
  PRIMARY KEY (run_id, policy, tenant)
);
CREATE UNIQUE INDEX cutoff_rank ON {{schema}}.cutoff (run_id, policy, rank);
