-- partitions whose range ends below the latest cutoff
SELECT x.oid::bigint, x.nspname, x.relname, x.bound, x.upper::text, x.lower IS NOT NULL AND x.lower > '1970-01-02', x.siblings,
       array(SELECT k.conname::text FROM pg_constraint k WHERE k.conrelid = x.oid AND k.contype = 'c' ORDER BY 1),
       CASE WHEN x.relkind <> 'r' OR x.relpersistence = 't' THEN 'it is no ordinary table'
            WHEN NOT pg_has_role(x.relowner, 'USAGE') THEN 'this role does not own it'
            WHEN x.pending THEN 'the detach of one was interrupted'
            WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid IN (x.oid, $3::bigint::oid)) THEN 'a foreign key references it'
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
              WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = $3::bigint::oid AND NOT t.tgisinternal AND t.tgtype OPERATOR(pg_catalog.&) 1::smallint <> 0
                              AND NOT (has_function_privilege(t.tgfoid, 'EXECUTE') AND has_table_privilege(x.oid, 'TRIGGER')))
                   THEN 'this role may not create the triggers of its table'
              WHEN EXISTS (SELECT FROM pg_constraint k JOIN pg_constraint o ON o.conrelid = k.conrelid AND o.oid > k.oid AND o.contype = 'f'
                              AND o.confrelid = k.confrelid AND o.conkey = k.conkey
                            WHERE k.contype = 'f' AND k.conrelid = x.oid)
                   THEN 'two foreign keys of it are alike'
              WHEN EXISTS (SELECT FROM pg_index p WHERE p.indrelid = $3::bigint::oid AND NOT EXISTS (
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
               nullif(substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''?([^'']+)''?\) TO'), 'MINVALUE')::timestamp without time zone AS lower,
               nullif(substring(pg_get_expr(c.relpartbound, c.oid) FROM ' TO \(''?([^'']+)''?\)$'), 'MAXVALUE')::timestamp without time zone AS upper,
               count(*) OVER () AS siblings, bool_or(i.inhdetachpending) OVER () AS pending
          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE i.inhparent = $3::bigint::oid) x
 WHERE x.upper <= (SELECT ((l.cutoff AT TIME ZONE 'Europe/Paris') - interval '3 hours') FROM (SELECT max(reaper_f.cutoff) AS cutoff FROM (SELECT rank, tenant, cutoff FROM "reaper".cutoff WHERE run_id = $1::uuid AND policy = $2::text) reaper_f) l) AND pg_relation_size(x.oid) > 0
 ORDER BY x.upper;

-- whether all rows of one are expired
WITH reaper_c AS MATERIALIZED (SELECT x.key FROM (
  SELECT reaper_s.key, min(least(reaper_s.cutoff, reaper_f.cutoff)) AS cutoff
    FROM (SELECT rank, tenant, cutoff FROM "reaper".cutoff WHERE run_id = $2::uuid AND policy = $3::text) reaper_f JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $4::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $4::timestamptz - b.length < $4::timestamptz
                            THEN $4::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.held), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s ON reaper_f.tenant = reaper_s.key::text
   GROUP BY reaper_s.key HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')) x
 WHERE $1::timestamp without time zone <= ((x.cutoff AT TIME ZONE 'Europe/Paris') - interval '3 hours'))
SELECT EXISTS (SELECT FROM ONLY "public"."PARTITION"),
       CASE WHEN false THEN true
            ELSE NOT EXISTS (SELECT FROM (SELECT "visits"."domain_id" AS l0, ("visits"."at" >= '1900-01-01 00:00:00' AND "visits"."at" <> '1970-01-01 00:00:00' AND "visits"."at" <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Paris') AND "visits"."at" < $1::timestamp without time zone AND ((visits.state <> 'queued'::text)
)) IS TRUE AS meant
          FROM ONLY "public"."PARTITION" AS "visits") reaper_r
         LEFT JOIN ("public"."domains" reaper_p1 JOIN reaper_c ON reaper_c.key OPERATOR(pg_catalog.=) reaper_p1."org_id") ON reaper_p1."id" OPERATOR(pg_catalog.=) reaper_r.l0
        WHERE reaper_c.key IS NULL OR NOT reaper_r.meant) END;

-- detach it
ALTER TABLE "public"."visits" DETACH PARTITION "public"."PARTITION" CONCURRENTLY;

-- then in one transaction: lock it
LOCK TABLE ONLY "public"."PARTITION" IN ACCESS EXCLUSIVE MODE;

-- count its rows by tenant, for the ledger, if all of them still are
WITH reaper_c AS MATERIALIZED (SELECT x.key FROM (
  SELECT reaper_s.key, min(least(reaper_s.cutoff, reaper_f.cutoff)) AS cutoff
    FROM (SELECT rank, tenant, cutoff FROM "reaper".cutoff WHERE run_id = $2::uuid AND policy = $3::text) reaper_f JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $4::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $4::timestamptz - b.length < $4::timestamptz
                            THEN $4::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.held), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s ON reaper_f.tenant = reaper_s.key::text
   GROUP BY reaper_s.key HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')) x
 WHERE $1::timestamp without time zone <= ((x.cutoff AT TIME ZONE 'Europe/Paris') - interval '3 hours')),
reaper_g AS MATERIALIZED (
  SELECT reaper_r.l0, count(*) AS n, count(*) FILTER (WHERE reaper_r.meant) AS meant
    FROM (SELECT "visits"."domain_id" AS l0, ("visits"."at" >= '1900-01-01 00:00:00' AND "visits"."at" <> '1970-01-01 00:00:00' AND "visits"."at" <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Paris') AND "visits"."at" < $1::timestamp without time zone AND ((visits.state <> 'queued'::text)
)) IS TRUE AS meant
          FROM ONLY "public"."PARTITION" AS "visits") reaper_r
   GROUP BY reaper_r.l0),
reaper_t AS MATERIALIZED (
  SELECT reaper_s.key::text AS tenant, sum(reaper_g.n)::bigint AS n
    FROM reaper_g
  JOIN ("public"."domains" reaper_p1 JOIN reaper_c reaper_s ON reaper_s.key OPERATOR(pg_catalog.=) reaper_p1."org_id") ON reaper_p1."id" OPERATOR(pg_catalog.=) reaper_g.l0
   GROUP BY reaper_s.key)
SELECT tenant, n FROM reaper_t
 WHERE n > 0 AND (SELECT sum(n) FROM reaper_t) = (SELECT sum(n) FROM reaper_g) AND (SELECT sum(meant) FROM reaper_g) = (SELECT sum(n) FROM reaper_g);

-- and drop it
DROP TABLE "public"."PARTITION";

-- the next rows of the age sweep, and which of them are expired
WITH reaper_w AS MATERIALIZED (
  SELECT "visits"."at" AS k0, "visits"."id" AS k1, "visits"."domain_id" AS l0, "visits"."at" AS age, ("visits"."at" >= '1900-01-01 00:00:00' AND "visits"."at" <> '1970-01-01 00:00:00' AND "visits"."at" <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Paris') AND ((visits.state <> 'queued'::text)
)) IS TRUE AS meant, 2048::bigint AS size
    FROM "public"."visits"
   WHERE "visits"."at" >= '1900-01-01 00:00:00' AND "visits"."at" <> '1970-01-01 00:00:00' AND "visits"."at" <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Paris')
     AND "visits"."at" < (($1::timestamptz AT TIME ZONE 'Europe/Paris') + interval '3 hours')
   ORDER BY "visits"."at", "visits"."at", "visits"."id" LIMIT 10000)
SELECT 0, w.size, reaper_s.key::text, least(reaper_s.cutoff, reaper_f.cutoff)::text, NULL, w.k0::text, w.k1::text
  FROM reaper_w w
  JOIN ("public"."domains" reaper_p1 JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $2::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $2::timestamptz - b.length < $2::timestamptz
                            THEN $2::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.held), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t) b) c) reaper_s ON reaper_s.key OPERATOR(pg_catalog.=) reaper_p1."org_id") ON reaper_p1."id" OPERATOR(pg_catalog.=) w.l0
  JOIN (SELECT rank, tenant, cutoff FROM "reaper".cutoff WHERE run_id = $3::uuid AND policy = $4::text) reaper_f ON reaper_f.tenant = reaper_s.key::text
 WHERE w.meant AND reaper_s.state = 'active' AND w.age >= '1900-01-01 00:00:00' AND w.age <> '1970-01-01 00:00:00' AND w.age <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Paris') AND w.age < ((least(reaper_s.cutoff, reaper_f.cutoff) AT TIME ZONE 'Europe/Paris') + interval '3 hours') AND CASE WHEN w.age < ((least(reaper_s.cutoff, reaper_f.cutoff) AT TIME ZONE 'Europe/Paris') + interval '3 hours') THEN (w.age AT TIME ZONE 'Europe/Paris') < least(reaper_s.cutoff, reaper_f.cutoff) ELSE false END
UNION ALL
(SELECT 1, (SELECT count(*) FROM reaper_w), NULL, NULL, w.age::text, w.k0::text, w.k1::text FROM reaper_w w ORDER BY w.age DESC, w.k0 DESC, w.k1 DESC LIMIT 1);

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
WITH reaper_cut AS MATERIALIZED (SELECT $1::pg_catalog.uuid AS key, least(min(reaper_s.cutoff), $2::timestamptz) AS cutoff FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.held), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.uuid[])) t OFFSET 0) b OFFSET 0) c) reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active'))
DELETE FROM "public"."visits"
 WHERE EXISTS (SELECT FROM unnest($5::pg_catalog.text[], $6::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog."timestamp" OPERATOR(pg_catalog.=) "visits"."at" AND reaper_v.v1::pg_catalog.int8 OPERATOR(pg_catalog.=) "visits"."id")
   AND EXISTS (SELECT FROM "public"."domains" reaper_p1 JOIN reaper_cut ON reaper_cut.key OPERATOR(pg_catalog.=) reaper_p1."org_id" WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "visits"."domain_id" AND "visits"."at" >= '1900-01-01 00:00:00' AND "visits"."at" <> '1970-01-01 00:00:00' AND "visits"."at" <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Paris') AND "visits"."at" < ((reaper_cut.cutoff AT TIME ZONE 'Europe/Paris') + interval '3 hours') AND CASE WHEN "visits"."at" < ((reaper_cut.cutoff AT TIME ZONE 'Europe/Paris') + interval '3 hours') THEN ("visits"."at" AT TIME ZONE 'Europe/Paris') < reaper_cut.cutoff ELSE false END) AND ((visits.state <> 'queued'::text)
);

-- a batch of many tenants reads their cutoffs, and again at its end
WITH reaper_cut AS MATERIALIZED (SELECT array_agg(cutoff ORDER BY n) AS cutoffs FROM (SELECT reaper_t.n, CASE WHEN count(reaper_s.key) = 1 AND bool_and(reaper_s.state = 'active') THEN least(min(reaper_s.cutoff), reaper_t.cutoff) END AS cutoff FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY reaper_t(key, cutoff, n) LEFT JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.held), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.uuid[])) t OFFSET 0) b OFFSET 0) c) reaper_s ON reaper_t.key::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_s.key
 GROUP BY reaper_t.n, reaper_t.cutoff) reaper_x)
SELECT cutoffs FROM reaper_cut;

-- and has for each of them, in a loop in the server, with its cutoff
DELETE FROM "public"."visits"
 WHERE EXISTS (SELECT FROM unnest(reaper_loop.p1::pg_catalog.text[], reaper_loop.p2::pg_catalog.text[]) reaper_v(v0, v1) WHERE reaper_v.v0::pg_catalog."timestamp" OPERATOR(pg_catalog.=) "visits"."at" AND reaper_v.v1::pg_catalog.int8 OPERATOR(pg_catalog.=) "visits"."id")
   AND "visits"."at" >= '1900-01-01 00:00:00' AND "visits"."at" <> '1970-01-01 00:00:00' AND "visits"."at" <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Paris') AND "visits"."at" < ((reaper_loop.given AT TIME ZONE 'Europe/Paris') + interval '3 hours') AND CASE WHEN "visits"."at" < ((reaper_loop.given AT TIME ZONE 'Europe/Paris') + interval '3 hours') THEN ("visits"."at" AT TIME ZONE 'Europe/Paris') < reaper_loop.given ELSE false END AND (EXISTS (SELECT FROM "public"."domains" reaper_p1 WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "visits"."domain_id" AND reaper_loop.p3::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_p1."org_id")) IS TRUE AND ((visits.state <> 'queued'::text)
);

