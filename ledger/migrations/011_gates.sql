-- A process of an older version knows nothing of holds and gates, and would delete what they stop:
-- it can neither claim a run nor open one. Whoever changes what a run must obey raises the bound.
ALTER TABLE {{schema}}.tick ADD COLUMN version int NOT NULL DEFAULT 11, ADD CONSTRAINT tick_version CHECK (version >= 11);
ALTER TABLE {{schema}}.tick ALTER COLUMN version DROP DEFAULT;
ALTER TABLE {{schema}}.run ADD COLUMN version int NOT NULL DEFAULT 11, ADD CONSTRAINT run_version CHECK (version >= 11);
ALTER TABLE {{schema}}.run ALTER COLUMN version DROP DEFAULT;
