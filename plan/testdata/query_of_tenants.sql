-- the next rows of the key sweep, and which of them are expired
WITH reaper_w AS MATERIALIZED (
  SELECT "logs"."id" AS k0, "logs"."org" AS l0, "logs"."day" AS age, ("logs"."day" >= '1900-01-01' AND "logs"."day" <> '1970-01-01') IS TRUE AS meant, 2048::bigint AS size
    FROM "public"."logs"
   ORDER BY "logs"."id" LIMIT 10000)
SELECT 0, w.size, reaper_s.key::text, least(reaper_s.cutoff, reaper_f.cutoff)::text, NULL, w.k0::text
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
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 30 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "tenants"."id" AS key, false AS held, ("tenants"."days") AS r0 FROM (SELECT orgs.id AS column1,
    orgs.days AS column2
   FROM (public.orgs
     CROSS JOIN ( SELECT) besides)
  WHERE (orgs.id <> ''::text)
) AS tenants("id", "days") WHERE "tenants"."id" IS NOT NULL) t) b) c) reaper_s ON reaper_s.key OPERATOR(pg_catalog.=) w.l0
  JOIN (SELECT rank, tenant, cutoff FROM "reaper".cutoff WHERE run_id = $2::uuid AND policy = $3::text) reaper_f ON reaper_f.tenant = reaper_s.key::text
 WHERE w.meant AND reaper_s.state = 'active' AND w.age >= '1900-01-01' AND w.age <> '1970-01-01' AND w.age < (least(reaper_s.cutoff, reaper_f.cutoff) AT TIME ZONE 'Pacific/Kiritimati')::date
UNION ALL
(SELECT 1, (SELECT count(*) FROM reaper_w), NULL, NULL, w.age::text, w.k0::text FROM reaper_w w ORDER BY w.k0 DESC LIMIT 1);

-- each batch locks the tables against changes of keys, triggers and rules
LOCK TABLE "public"."logs", ONLY "public"."lines" IN ROW EXCLUSIVE MODE;

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
WITH reaper_cut AS MATERIALIZED (SELECT $1::pg_catalog.text AS key, $2::timestamptz AS cutoff)
DELETE FROM "public"."logs"
 WHERE "logs"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($3::pg_catalog.int8[])))
   AND EXISTS (SELECT FROM reaper_cut WHERE reaper_cut.key OPERATOR(pg_catalog.=) "logs"."org" AND "logs"."day" >= '1900-01-01' AND "logs"."day" <> '1970-01-01' AND "logs"."day" < (reaper_cut.cutoff AT TIME ZONE 'Pacific/Kiritimati')::date);

-- a batch of many tenants reads their cutoffs, and again at its end
WITH reaper_cut AS MATERIALIZED (SELECT array_agg(cutoff ORDER BY n) AS cutoffs FROM (SELECT reaper_t.n, CASE WHEN false THEN NULL ELSE reaper_t.cutoff END AS cutoff FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY reaper_t(key, cutoff, n)) reaper_x)
SELECT cutoffs FROM reaper_cut;

-- and has for each of them, in a loop in the server, with its cutoff
DELETE FROM "public"."logs"
 WHERE "logs"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest(reaper_loop.p1::pg_catalog.int8[])))
   AND "logs"."day" >= '1900-01-01' AND "logs"."day" <> '1970-01-01' AND "logs"."day" < (reaper_loop.given AT TIME ZONE 'Pacific/Kiritimati')::date AND reaper_loop.p2::pg_catalog.text OPERATOR(pg_catalog.=) "logs"."org";

-- drain: count rows behind lines_log_fkey
SELECT count(*) FROM (SELECT FROM ONLY "public"."lines" WHERE "lines"."log" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]) LIMIT 20000) x;

-- drain: delete some rows behind lines_log_fkey
DELETE FROM ONLY "public"."lines"
 WHERE "lines".ctid = ANY(ARRAY(SELECT "lines".ctid FROM ONLY "public"."lines" WHERE "lines"."log" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]) LIMIT 20000))
   AND "lines"."log" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

