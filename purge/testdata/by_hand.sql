-- the next rows of a key sweep, and which of them are expired
WITH reaper_w AS MATERIALIZED (
  SELECT "Root"."a" AS k0, "Root"."b" AS k1, "Root"."org" AS l0, "Root"."At" AS age, ("Root"."At" > 0) IS TRUE AS meant, 8192::bigint AS size
    FROM ONLY "Da.ta"."Root"
   ORDER BY "Root"."a", "Root"."b" LIMIT 10000)
SELECT 0, w.size, reaper_s.key::text, least(reaper_s.cutoff, reaper_f.cutoff)::text, NULL, w.k0::text, w.k1::text
  FROM reaper_w w JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $1::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $1::timestamptz - b.length < $1::timestamptz
                            THEN $1::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '18 mons 0 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT "Orgs"."id" AS key, false AS held FROM "Da.ta"."Orgs" WHERE "Orgs"."id" IS NOT NULL) t) b) c) reaper_s ON reaper_s.key = w.l0
  JOIN (SELECT rank, tenant, cutoff FROM "reaper".cutoff WHERE run_id = $2::uuid AND policy = $3::text) reaper_f ON reaper_f.tenant = reaper_s.key::text
 WHERE w.meant AND reaper_s.state = 'active' AND w.age > 0 AND w.age < ceil(extract(epoch FROM least(reaper_s.cutoff, reaper_f.cutoff)) * 1000)::bigint
UNION ALL
(SELECT 1, (SELECT count(*) FROM reaper_w), NULL, NULL, w.age::text, w.k0::text, w.k1::text FROM reaper_w w ORDER BY w.k0 DESC, w.k1 DESC LIMIT 1);

-- lock the roots
SELECT count(*), coalesce(array_agg(reaper_x.tab), '{}')::text, coalesce(array_agg(reaper_x.tid), '{}')::text, coalesce(array_agg(reaper_x.c0), '{}')::text, coalesce(array_agg(reaper_x.c1), '{}')::text, coalesce(array_agg(reaper_x.c2), '{}')::text, coalesce(array_agg(reaper_x.c3), '{}')::text
  FROM (WITH reaper_cut AS MATERIALIZED (SELECT $1::uuid AS key, least(min(reaper_s.cutoff), $2::timestamptz) AS cutoff FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '18 mons 0 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT "Orgs"."id" AS key, false AS held FROM "Da.ta"."Orgs" WHERE "Orgs"."id" IS NOT NULL AND "Orgs"."id" = ANY($4::uuid[])) t OFFSET 0) b OFFSET 0) c) reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active'))
SELECT "Root".tableoid::text AS tab, "Root".ctid::text AS tid, "Root"."a"::text AS c0, "Root"."b"::text AS c1, "Root"."a"::text AS c2, "Root"."b"::text AS c3
  FROM ONLY "Da.ta"."Root"
 WHERE ("Root"."a", "Root"."b") IN (SELECT * FROM unnest($5::text[], $6::uuid[]))
   AND EXISTS (SELECT FROM reaper_cut WHERE reaper_cut.key = "Root"."org" AND "Root"."At" > 0 AND "Root"."At" < ceil(extract(epoch FROM reaper_cut.cutoff) * 1000)::bigint)
   FOR UPDATE OF "Root" SKIP LOCKED) reaper_x;

-- the rows of tables that reference each other
WITH RECURSIVE reaper_c(node, tab, tid, refs) AS (
  (SELECT 1, x.tab, x.tid, ARRAY[x.r0] FROM unnest($1::text[], $2::text[], $3::text[]) x(tab, tid, r0)
  UNION ALL SELECT 1, "Child".tableoid::text, "Child".ctid::text, ARRAY["Child"."id"::text]::text[] FROM ONLY "Da.ta"."Child" WHERE ("Child"."ra", "Child"."rb") IN (SELECT * FROM unnest($4::text[], $5::uuid[])))
  UNION
  SELECT x.* FROM reaper_c CROSS JOIN LATERAL (
    SELECT 1, "Child".tableoid::text, "Child".ctid::text, ARRAY["Child"."id"::text]::text[] FROM ONLY "Da.ta"."Child" WHERE reaper_c.node = 1 AND "Child"."up" = CASE WHEN reaper_c.node = 1 THEN reaper_c.refs[1] END::integer) x)
SELECT node, tab, tid, refs FROM reaper_c LIMIT 20000;

-- who takes whom along, and who keeps whom
SELECT 0, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY reaper_x(tab, r0, r1, n) CROSS JOIN LATERAL (SELECT "Child".tableoid::text AS tab, "Child".ctid::text AS tid FROM ONLY "Da.ta"."Child" WHERE "Child"."ra" = reaper_x.r0::text AND "Child"."rb" = reaper_x.r1::uuid) reaper_c
UNION ALL
SELECT 2, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest($4::text[], $5::text[]) WITH ORDINALITY reaper_x(tab, r0, n) CROSS JOIN LATERAL (SELECT "Child".tableoid::text AS tab, "Child".ctid::text AS tid FROM ONLY "Da.ta"."Child" WHERE "Child"."up" = reaper_x.r0::integer) reaper_c
UNION ALL
SELECT 3, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest($6::text[], $7::text[]) WITH ORDINALITY reaper_x(tab, r0, n) CROSS JOIN LATERAL (SELECT NULL AS tab, NULL AS tid FROM ONLY "Da.ta"."Kept" WHERE "Kept"."child" = reaper_x.r0::integer LIMIT 1) reaper_c;

-- empty references
UPDATE ONLY "Da.ta"."Loose" SET "ref" = NULL
 WHERE "Loose"."ref" = ANY($1::text[]) AND (kind = 'Root'
);

-- a batch
WITH reaper_cut AS MATERIALIZED (SELECT $1::uuid AS key, least(min(reaper_s.cutoff), $2::timestamptz) AS cutoff FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '18 mons 0 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT "Orgs"."id" AS key, false AS held FROM "Da.ta"."Orgs" WHERE "Orgs"."id" IS NOT NULL AND "Orgs"."id" = ANY($4::uuid[])) t OFFSET 0) b OFFSET 0) c) reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')), reaper_d0 AS (DELETE FROM ONLY "Da.ta"."Root" WHERE ("Root"."a", "Root"."b") IN (SELECT * FROM unnest($5::text[], $6::uuid[])) AND EXISTS (SELECT FROM reaper_cut WHERE reaper_cut.key = "Root"."org" AND "Root"."At" > 0 AND "Root"."At" < ceil(extract(epoch FROM reaper_cut.cutoff) * 1000)::bigint) RETURNING 1),
reaper_d1 AS (DELETE FROM ONLY "Da.ta"."Child" WHERE "Child".ctid = ANY($7::tid[]) RETURNING 1)
SELECT (SELECT count(*) FROM reaper_d0), (SELECT count(*) FROM reaper_d1);

-- drain: count rows behind Child_ra_rb_fkey
SELECT count(*) FROM (SELECT FROM ONLY "Da.ta"."Child" WHERE ("Child"."ra", "Child"."rb") IN (SELECT * FROM unnest($1::text[], $2::uuid[])) LIMIT 20000) x;

-- drain: delete some rows behind Child_ra_rb_fkey
DELETE FROM ONLY "Da.ta"."Child"
 WHERE "Child".ctid = ANY(ARRAY(SELECT "Child".ctid FROM ONLY "Da.ta"."Child" WHERE ("Child"."ra", "Child"."rb") IN (SELECT * FROM unnest($1::text[], $2::uuid[])) LIMIT 20000))
   AND ("Child"."ra", "Child"."rb") IN (SELECT * FROM unnest($1::text[], $2::uuid[]));

-- drain: empty some references by match
WITH reaper_u AS (UPDATE ONLY "Da.ta"."Loose" SET "ref" = NULL
 WHERE "Loose".ctid = ANY(ARRAY(SELECT "Loose".ctid FROM ONLY "Da.ta"."Loose" WHERE "Loose"."ref" = ANY($1::text[]) AND (kind = 'Root'
) LIMIT 20000))
   AND "Loose"."ref" = ANY($1::text[]) AND (kind = 'Root'
)
RETURNING ("Loose"."ref" = ANY($2::text[]) AND (kind = 'Root'
)) IS TRUE AS stays)
SELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u;

-- drain: lock rows on a cycle by Child_up_fkey
SELECT "Child".ctid::text
  FROM ONLY "Da.ta"."Child"
 WHERE "Child".ctid = ANY($1::tid[])
   FOR UPDATE OF "Child";

-- drain: empty some references by Loose_child_fkey
WITH reaper_u AS (UPDATE ONLY "Da.ta"."Loose" SET "child" = NULL
 WHERE "Loose".ctid = ANY(ARRAY(SELECT "Loose".ctid FROM ONLY "Da.ta"."Loose" WHERE "Loose"."child" = ANY($1::integer[]) LIMIT 20000))
   AND "Loose"."child" = ANY($1::integer[])
RETURNING ("Loose"."child" = ANY($2::integer[])) IS TRUE AS stays)
SELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u;

