-- partitions whose range ends below the latest cutoff
SELECT x.oid::bigint, x.nspname, x.relname, x.bound, x.upper::text, x.lower IS NOT NULL AND x.lower > 0, x.siblings,
       array(SELECT k.conname::text FROM pg_constraint k WHERE k.conrelid = x.oid AND k.contype = 'c' ORDER BY 1),
       CASE WHEN x.relkind <> 'r' OR x.relpersistence = 't' THEN 'it is no ordinary table'
            WHEN NOT pg_has_role(x.relowner, 'USAGE') THEN 'this role does not own it'
            WHEN x.pending THEN 'the detach of one was interrupted'
            WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid IN (x.oid, $2::bigint::oid)) THEN 'a foreign key references it'
            ELSE coalesce('event trigger ' || (SELECT min(e.evtname::text) FROM pg_event_trigger e
              WHERE (e.evtenabled IN ('O', 'A') OR e.evtenabled = 'R' AND current_setting('session_replication_role') = 'replica')
                AND e.evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite')
                AND (e.evttags IS NULL OR e.evttags OPERATOR(pg_catalog.&&) ARRAY['ALTER TABLE', 'DROP TABLE'])) || ' fires on ALTER TABLE or DROP TABLE',
                 (SELECT CASE
              WHEN EXISTS (SELECT FROM pg_trigger t LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
                            WHERE t.tgrelid = x.oid AND (p.oid IS NOT NULL OR t.tgisinternal)
                              AND (t.tgenabled <> coalesce(p.tgenabled, 'O') OR NOT p.tgisinternal AND t.tgname <> p.tgname
                                   OR EXISTS (SELECT FROM pg_description d WHERE d.classoid = 'pg_trigger'::regclass AND d.objoid = t.oid)))
                   THEN 'a trigger of it is enabled, named or commented otherwise than its table''s'
              WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = $2::bigint::oid AND NOT t.tgisinternal AND t.tgtype OPERATOR(pg_catalog.&) 1::smallint <> 0
                              AND NOT (has_function_privilege(t.tgfoid, 'EXECUTE') AND has_table_privilege(x.oid, 'TRIGGER')))
                   THEN 'this role may not create the triggers of its table'
              WHEN EXISTS (SELECT FROM pg_constraint k JOIN pg_constraint o ON o.conrelid = k.conrelid AND o.oid > k.oid AND o.contype = 'f'
                              AND o.confrelid = k.confrelid AND o.conkey = k.conkey
                            WHERE k.contype = 'f' AND k.conrelid = x.oid)
                   THEN 'two foreign keys of it are alike'
              WHEN EXISTS (SELECT FROM pg_index p WHERE p.indrelid = $2::bigint::oid AND NOT EXISTS (
                           SELECT FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid WHERE h.inhparent = p.indexrelid AND i.indrelid = x.oid))
                   THEN 'an index of its table is missing in it'
              WHEN EXISTS (SELECT FROM pg_index i JOIN pg_index o ON o.indrelid = i.indrelid AND o.indexrelid > i.indexrelid
                              AND o.indkey::text = i.indkey::text AND o.indclass::text = i.indclass::text AND o.indcollation::text = i.indcollation::text
                              AND o.indnkeyatts = i.indnkeyatts AND o.indisunique = i.indisunique
                              AND pg_get_expr(o.indexprs, o.indrelid) IS NOT DISTINCT FROM pg_get_expr(i.indexprs, i.indrelid)
                              AND pg_get_expr(o.indpred, o.indrelid) IS NOT DISTINCT FROM pg_get_expr(i.indpred, i.indrelid)
                            WHERE i.indrelid = x.oid AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid IN (i.indexrelid, o.indexrelid)))
                   THEN 'two indexes of it are alike' END),
                 (SELECT min(pg_describe_object(d.classid, d.objid, d.objsubid)) FROM pg_depend d
              WHERE d.deptype = 'n' AND (d.refclassid, d.refobjid) IN (
                    SELECT 'pg_class'::regclass::oid, x.oid
                    UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type t WHERE t.typrelid = x.oid OR t.typelem IN (SELECT r.oid FROM pg_type r WHERE r.typrelid = x.oid)
                    UNION ALL SELECT 'pg_class'::regclass, o.objid FROM pg_depend o
                               WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass AND o.refobjid = x.oid AND o.deptype IN ('a', 'i'))
                AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid
                                   AND o.refclassid = 'pg_class'::regclass AND o.refobjid = x.oid AND o.deptype IN ('a', 'i', 'P', 'S'))) || ' depends on it', '') END
  FROM (SELECT c.oid, n.nspname::text, c.relname::text, c.relkind, c.relpersistence, c.relowner, pg_get_expr(c.relpartbound, c.oid) AS bound,
               nullif(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''?([^'']+)''?\) TO'), 'MINVALUE')::integer AS lower,
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

-- detach it
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
  JOIN reaper_c reaper_s ON true
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

-- each batch locks the tables against changes of keys, triggers and rules
LOCK TABLE "public"."visits" IN ROW EXCLUSIVE MODE;

-- and checks that nothing has changed since planning
WITH n AS MATERIALIZED (SELECT * FROM unnest($1::oid[], $2::bool[], $3::bool[], $4::bool[]) n(top, deleted, emptied, child)),
f AS MATERIALIZED (SELECT n.*, n.top AS oid FROM n UNION SELECT n.*, t.relid::oid FROM n CROSS JOIN LATERAL pg_partition_tree(n.top) t WHERE n.top = ANY ($5::oid[]))
SELECT current_setting('session_replication_role'), md5(string_agg(x, ' ' ORDER BY x COLLATE "C")) FROM (SELECT DISTINCT CASE WHEN f.oid <> f.top AND (t.tgparentid <> 0 OR EXISTS (SELECT FROM pg_constraint k WHERE k.oid = t.tgconstraint AND k.conparentid <> 0)) THEN concat_ws(',', 'part', f.top, t.tgfoid, t.tgtype, t.tgenabled)
         ELSE concat_ws(',', 'trigger', t.tgrelid, t.oid, t.tgfoid, t.tgtype, t.tgenabled, t.tgconstraint) END AS x FROM f JOIN pg_trigger t ON t.tgrelid = f.oid
        WHERE CASE WHEN NOT t.tgisinternal THEN f.deleted AND t.tgtype & 8 <> 0 OR f.emptied AND t.tgtype & 16 <> 0 WHEN t.tgfoid::oid = ANY (ARRAY[1644, 1645]::oid[]) THEN f.child ELSE true END
UNION ALL SELECT concat_ws(',', 'table', c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relowner, row_security_active(c.oid)) FROM pg_class c WHERE c.oid = ANY ($1::oid[])
UNION ALL SELECT concat_ws(',', 'rule', r.oid, r.ev_class, r.ev_type, r.ev_enabled) FROM pg_rewrite r WHERE r.ev_class = ANY ($1::oid[])
UNION ALL SELECT concat_ws(',', 'heir', i.inhrelid, i.inhparent) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent AND c.relkind = 'r' WHERE i.inhparent = ANY ($1::oid[])
UNION ALL SELECT concat_ws(',', 'subscription', u.srrelid, u.srsubid) FROM f JOIN pg_subscription_rel u ON u.srrelid = f.oid) c;

-- a batch
WITH reaper_cut AS MATERIALIZED (SELECT $1::timestamptz AS cutoff)
DELETE FROM "public"."visits"
 WHERE EXISTS (SELECT FROM unnest($2::pg_catalog.text[], $3::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog.int4 OPERATOR(pg_catalog.=) "visits"."at" AND reaper_v.v1::pg_catalog.int8 OPERATOR(pg_catalog.=) "visits"."id")
   AND EXISTS (SELECT FROM reaper_cut WHERE "visits"."at" > 0 AND "visits"."at" < ceil(extract(epoch FROM reaper_cut.cutoff) * 1)::bigint);

