-- the next rows of the key sweep, and which of them are expired
WITH reaper_w AS MATERIALIZED (
  SELECT "Root"."a" AS k0, "Root"."b" AS k1, "Root"."org" AS l0, "Root"."At" AS age, ("Root"."At" > 0) IS TRUE AS meant, 8192::bigint AS size
    FROM ONLY "Da.ta"."Root"
   ORDER BY "Root"."a", "Root"."b" LIMIT 10000)
SELECT 0, w.size, reaper_s.key::text, least(reaper_s.cutoff, reaper_f.cutoff)::text, NULL, w.k0::text, w.k1::text
  FROM reaper_w w
  JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $1::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $1::timestamptz - b.length < $1::timestamptz
                            THEN $1::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '18 mons 0 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT "Orgs"."id" AS key, false AS held FROM "Da.ta"."Orgs" WHERE "Orgs"."id" IS NOT NULL) t) b) c) reaper_s ON reaper_s.key OPERATOR(pg_catalog.=) w.l0
  JOIN (SELECT rank, tenant, cutoff FROM "reaper".cutoff WHERE run_id = $2::uuid AND policy = $3::text) reaper_f ON reaper_f.tenant = reaper_s.key::text
 WHERE w.meant AND reaper_s.state = 'active' AND w.age > 0 AND w.age < ceil(extract(epoch FROM least(reaper_s.cutoff, reaper_f.cutoff)) * 1000)::bigint
UNION ALL
(SELECT 1, (SELECT count(*) FROM reaper_w), NULL, NULL, w.age::text, w.k0::text, w.k1::text FROM reaper_w w ORDER BY w.k0 DESC, w.k1 DESC LIMIT 1);

-- each batch locks the tables against changes of keys, triggers and rules
LOCK TABLE ONLY "Da.ta"."Root", ONLY "Da.ta"."Child", ONLY "Da.ta"."Loose", ONLY "Da.ta"."Kept" IN ROW EXCLUSIVE MODE;

-- and checks that nothing has changed since planning
WITH n AS MATERIALIZED (SELECT * FROM unnest($1::oid[], $2::bool[], $3::bool[], $4::bool[]) n(top, deleted, emptied, child)),
f AS MATERIALIZED (SELECT n.*, n.top AS oid FROM n)
SELECT current_setting('session_replication_role'), md5(string_agg(x, ' ' ORDER BY x COLLATE "C")) FROM (SELECT DISTINCT CASE WHEN false THEN concat_ws(',', 'part', f.top, t.tgfoid, t.tgtype, t.tgenabled)
         ELSE concat_ws(',', 'trigger', t.tgrelid, t.oid, t.tgfoid, t.tgtype, t.tgenabled, t.tgconstraint) END AS x FROM f JOIN pg_trigger t ON t.tgrelid = f.oid
        WHERE CASE WHEN NOT t.tgisinternal THEN f.deleted AND t.tgtype & 8 <> 0 OR f.emptied AND t.tgtype & 16 <> 0 WHEN t.tgfoid::oid = ANY (ARRAY[1644, 1645]::oid[]) THEN f.child ELSE true END
UNION ALL SELECT concat_ws(',', 'table', c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relowner, row_security_active(c.oid)) FROM pg_class c WHERE c.oid = ANY ($1::oid[])
UNION ALL SELECT concat_ws(',', 'rule', r.oid, r.ev_class, r.ev_type, r.ev_enabled) FROM pg_rewrite r WHERE r.ev_class = ANY ($1::oid[])
UNION ALL SELECT concat_ws(',', 'heir', i.inhrelid, i.inhparent) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent AND c.relkind = 'r' WHERE i.inhparent = ANY ($1::oid[])
UNION ALL SELECT concat_ws(',', 'subscription', u.srrelid, u.srsubid) FROM f JOIN pg_subscription_rel u ON u.srrelid = f.oid) c;

-- lock the roots
SELECT count(*), coalesce(array_agg(reaper_x.tab), '{}')::text, coalesce(array_agg(reaper_x.tid), '{}')::text, coalesce(array_agg(reaper_x.c0), '{}')::text, coalesce(array_agg(reaper_x.c1), '{}')::text, coalesce(array_agg(reaper_x.c2), '{}')::text, coalesce(array_agg(reaper_x.c3), '{}')::text
  FROM (WITH reaper_cut AS MATERIALIZED (SELECT $1::pg_catalog.uuid AS key, least(min(reaper_s.cutoff), $2::timestamptz) AS cutoff FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '18 mons 0 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT "Orgs"."id" AS key, false AS held FROM "Da.ta"."Orgs" WHERE "Orgs"."id" IS NOT NULL AND "Orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.uuid[])) t OFFSET 0) b OFFSET 0) c) reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active'))
SELECT "Root".tableoid::text AS tab, "Root".ctid::text AS tid, "Root"."a"::text AS c0, "Root"."b"::text AS c1, "Root"."a"::text AS c2, "Root"."b"::text AS c3
  FROM ONLY "Da.ta"."Root"
 WHERE EXISTS (SELECT FROM unnest($5::pg_catalog.text[], $6::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog.text OPERATOR(pg_catalog.=) "Root"."a" AND reaper_v.v1::pg_catalog.uuid OPERATOR(pg_catalog.=) "Root"."b")
   AND EXISTS (SELECT FROM reaper_cut WHERE reaper_cut.key OPERATOR(pg_catalog.=) "Root"."org" AND "Root"."At" > 0 AND "Root"."At" < ceil(extract(epoch FROM reaper_cut.cutoff) * 1000)::bigint)
   FOR UPDATE OF "Root" SKIP LOCKED) reaper_x;

-- the rows of tables that reference each other
WITH RECURSIVE reaper_c(node, tab, tid, refs) AS (
  (SELECT 1, x.tab, x.tid, ARRAY[x.r0] FROM unnest($1::text[], $2::text[], $3::text[]) x(tab, tid, r0)
  UNION ALL SELECT 1, "Child".tableoid::text, "Child".ctid::text, ARRAY["Child"."id"::text]::text[] FROM ONLY "Da.ta"."Child" WHERE EXISTS (SELECT FROM unnest($4::pg_catalog.text[], $5::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog.text OPERATOR(pg_catalog.=) "Child"."ra" AND reaper_v.v1::pg_catalog.uuid OPERATOR(pg_catalog.=) "Child"."rb"))
  UNION
  SELECT reaper_x.* FROM reaper_c CROSS JOIN LATERAL (SELECT 1, "Child".tableoid::text, "Child".ctid::text, ARRAY["Child"."id"::text]::text[] FROM ONLY "Da.ta"."Child" WHERE reaper_c.node = 1 AND (CASE WHEN reaper_c.node = 1 THEN reaper_c.refs[1] END::pg_catalog.int4) OPERATOR(pg_catalog.=) "Child"."up") reaper_x)
SELECT node, tab, tid, refs FROM reaper_c LIMIT 20000;

-- which rows delete and keep which
SELECT 0, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY reaper_x(tab, r0, r1, n) CROSS JOIN LATERAL (SELECT "Child".tableoid::text AS tab, "Child".ctid::text AS tid FROM ONLY "Da.ta"."Child" WHERE reaper_x.r0::pg_catalog.text OPERATOR(pg_catalog.=) "Child"."ra" AND reaper_x.r1::pg_catalog.uuid OPERATOR(pg_catalog.=) "Child"."rb") reaper_c
UNION ALL
SELECT 2, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest($4::text[], $5::text[]) WITH ORDINALITY reaper_x(tab, r0, n) CROSS JOIN LATERAL (SELECT "Child".tableoid::text AS tab, "Child".ctid::text AS tid FROM ONLY "Da.ta"."Child" WHERE reaper_x.r0::pg_catalog.int4 OPERATOR(pg_catalog.=) "Child"."up") reaper_c
UNION ALL
SELECT 3, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest($6::text[], $7::text[]) WITH ORDINALITY reaper_x(tab, r0, n) CROSS JOIN LATERAL (SELECT NULL AS tab, NULL AS tid FROM ONLY "Da.ta"."Kept" WHERE reaper_x.r0::pg_catalog.int4 OPERATOR(pg_catalog.=) "Kept"."child" LIMIT 1) reaper_c;

-- empty references
UPDATE ONLY "Da.ta"."Loose" SET "ref" = NULL
 WHERE "Loose"."ref" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) AND (("Loose".kind = 'Root'::text)
);

-- a batch
WITH reaper_cut AS MATERIALIZED (SELECT $1::pg_catalog.uuid AS key, least(min(reaper_s.cutoff), $2::timestamptz) AS cutoff FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '18 mons 0 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT "Orgs"."id" AS key, false AS held FROM "Da.ta"."Orgs" WHERE "Orgs"."id" IS NOT NULL AND "Orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.uuid[])) t OFFSET 0) b OFFSET 0) c) reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')), reaper_d0 AS (DELETE FROM ONLY "Da.ta"."Root" WHERE EXISTS (SELECT FROM unnest($5::pg_catalog.text[], $6::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog.text OPERATOR(pg_catalog.=) "Root"."a" AND reaper_v.v1::pg_catalog.uuid OPERATOR(pg_catalog.=) "Root"."b")
   AND EXISTS (SELECT FROM reaper_cut WHERE reaper_cut.key OPERATOR(pg_catalog.=) "Root"."org" AND "Root"."At" > 0 AND "Root"."At" < ceil(extract(epoch FROM reaper_cut.cutoff) * 1000)::bigint) RETURNING 1),
reaper_d1 AS (DELETE FROM ONLY "Da.ta"."Child" WHERE "Child".ctid = ANY($7::tid[])
   AND ((EXISTS (SELECT FROM unnest($8::pg_catalog.text[], $9::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog.text OPERATOR(pg_catalog.=) "Child"."ra" AND reaper_v.v1::pg_catalog.uuid OPERATOR(pg_catalog.=) "Child"."rb")) OR (("Child"."up" OPERATOR(pg_catalog.=) ANY (SELECT unnest($10::pg_catalog.int4[]))) IS TRUE)) RETURNING 1)
SELECT (SELECT count(*) FROM reaper_d0), (SELECT count(*) FROM reaper_d1);

-- drain: count rows behind Child_ra_rb_fkey
SELECT count(*) FROM (SELECT FROM ONLY "Da.ta"."Child" WHERE EXISTS (SELECT FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog.text OPERATOR(pg_catalog.=) "Child"."ra" AND reaper_v.v1::pg_catalog.uuid OPERATOR(pg_catalog.=) "Child"."rb") LIMIT 20000) x;

-- drain: delete some rows behind Child_ra_rb_fkey
DELETE FROM ONLY "Da.ta"."Child"
 WHERE "Child".ctid = ANY(ARRAY(SELECT "Child".ctid FROM ONLY "Da.ta"."Child" WHERE EXISTS (SELECT FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog.text OPERATOR(pg_catalog.=) "Child"."ra" AND reaper_v.v1::pg_catalog.uuid OPERATOR(pg_catalog.=) "Child"."rb") LIMIT 20000))
   AND EXISTS (SELECT FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog.text OPERATOR(pg_catalog.=) "Child"."ra" AND reaper_v.v1::pg_catalog.uuid OPERATOR(pg_catalog.=) "Child"."rb");

-- drain: empty some references by match
WITH reaper_u AS (UPDATE ONLY "Da.ta"."Loose" SET "ref" = NULL
 WHERE "Loose".ctid = ANY(ARRAY(SELECT "Loose".ctid FROM ONLY "Da.ta"."Loose" WHERE "Loose"."ref" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) AND (("Loose".kind = 'Root'::text)
) LIMIT 20000))
   AND "Loose"."ref" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]) AND (("Loose".kind = 'Root'::text)
)
RETURNING ("Loose"."ref" OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]) AND (("Loose".kind = 'Root'::text)
)) IS TRUE AS stays)
SELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u;

-- drain: lock rows on a cycle by Child_up_fkey
SELECT "Child".ctid::text
  FROM ONLY "Da.ta"."Child"
 WHERE "Child".ctid = ANY($1::tid[])
   FOR UPDATE OF "Child";

-- drain: empty some references by Loose_child_fkey
WITH reaper_u AS (UPDATE ONLY "Da.ta"."Loose" SET "child" = NULL
 WHERE "Loose".ctid = ANY(ARRAY(SELECT "Loose".ctid FROM ONLY "Da.ta"."Loose" WHERE "Loose"."child" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int4[]) LIMIT 20000))
   AND "Loose"."child" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int4[])
RETURNING ("Loose"."child" OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.int4[])) IS TRUE AS stays)
SELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u;

