-- An older version would delete rows that are held by row, or in their grace: see 011 for what the
-- bound does.
ALTER TABLE {{schema}}.tick DROP COLUMN version;
ALTER TABLE {{schema}}.tick ADD COLUMN version int NOT NULL DEFAULT 13, ADD CONSTRAINT tick_version CHECK (version >= 13);
ALTER TABLE {{schema}}.tick ALTER COLUMN version DROP DEFAULT;
ALTER TABLE {{schema}}.run DROP COLUMN version;
ALTER TABLE {{schema}}.run ADD COLUMN version int NOT NULL DEFAULT 13, ADD CONSTRAINT run_version CHECK (version >= 13);
ALTER TABLE {{schema}}.run ALTER COLUMN version DROP DEFAULT;

-- A hold by row: of so many roots of one policy, whose keys are in hold_root.
ALTER TABLE {{schema}}.hold ADD COLUMN roots bigint, -- NULL: it is of tenants
  ADD CONSTRAINT hold_roots CHECK (roots IS NULL OR roots > 0 AND policy IS NOT NULL AND tenant IS NULL);
CREATE INDEX hold_of_roots ON {{schema}}.hold (policy) WHERE roots IS NOT NULL;

CREATE TABLE {{schema}}.hold_root (
  hold bigint             NOT NULL REFERENCES {{schema}}.hold ON DELETE CASCADE,
  n    bigint             NOT NULL GENERATED ALWAYS AS IDENTITY,
  key  text[] COLLATE "C" NOT NULL, -- as PostgreSQL prints its columns
  PRIMARY KEY (hold, n)
);
-- Where there are such holds, every root is looked up. A key's text may be longer than a B-tree can
-- hold.
CREATE INDEX hold_root_key ON {{schema}}.hold_root USING hash (key);

-- The retentions that runs have seen of each tenant of a policy with grace, each until it no longer
-- counts: one is in force, others were within the grace. The cutoff of a tenant is the earliest that
-- they give.
CREATE TABLE {{schema}}.grace (
  policy  text             NOT NULL,
  tenant  text COLLATE "C" NOT NULL, -- as PostgreSQL prints its key; empty: the policy has none
  had     interval,                  -- NULL: nothing of it expired
  ends_at timestamptz      NOT NULL, -- infinity: it is in force
  n       bigint           NOT NULL GENERATED ALWAYS AS IDENTITY,
  PRIMARY KEY (policy, ends_at, n)
);
-- A key may be longer than a B-tree can hold.
CREATE INDEX grace_tenant ON {{schema}}.grace USING hash (tenant);

-- The policies of which a whole run has recorded that. The digest is of all tenants with their
-- retentions as they are recorded: while a run finds the same, it need not compare them.
CREATE TABLE {{schema}}.grace_policy (
  policy   text        NOT NULL PRIMARY KEY,
  version  bigint      NOT NULL, -- counts what has been recorded: who has read an older one reads again
  digest   bigint,               -- NULL: not known
  next_end timestamptz NOT NULL  -- when a retention no longer counts next; infinity: all are in force
);
