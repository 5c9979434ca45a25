-- tenants that have something due
SELECT x.key::text, x.cutoff::text FROM (
  SELECT reaper_s.key, reaper_s.cutoff, max(reaper_s.cutoff - reaper_x.at) AS lag
    FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own, $1::timestamptz - interval '0 mons 1 days 00:00:00') AS cutoff, c.length::text AS retention, coalesce(least(c.own, $1::timestamptz - interval '0 mons 1 days 00:00:00') < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $1::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $1::timestamptz - b.length < $1::timestamptz
                            THEN $1::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN o.key IS NOT NULL THEN o.length WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 30 days 00:00:00' END AS length, coalesce(CASE WHEN o.key IS NOT NULL THEN o.forever WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.held), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t LEFT JOIN unnest($2::pg_catalog.int4[], $3::bool[], $4::interval[]) AS o(key, forever, length) ON o.key OPERATOR(pg_catalog.=) t.key OFFSET 0) b OFFSET 0) c) reaper_s
    JOIN "public"."domains" reaper_p1 ON reaper_s.key OPERATOR(pg_catalog.=) reaper_p1."org_id"
   CROSS JOIN LATERAL (SELECT "mails"."at" AS at FROM ONLY "public"."mails" WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_s.cutoff AND ((mails.state <> 'queued'::text)
) ORDER BY "mails"."at" LIMIT 1) reaper_x
   WHERE reaper_s.state = 'active'
   GROUP BY reaper_s.key, reaper_s.cutoff) x
 ORDER BY x.lag DESC, x.key;

-- those that still have something due, in the next pass
SELECT reaper_f.tenant, min(least(reaper_s.cutoff, reaper_f.cutoff))::text
  FROM (SELECT rank, tenant, cutoff FROM "reaper".cutoff WHERE run_id = $1::uuid AND policy = $2::text) reaper_f JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own, $3::timestamptz - interval '0 mons 1 days 00:00:00') AS cutoff, c.length::text AS retention, coalesce(least(c.own, $3::timestamptz - interval '0 mons 1 days 00:00:00') < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN o.key IS NOT NULL THEN o.length WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 30 days 00:00:00' END AS length, coalesce(CASE WHEN o.key IS NOT NULL THEN o.forever WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.held), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t LEFT JOIN unnest($4::pg_catalog.int4[], $5::bool[], $6::interval[]) AS o(key, forever, length) ON o.key OPERATOR(pg_catalog.=) t.key) b) c) reaper_s ON reaper_f.tenant::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_s.key
    JOIN "public"."domains" reaper_p1 ON reaper_s.key OPERATOR(pg_catalog.=) reaper_p1."org_id"
   CROSS JOIN LATERAL (SELECT "mails"."at" AS at FROM ONLY "public"."mails" WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < least(reaper_s.cutoff, reaper_f.cutoff) AND ((mails.state <> 'queued'::text)
) ORDER BY "mails"."at" LIMIT 1) reaper_x
 WHERE reaper_f.rank > $7::bigint AND reaper_f.rank <= $8::bigint AND reaper_s.state = 'active'
 GROUP BY reaper_f.rank, reaper_f.tenant
 ORDER BY reaper_f.rank;

-- the next expired rows of one group
SELECT "mails"."at"::text, (true AND ((mails.state <> 'queued'::text)
)) IS TRUE, 8192::bigint, "mails"."id"::text
  FROM ONLY "public"."mails"
 WHERE $2::pg_catalog.int4 OPERATOR(pg_catalog.=) "mails"."domain_id"
   AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00'
   AND "mails"."at" < $1::timestamptz
 ORDER BY "mails"."at", "mails"."id"
 LIMIT 1000;

-- each batch locks the tables against changes of keys, triggers and rules
LOCK TABLE ONLY "public"."mails", ONLY "public"."parts" IN ROW EXCLUSIVE MODE;

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
WITH reaper_cut AS MATERIALIZED (SELECT $1::pg_catalog.int4 AS key, least(min(reaper_s.cutoff), $2::timestamptz) AS cutoff FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own, $3::timestamptz - interval '0 mons 1 days 00:00:00') AS cutoff, c.length::text AS retention, coalesce(least(c.own, $3::timestamptz - interval '0 mons 1 days 00:00:00') < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN o.key IS NOT NULL THEN o.length WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 30 days 00:00:00' END AS length, coalesce(CASE WHEN o.key IS NOT NULL THEN o.forever WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.held), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($7::pg_catalog.int4[])) t LEFT JOIN unnest($4::pg_catalog.int4[], $5::bool[], $6::interval[]) AS o(key, forever, length) ON o.key OPERATOR(pg_catalog.=) t.key OFFSET 0) b OFFSET 0) c) reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active'))
DELETE FROM ONLY "public"."mails"
 WHERE "mails"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($8::pg_catalog.int8[])))
   AND EXISTS (SELECT FROM "public"."domains" reaper_p1 JOIN reaper_cut ON reaper_cut.key OPERATOR(pg_catalog.=) reaper_p1."org_id" WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_cut.cutoff) AND ((mails.state <> 'queued'::text)
);

-- drain: count rows behind parts_mail_id_fkey
SELECT count(*) FROM (SELECT FROM ONLY "public"."parts" WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) LIMIT 20000) x;

-- drain: delete some rows behind parts_mail_id_fkey
DELETE FROM ONLY "public"."parts"
 WHERE "parts".ctid = ANY(ARRAY(SELECT "parts".ctid FROM ONLY "public"."parts" WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) LIMIT 20000))
   AND "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])));

