-- tenants that have something due
SELECT x.key::text, x.cutoff::text FROM (
  SELECT reaper_s.key, reaper_s.cutoff, max(reaper_s.cutoff - (reaper_x.at AT TIME ZONE 'Europe/Paris')) AS lag
    FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $1::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $1::timestamptz - b.length < $1::timestamptz
                            THEN $1::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '1 mons 0 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT NULL::text AS key, false AS held) t OFFSET 0) b OFFSET 0) c) reaper_s
   CROSS JOIN LATERAL (SELECT "events"."at" AS at FROM ONLY "public"."events" WHERE "events"."at" >= '1900-01-01 00:00:00' AND "events"."at" <> '1970-01-01 00:00:00' AND "events"."at" <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Paris') AND "events"."at" < ((reaper_s.cutoff AT TIME ZONE 'Europe/Paris') + interval '3 hours') AND CASE WHEN "events"."at" < ((reaper_s.cutoff AT TIME ZONE 'Europe/Paris') + interval '3 hours') THEN ("events"."at" AT TIME ZONE 'Europe/Paris') < reaper_s.cutoff ELSE false END ORDER BY "events"."at" LIMIT 1) reaper_x
   WHERE reaper_s.state = 'active'
   GROUP BY reaper_s.key, reaper_s.cutoff) x
 ORDER BY x.lag DESC, x.key;

-- the next expired rows of one group
SELECT "events"."at"::text, (true AND CASE WHEN "events"."at" < (($1::timestamptz AT TIME ZONE 'Europe/Paris') + interval '3 hours') THEN ("events"."at" AT TIME ZONE 'Europe/Paris') < $1::timestamptz ELSE false END) IS TRUE, 8192::bigint, "events"."id"::text
  FROM ONLY "public"."events"
 WHERE "events"."at" >= '1900-01-01 00:00:00' AND "events"."at" <> '1970-01-01 00:00:00' AND "events"."at" <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Paris')
   AND "events"."at" < (($1::timestamptz AT TIME ZONE 'Europe/Paris') + interval '3 hours')
 ORDER BY "events"."at"
 LIMIT 1000;

-- each batch locks the tables against changes of keys, triggers and rules
LOCK TABLE ONLY "public"."events" IN ROW EXCLUSIVE MODE;

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

-- a batch
WITH reaper_cut AS MATERIALIZED (SELECT $1::timestamptz AS cutoff)
DELETE FROM ONLY "public"."events"
 WHERE "events"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($2::pg_catalog.int4[])))
   AND EXISTS (SELECT FROM reaper_cut WHERE "events"."at" >= '1900-01-01 00:00:00' AND "events"."at" <> '1970-01-01 00:00:00' AND "events"."at" <> ('1970-01-01 00:00:00+00'::timestamptz AT TIME ZONE 'Europe/Paris') AND "events"."at" < ((reaper_cut.cutoff AT TIME ZONE 'Europe/Paris') + interval '3 hours') AND CASE WHEN "events"."at" < ((reaper_cut.cutoff AT TIME ZONE 'Europe/Paris') + interval '3 hours') THEN ("events"."at" AT TIME ZONE 'Europe/Paris') < reaper_cut.cutoff ELSE false END);

