-- tenants that have something due
SELECT x.key::text, x.cutoff::text FROM (
  SELECT reaper_s.key, reaper_s.cutoff, max(reaper_s.cutoff - reaper_x.at) AS lag
    FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $1::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $1::timestamptz - b.length < $1::timestamptz
                            THEN $1::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s
    JOIN "public"."domains" reaper_p1 ON reaper_s.key OPERATOR(pg_catalog.=) reaper_p1."org_id"
   CROSS JOIN LATERAL (SELECT "mails"."at" AS at FROM ONLY "public"."mails" WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_s.cutoff ORDER BY "mails"."at" LIMIT 1) reaper_x
   WHERE reaper_s.state = 'active'
   GROUP BY reaper_s.key, reaper_s.cutoff) x
 ORDER BY x.lag DESC, x.key;

-- those that still have something due, in the next pass
SELECT reaper_f.tenant, min(least(reaper_s.cutoff, reaper_f.cutoff))::text
  FROM (SELECT rank, tenant, cutoff FROM "reaper".cutoff WHERE run_id = $1::uuid AND policy = $2::text) reaper_f JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t) b) c) reaper_s ON reaper_f.tenant::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_s.key
    JOIN "public"."domains" reaper_p1 ON reaper_s.key OPERATOR(pg_catalog.=) reaper_p1."org_id"
   CROSS JOIN LATERAL (SELECT "mails"."at" AS at FROM ONLY "public"."mails" WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < least(reaper_s.cutoff, reaper_f.cutoff) ORDER BY "mails"."at" LIMIT 1) reaper_x
 WHERE reaper_f.rank > $4::bigint AND reaper_f.rank <= $5::bigint AND reaper_s.state = 'active'
 GROUP BY reaper_f.rank, reaper_f.tenant
 ORDER BY reaper_f.rank;

-- the next expired rows of one group
SELECT "mails"."at"::text, (true) IS TRUE, 2048::bigint, "mails"."id"::text
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
   CROSS JOIN LATERAL (SELECT row_number() OVER () AS i, reaper_q.* FROM (SELECT "mails"."at" AS age, (true) IS TRUE AS meant, 2048::bigint AS size, "mails"."id" AS k0
    FROM ONLY "public"."mails"
   WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id"
     AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00'
     AND "mails"."at" < reaper_t.cutoff
     AND "mails"."at" >= $3::pg_catalog.timestamptz
     AND "mails"."at" < $4::timestamptz
   ORDER BY "mails"."at", "mails"."id" LIMIT $5::bigint) reaper_q) reaper_x),
reaper_y AS (SELECT *, row_number() OVER reaper_o AS r, sum(size) OVER (reaper_o ROWS UNBOUNDED PRECEDING) + lead(size) OVER reaper_o AS bytes FROM reaper_x WINDOW reaper_o AS (ORDER BY age, k0)),
reaper_u AS (SELECT min(r) FILTER (WHERE i = $6::bigint OR r = $7::bigint OR bytes > $8::bigint) AS stop, (array_agg(age) FILTER (WHERE r = 1))[1] AS first FROM reaper_y)
SELECT 0, e.age::text, (extract(epoch FROM e.age) * 1000000)::bigint::text, (extract(epoch FROM first) * 1000000)::bigint::text, e.k0::text
  FROM reaper_u LEFT JOIN (SELECT r, age, k0 FROM reaper_y UNION ALL SELECT NULL, $9::timestamptz, NULL::pg_catalog.int8 WHERE $9::timestamptz < (SELECT max(c) FROM unnest($10::timestamptz[]) c)) e ON e.r IS NOT DISTINCT FROM stop
UNION ALL SELECT n, size::text, NULL, NULL, k0::text FROM reaper_y WHERE meant AND r <= coalesce((SELECT stop FROM reaper_u), r);

-- each batch locks the tables against changes of keys, triggers and rules
LOCK TABLE ONLY "public"."mails", ONLY "public"."drafts", ONLY "public"."parts", ONLY "public"."views" IN ROW EXCLUSIVE MODE;

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
SELECT count(*), coalesce(array_agg(reaper_x.tab), '{}')::text, coalesce(array_agg(reaper_x.tid), '{}')::text, coalesce(array_agg(reaper_x.c0), '{}')::text, coalesce(array_agg(reaper_x.c1), '{}')::text
  FROM (WITH reaper_cut AS MATERIALIZED (SELECT $1::pg_catalog.int4 AS key, least(min(reaper_s.cutoff), $2::timestamptz) AS cutoff FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.int4[])) t OFFSET 0) b OFFSET 0) c) reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active'))
SELECT "mails".tableoid::text AS tab, "mails".ctid::text AS tid, "mails"."id"::text AS c0, "mails"."id"::text AS c1
  FROM ONLY "public"."mails"
 WHERE "mails"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($5::pg_catalog.int8[])))
   AND EXISTS (SELECT FROM "public"."domains" reaper_p1 JOIN reaper_cut ON reaper_cut.key OPERATOR(pg_catalog.=) reaper_p1."org_id" WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_cut.cutoff)
   FOR UPDATE OF "mails" SKIP LOCKED) reaper_x;

-- the rows of public.parts
SELECT count(*), coalesce(array_agg(reaper_x.tab), '{}')::text, coalesce(array_agg(reaper_x.tid), '{}')::text, coalesce(array_agg(reaper_x.c0), '{}')::text
  FROM (SELECT "parts".tableoid::text AS tab, "parts".ctid::text AS tid, "parts"."id"::text AS c0
  FROM ONLY "public"."parts"
 WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])))
 LIMIT 100000) reaper_x;

-- a batch
WITH reaper_cut AS MATERIALIZED (SELECT $1::pg_catalog.int4 AS key, least(min(reaper_s.cutoff), $2::timestamptz) AS cutoff FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.int4[])) t OFFSET 0) b OFFSET 0) c) reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')), reaper_d0 AS (DELETE FROM ONLY "public"."mails" WHERE "mails"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($5::pg_catalog.int8[])))
   AND EXISTS (SELECT FROM "public"."domains" reaper_p1 JOIN reaper_cut ON reaper_cut.key OPERATOR(pg_catalog.=) reaper_p1."org_id" WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_cut.cutoff) RETURNING 1),
reaper_d1 AS (DELETE FROM ONLY "public"."parts" WHERE "parts".ctid = ANY($6::tid[])
   AND ((("parts"."mail_id" OPERATOR(pg_catalog.=) ANY (SELECT unnest($7::pg_catalog.int8[]))) IS TRUE)) RETURNING 1),
reaper_d2 AS (DELETE FROM ONLY "public"."views" WHERE "views"."part_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($8::pg_catalog.int8[]))) RETURNING 1)
SELECT (SELECT count(*) FROM reaper_d0), (SELECT count(*) FROM reaper_d1), (SELECT count(*) FROM reaper_d2);

-- a batch of many tenants locks their roots
WITH reaper_cut AS MATERIALIZED (SELECT array_agg(cutoff ORDER BY n) AS cutoffs FROM (SELECT reaper_t.n, CASE WHEN count(reaper_s.key) = 1 AND bool_and(reaper_s.state = 'active') THEN least(min(reaper_s.cutoff), reaper_t.cutoff) END AS cutoff FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY reaper_t(key, cutoff, n) LEFT JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.int4[])) t OFFSET 0) b OFFSET 0) c) reaper_s ON reaper_t.key::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_s.key
 GROUP BY reaper_t.n, reaper_t.cutoff) reaper_x)
SELECT count(*), coalesce(array_agg(reaper_x.tid), '{}')::text, coalesce(array_agg(reaper_x.c0), '{}')::text, coalesce(array_agg(reaper_x.reaper_owner), '{}')::text
  FROM (SELECT "mails".ctid::text AS tid, "mails"."id"::text AS c0, reaper_v.reaper_owner::text
  FROM unnest($5::pg_catalog.text[], $6::int4[], $7::pg_catalog.text[]) reaper_v(reaper_v0, reaper_owner, reaper_tenant)
  JOIN ONLY "public"."mails" ON reaper_v.reaper_v0::pg_catalog.int8 OPERATOR(pg_catalog.=) "mails"."id"
 WHERE "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < (SELECT cutoffs FROM reaper_cut)[reaper_v.reaper_owner] AND (EXISTS (SELECT FROM "public"."domains" reaper_p1 WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND reaper_v.reaper_tenant::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_p1."org_id")) IS TRUE
   FOR UPDATE OF "mails" SKIP LOCKED) reaper_x;

-- or, where their keys were not read
WITH reaper_cut AS MATERIALIZED (SELECT array_agg(cutoff ORDER BY n) AS cutoffs FROM (SELECT reaper_t.n, CASE WHEN count(reaper_s.key) = 1 AND bool_and(reaper_s.state = 'active') THEN least(min(reaper_s.cutoff), reaper_t.cutoff) END AS cutoff FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY reaper_t(key, cutoff, n) LEFT JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.int4[])) t OFFSET 0) b OFFSET 0) c) reaper_s ON reaper_t.key::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_s.key
 GROUP BY reaper_t.n, reaper_t.cutoff) reaper_x)
SELECT count(*), coalesce(array_agg(reaper_x.tid), '{}')::text, coalesce(array_agg(reaper_x.c0), '{}')::text, coalesce(array_agg(reaper_x.reaper_owner), '{}')::text
  FROM (SELECT reaper_q.*, reaper_t.n::text AS reaper_owner
  FROM unnest($7::text[]) WITH ORDINALITY reaper_t(key, n)
    JOIN "public"."domains" reaper_p1 ON reaper_t.key::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_p1."org_id"
 CROSS JOIN LATERAL (SELECT "mails".ctid::text AS tid, "mails"."id"::text AS c0
    FROM ONLY "public"."mails"
   WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id"
     AND "mails"."at" >= $5::pg_catalog.timestamptz
     AND "mails"."at" < $6::timestamptz
     AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < (SELECT cutoffs FROM reaper_cut)[reaper_t.n]
     FOR UPDATE OF "mails" SKIP LOCKED) reaper_q) reaper_x;

-- collects the rows of public.parts, each with its tenant
WITH reaper_r AS (SELECT "parts".ctid::text AS tid, "parts"."id"::text AS c0, "parts"."mail_id" AS reaper_f0
  FROM ONLY "public"."parts"
 WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])))
 LIMIT 100000)
SELECT count(*), coalesce(array_agg(reaper_x.tid), '{}')::text, coalesce(array_agg(reaper_x.c0), '{}')::text, coalesce(array_agg(reaper_x.reaper_owner), '{}')::text
  FROM (SELECT reaper_r.*, reaper_v.reaper_owner::text FROM reaper_r JOIN unnest($2::pg_catalog.text[], $3::int4[]) reaper_v(reaper_v0, reaper_owner) ON reaper_v.reaper_v0::pg_catalog.int8 OPERATOR(pg_catalog.=) reaper_r.reaper_f0) reaper_x;

-- locks the references to empty, and counts them by tenant
WITH reaper_d AS (SELECT "drafts"."mail_id" AS reaper_f0 FROM ONLY "public"."drafts" WHERE "drafts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) FOR UPDATE OF "drafts")
SELECT coalesce(array_agg(o), '{}'), coalesce(array_agg(n), '{}') FROM (SELECT reaper_v.reaper_owner AS o, count(*) AS n FROM reaper_d JOIN unnest($2::pg_catalog.text[], $3::int4[]) reaper_v(reaper_v0, reaper_owner) ON reaper_v.reaper_v0::pg_catalog.int8 OPERATOR(pg_catalog.=) reaper_d.reaper_f0
 GROUP BY 1) reaper_x;

-- empties them
UPDATE ONLY "public"."drafts" SET "mail_id" = NULL
 WHERE "drafts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])));

-- deletes rows of public.views, and counts them by tenant
WITH reaper_d AS (DELETE FROM ONLY "public"."views" WHERE "views"."part_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) RETURNING "views"."part_id" AS reaper_f0)
SELECT coalesce(array_agg(o), '{}'), coalesce(array_agg(n), '{}') FROM (SELECT reaper_v.reaper_owner AS o, count(*) AS n FROM reaper_d JOIN unnest($2::pg_catalog.text[], $3::int4[]) reaper_v(reaper_v0, reaper_owner) ON reaper_v.reaper_v0::pg_catalog.int8 OPERATOR(pg_catalog.=) reaper_d.reaper_f0
 GROUP BY 1) reaper_x;

-- and deletes the roots
WITH reaper_cut AS MATERIALIZED (SELECT array_agg(cutoff ORDER BY n) AS cutoffs FROM (SELECT reaper_t.n, CASE WHEN count(reaper_s.key) = 1 AND bool_and(reaper_s.state = 'active') THEN least(min(reaper_s.cutoff), reaper_t.cutoff) END AS cutoff FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY reaper_t(key, cutoff, n) LEFT JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.int4[])) t OFFSET 0) b OFFSET 0) c) reaper_s ON reaper_t.key::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_s.key
 GROUP BY reaper_t.n, reaper_t.cutoff) reaper_x)
DELETE FROM ONLY "public"."mails" USING unnest($5::tid[], $6::int4[], $7::pg_catalog.text[]) reaper_v(reaper_at, reaper_owner, reaper_tenant)
 WHERE "mails".ctid = reaper_v.reaper_at AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < (SELECT cutoffs FROM reaper_cut)[reaper_v.reaper_owner] AND (EXISTS (SELECT FROM "public"."domains" reaper_p1 WHERE reaper_p1."id" OPERATOR(pg_catalog.=) "mails"."domain_id" AND reaper_v.reaper_tenant::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_p1."org_id")) IS TRUE;

-- drain: empty some references by drafts_mail_id_fkey
WITH reaper_u AS (UPDATE ONLY "public"."drafts" SET "mail_id" = NULL
 WHERE "drafts".ctid = ANY(ARRAY(SELECT "drafts".ctid FROM ONLY "public"."drafts" WHERE "drafts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) LIMIT 20000))
   AND "drafts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])))
RETURNING ("drafts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($2::pg_catalog.int8[])))) IS TRUE AS stays)
SELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u;

-- drain: count rows behind parts_mail_id_fkey
SELECT count(*) FROM (SELECT FROM ONLY "public"."parts" WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) LIMIT 20000) x;

-- drain: delete some rows behind parts_mail_id_fkey
DELETE FROM ONLY "public"."parts"
 WHERE "parts".ctid = ANY(ARRAY(SELECT "parts".ctid FROM ONLY "public"."parts" WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) LIMIT 20000))
   AND "parts"."mail_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])));

-- drain: count rows behind views_part_id_fkey
SELECT count(*) FROM (SELECT FROM ONLY "public"."views" WHERE "views"."part_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) LIMIT 20000) x;

-- drain: delete some rows behind views_part_id_fkey
DELETE FROM ONLY "public"."views"
 WHERE "views".ctid = ANY(ARRAY(SELECT "views".ctid FROM ONLY "public"."views" WHERE "views"."part_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[]))) LIMIT 20000))
   AND "views"."part_id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])));

