-- partitions whose range ends below the latest cutoff
SELECT x.oid::bigint, x.nspname, x.relname, x.bound, x.upper::text, x.siblings,
       array(SELECT k.conname::text FROM pg_constraint k WHERE k.conrelid = x.oid AND k.contype = 'c' ORDER BY 1),
       CASE WHEN x.relkind <> 'r' OR x.relpersistence = 't' THEN 'it is no ordinary table'
            WHEN NOT pg_has_role(x.relowner, 'USAGE') THEN 'this role does not own it'
            WHEN x.pending THEN 'the detach of one was interrupted'
            WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid IN (x.oid, $2::bigint::oid)) THEN 'a foreign key references it'
            ELSE coalesce((SELECT min(pg_describe_object(d.classid, d.objid, d.objsubid)) FROM pg_depend d
              WHERE d.deptype = 'n' AND (d.refclassid, d.refobjid) IN (
                    SELECT 'pg_class'::regclass::oid, x.oid
                    UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type t WHERE t.typrelid = x.oid OR t.typelem IN (SELECT r.oid FROM pg_type r WHERE r.typrelid = x.oid)
                    UNION ALL SELECT 'pg_class'::regclass, o.objid FROM pg_depend o
                               WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass AND o.refobjid = x.oid AND o.deptype IN ('a', 'i'))
                AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid
                                   AND o.refclassid = 'pg_class'::regclass AND o.refobjid = x.oid AND o.deptype IN ('a', 'i', 'P', 'S'))) || ' depends on it', '') END
  FROM (SELECT c.oid, n.nspname::text, c.relname::text, c.relkind, c.relpersistence, c.relowner, pg_get_expr(c.relpartbound, c.oid) AS bound,
               nullif(substring(pg_get_expr(c.relpartbound, c.oid) FROM ' TO \(''?([^'']+)''?\)$'), 'MAXVALUE')::integer AS upper,
               count(*) OVER () AS siblings, bool_or(i.inhdetachpending) OVER () AS pending
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE i.inhparent = $2::bigint::oid) x
 WHERE x.upper <= (SELECT ceil(extract(epoch FROM l.cutoff) * 1)::bigint FROM (SELECT max(reaper_f.cutoff) AS cutoff FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $1::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $1::timestamptz - b.length < $1::timestamptz
                            THEN $1::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT NULL::text AS key, false AS held) t) b) c) reaper_f WHERE reaper_f.state = 'active') l) AND pg_relation_size(x.oid) > 0
 ORDER BY x.upper;

-- whether all rows of one are expired
WITH reaper_c AS MATERIALIZED (SELECT true AS key FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $2::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $2::timestamptz - b.length < $2::timestamptz
                            THEN $2::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT NULL::text AS key, false AS held) t OFFSET 0) b OFFSET 0) c) reaper_s WHERE reaper_s.state = 'active' AND $1::integer <= ceil(extract(epoch FROM reaper_s.cutoff) * 1)::bigint)
SELECT EXISTS (SELECT FROM ONLY "public"."PARTITION"),
       CASE WHEN false THEN true
            ELSE NOT EXISTS (SELECT FROM (SELECT ("visits"."at" > 0 AND "visits"."at" < $1::integer) IS TRUE AS meant
          FROM ONLY "public"."PARTITION" AS "visits") reaper_r
         LEFT JOIN reaper_c ON true
        WHERE reaper_c.key IS NULL OR NOT reaper_r.meant) END;

-- take it out
ALTER TABLE "public"."visits" DETACH PARTITION "public"."PARTITION" CONCURRENTLY;

-- then in one transaction: lock it
LOCK TABLE ONLY "public"."PARTITION" IN ACCESS EXCLUSIVE MODE;

-- count its rows by tenant, for the ledger, if all of them still are
WITH reaper_c AS MATERIALIZED (SELECT true AS key FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $2::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $2::timestamptz - b.length < $2::timestamptz
                            THEN $2::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT NULL::text AS key, false AS held) t OFFSET 0) b OFFSET 0) c) reaper_s WHERE reaper_s.state = 'active' AND $1::integer <= ceil(extract(epoch FROM reaper_s.cutoff) * 1)::bigint),
reaper_g AS MATERIALIZED (
  SELECT count(*) AS n, count(*) FILTER (WHERE reaper_r.meant) AS meant
    FROM (SELECT ("visits"."at" > 0 AND "visits"."at" < $1::integer) IS TRUE AS meant
          FROM ONLY "public"."PARTITION" AS "visits") reaper_r),
reaper_t AS MATERIALIZED (
  SELECT NULL::text AS tenant, sum(reaper_g.n)::bigint AS n
    FROM reaper_g
 CROSS JOIN reaper_c reaper_s
   GROUP BY reaper_s.key)
SELECT tenant, n FROM reaper_t
 WHERE n > 0 AND (SELECT sum(n) FROM reaper_t) = (SELECT sum(n) FROM reaper_g) AND (SELECT sum(meant) FROM reaper_g) = (SELECT sum(n) FROM reaper_g);

-- and drop it
DROP TABLE "public"."PARTITION";

-- tenants that have something due
SELECT x.key::text, x.cutoff::text FROM (
  SELECT reaper_s.key, reaper_s.cutoff, max(reaper_s.cutoff - to_timestamp(reaper_x.at / 1.0)) AS lag
    FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $1::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $1::timestamptz - b.length < $1::timestamptz
                            THEN $1::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT NULL::text AS key, false AS held) t OFFSET 0) b OFFSET 0) c) reaper_s
   CROSS JOIN LATERAL (SELECT "visits"."at" AS at FROM "public"."visits" WHERE "visits"."at" > 0 AND "visits"."at" < ceil(extract(epoch FROM reaper_s.cutoff) * 1)::bigint ORDER BY "visits"."at" LIMIT 1) reaper_x
   WHERE reaper_s.state = 'active'
   GROUP BY reaper_s.key, reaper_s.cutoff) x
 ORDER BY x.lag DESC, x.key;

-- the next expired rows of one group
SELECT "visits"."at"::text, (true) IS TRUE, 8192::bigint, "visits"."at"::text, "visits"."id"::text
  FROM "public"."visits"
 WHERE "visits"."at" > 0
   AND "visits"."at" < ceil(extract(epoch FROM $1::timestamptz) * 1)::bigint
 ORDER BY "visits"."at", "visits"."id"
 LIMIT 1000;

-- a batch
WITH reaper_cut AS MATERIALIZED (SELECT $1::timestamptz AS cutoff)
DELETE FROM "public"."visits"
 WHERE EXISTS (SELECT FROM unnest($2::pg_catalog.text[], $3::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog.int4 OPERATOR(pg_catalog.=) "visits"."at" AND reaper_v.v1::pg_catalog.int8 OPERATOR(pg_catalog.=) "visits"."id")
   AND EXISTS (SELECT FROM reaper_cut WHERE "visits"."at" > 0 AND "visits"."at" < ceil(extract(epoch FROM reaper_cut.cutoff) * 1)::bigint);

