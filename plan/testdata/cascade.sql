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
)) IS TRUE, 2048::bigint, "mails"."id"::text
  FROM ONLY "public"."mails"
 WHERE $2::pg_catalog.int4 OPERATOR(pg_catalog.=) "mails"."domain_id"
   AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00'
   AND "mails"."at" < $1::timestamptz
 ORDER BY "mails"."at", "mails"."id"
 LIMIT 10000;

-- the next expired rows of many tenants
WITH reaper_x AS MATERIALIZED (
  SELECT reaper_t.n, reaper_x.*
    FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY reaper_t(key, cutoff, n)
    JOIN "public"."domains" reaper_p1 ON reaper_t.key::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_p1."org_id"
   CROSS JOIN LATERAL (SELECT row_number() OVER () AS i, reaper_q.* FROM (SELECT "mails"."at" AS age, (true AND ((mails.state <> 'queued'::text)
)) IS TRUE AS meant, 2048::bigint AS size, "mails"."id" AS k0
    FROM ONLY "public"."mails"
   WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id"
     AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00'
     AND "mails"."at" < reaper_t.cutoff
     AND "mails"."at" >= $3::pg_catalog.timestamptz
     AND "mails"."at" < $4::timestamptz
   ORDER BY "mails"."at", "mails"."id" LIMIT $5::bigint) reaper_q) reaper_x),
reaper_y AS (SELECT *, row_number() OVER reaper_o AS r, sum(size) OVER (reaper_o ROWS UNBOUNDED PRECEDING) + lead(size) OVER reaper_o AS bytes FROM reaper_x WINDOW reaper_o AS (ORDER BY age, k0)),
reaper_u AS (SELECT min(r) FILTER (WHERE i = $6::bigint OR r = $7::bigint OR bytes > $8::bigint) AS stop, min(age) AS first FROM reaper_y)
SELECT 0, e.age::text, (extract(epoch FROM e.age) * 1000000)::bigint::text, (extract(epoch FROM first) * 1000000)::bigint::text, e.k0::text
  FROM reaper_u LEFT JOIN (SELECT r, age, k0 FROM reaper_y UNION ALL SELECT NULL, $9::timestamptz, NULL::pg_catalog.int8 WHERE $9::timestamptz < (SELECT max(c) FROM unnest($10::timestamptz[]) c)) e ON e.r IS NOT DISTINCT FROM stop
UNION ALL SELECT n, size::text, NULL, NULL, k0::text FROM reaper_y WHERE meant AND r <= coalesce((SELECT stop FROM reaper_u), r);

-- or, where a DELETE finds them again by the same index, how many there are
SELECT reaper_t.n::int, sum(reaper_x.meant)::bigint, coalesce(sum(reaper_x.size), 0)::bigint, max(reaper_x.read)::bigint, NULL, NULL
    FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY reaper_t(key, cutoff, n)
    JOIN "public"."domains" reaper_p1 ON reaper_t.key::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_p1."org_id"
   CROSS JOIN LATERAL (SELECT count(*) AS read, count(*) FILTER (WHERE meant) AS meant, sum(size) FILTER (WHERE meant) AS size FROM (SELECT (true AND ((mails.state <> 'queued'::text)
)) IS TRUE AS meant, 2048::bigint AS size
    FROM ONLY "public"."mails"
   WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id"
     AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00'
     AND "mails"."at" < reaper_t.cutoff
     AND "mails"."at" >= $3::pg_catalog.timestamptz
     AND "mails"."at" < $4::timestamptz
   ORDER BY "mails"."at" LIMIT $5::bigint) reaper_q) reaper_x
   GROUP BY reaper_t.n
UNION ALL SELECT 0, ($6::timestamptz < max(c))::int, NULL, NULL, ($6::timestamptz)::text, (extract(epoch FROM ($6::timestamptz)) * 1000000)::bigint::text FROM unnest($7::timestamptz[]) c;

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

-- a batch of many tenants reads their cutoffs, and again at its end
WITH reaper_cut AS MATERIALIZED (SELECT array_agg(cutoff ORDER BY n) AS cutoffs FROM (SELECT reaper_t.n, CASE WHEN count(reaper_s.key) = 1 AND bool_and(reaper_s.state = 'active') THEN least(min(reaper_s.cutoff), reaper_t.cutoff) END AS cutoff FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY reaper_t(key, cutoff, n) LEFT JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own, $3::timestamptz - interval '0 mons 1 days 00:00:00') AS cutoff, c.length::text AS retention, coalesce(least(c.own, $3::timestamptz - interval '0 mons 1 days 00:00:00') < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN o.key IS NOT NULL THEN o.length WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 30 days 00:00:00' END AS length, coalesce(CASE WHEN o.key IS NOT NULL THEN o.forever WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.held), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($7::pg_catalog.int4[])) t LEFT JOIN unnest($4::pg_catalog.int4[], $5::bool[], $6::interval[]) AS o(key, forever, length) ON o.key OPERATOR(pg_catalog.=) t.key OFFSET 0) b OFFSET 0) c) reaper_s ON reaper_t.key::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_s.key
 GROUP BY reaper_t.n, reaper_t.cutoff) reaper_x)
SELECT cutoffs FROM reaper_cut;

-- and has for each of them, in a loop in the server, with its cutoff
DELETE FROM ONLY "public"."mails"
 WHERE "mails"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest(reaper_loop.p1::pg_catalog.int8[])))
   AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_loop.given AND (EXISTS (SELECT FROM "public"."domains" reaper_p1 WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND reaper_loop.p2::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_p1."org_id")) IS TRUE AND ((mails.state <> 'queued'::text)
);

-- or, where their keys were not read
DELETE FROM ONLY "public"."mails"
 WHERE "mails"."domain_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT reaper_p1."id" FROM "public"."domains" reaper_p1 WHERE reaper_loop.p2::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_p1."org_id")) AND "mails"."at" >= reaper_loop.p3::pg_catalog.timestamptz AND "mails"."at" < reaper_loop.p4::timestamptz AND "mails"."at" < reaper_loop.p5::timestamptz
   AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_loop.given AND (EXISTS (SELECT FROM "public"."domains" reaper_p1 WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND reaper_loop.p1::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_p1."org_id")) IS TRUE AND ((mails.state <> 'queued'::text)
);

-- drain: count rows behind parts_mail_id_fkey
SELECT count(*) FROM (SELECT FROM ONLY "public"."parts" WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) LIMIT 20000) x;

-- drain: delete some rows behind parts_mail_id_fkey
DELETE FROM ONLY "public"."parts"
 WHERE "parts".ctid = ANY(ARRAY(SELECT "parts".ctid FROM ONLY "public"."parts" WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) LIMIT 20000))
   AND "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])));

