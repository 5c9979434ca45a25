-- estimate false: how many tenants of each state, and the first
WITH reaper_d AS MATERIALIZED (
  SELECT reaper_x.tenant::text AS key, count(*) AS n, true AS due FROM (SELECT reaper_s.key AS tenant, reaper_s.cutoff - reaper_r.age AS lag, reaper_r.tab, reaper_r.tid, reaper_r.age AS at
  FROM (SELECT "mails"."at" AS age, "mails".tableoid::text AS tab, "mails".ctid::text AS tid, "mails"."org_id" AS l0 FROM ONLY "public"."mails" WHERE "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00') reaper_r
  JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $1::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $1::timestamptz - b.length < $1::timestamptz
                            THEN $1::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.hold), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t) b) c) reaper_s ON reaper_s.key OPERATOR(pg_catalog.=) reaper_r.l0
 WHERE reaper_s.state = 'active' AND reaper_r.age >= '1900-01-01 00:00:00+00' AND reaper_r.age <> '1970-01-01 00:00:00+00' AND reaper_r.age < reaper_s.cutoff) reaper_x GROUP BY reaper_x.tenant),
reaper_c AS (
  SELECT count(*) FILTER (WHERE state = 'active') AS active, count(*) FILTER (WHERE state = 'held') AS held, count(*) FILTER (WHERE state = 'forever') AS forever, count(*) FILTER (WHERE state = 'skipped') AS skipped, max(cutoff) FILTER (WHERE state = 'active') AS latest
    FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $2::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $2::timestamptz - b.length < $2::timestamptz
                            THEN $2::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.hold), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s),
reaper_m AS MATERIALIZED (SELECT * FROM reaper_d ORDER BY n DESC, key LIMIT 1000),
reaper_f AS (
  SELECT reaper_s.key::text, CASE reaper_s.state WHEN 'forever' THEN 'forever' ELSE reaper_s.retention END AS retention, CASE reaper_s.state WHEN 'active' THEN reaper_s.cutoff END AS cutoff, CASE WHEN reaper_s.state <> 'active' THEN reaper_s.state WHEN reaper_d.due THEN 'due' ELSE 'clear' END AS state, reaper_s.floored, coalesce(reaper_d.n, 0) AS expired_rows, reaper_s.key AS own
    FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.hold), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s LEFT JOIN reaper_m reaper_d ON reaper_d.key = reaper_s.key::text
   WHERE reaper_s.state <> 'active' OR reaper_s.key::text IN (SELECT key FROM reaper_m) OR (SELECT active + held + forever + skipped FROM reaper_c) <= 1000
   ORDER BY CASE WHEN reaper_s.state = 'skipped' THEN 1 WHEN reaper_d.due THEN 2 WHEN reaper_s.state = 'held' THEN 3 WHEN reaper_s.state = 'forever' THEN 4 ELSE 5 END, reaper_d.n DESC, reaper_s.key LIMIT 1000)
SELECT json_build_object('due', due, 'clear', active - due, 'held', held, 'forever', forever, 'skipped', skipped)::text, expired, latest, '[]',
       (SELECT coalesce(json_agg(json_build_object('key', key, 'retention', retention, 'cutoff', cutoff, 'state', state, 'floored', floored, 'expired_rows', expired_rows) ORDER BY own), '[]') FROM reaper_f)::text
  FROM reaper_c, (SELECT count(*) AS due, coalesce(sum(n), 0)::bigint AS expired FROM reaper_d) reaper_x;

-- every tenant
SELECT reaper_s.key::text, CASE reaper_s.state WHEN 'forever' THEN 'forever' ELSE reaper_s.retention END AS retention, CASE reaper_s.state WHEN 'active' THEN reaper_s.cutoff END AS cutoff, CASE WHEN reaper_s.state <> 'active' THEN reaper_s.state WHEN reaper_d.due THEN 'due' ELSE 'clear' END AS state, reaper_s.floored, coalesce(reaper_d.n, 0) AS expired_rows, reaper_s.key AS own
    FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $2::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $2::timestamptz - b.length < $2::timestamptz
                            THEN $2::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.hold), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s LEFT JOIN (SELECT reaper_x.tenant::text AS key, count(*) AS n, true AS due FROM (SELECT reaper_s.key AS tenant, reaper_s.cutoff - reaper_r.age AS lag, reaper_r.tab, reaper_r.tid, reaper_r.age AS at
  FROM (SELECT "mails"."at" AS age, "mails".tableoid::text AS tab, "mails".ctid::text AS tid, "mails"."org_id" AS l0 FROM ONLY "public"."mails" WHERE "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00') reaper_r
  JOIN (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $1::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $1::timestamptz - b.length < $1::timestamptz
                            THEN $1::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.hold), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t) b) c) reaper_s ON reaper_s.key OPERATOR(pg_catalog.=) reaper_r.l0
 WHERE reaper_s.state = 'active' AND reaper_r.age >= '1900-01-01 00:00:00+00' AND reaper_r.age <> '1970-01-01 00:00:00+00' AND reaper_r.age < reaper_s.cutoff) reaper_x GROUP BY reaper_x.tenant) reaper_d ON reaper_d.key = reaper_s.key::text
 ORDER BY own;

-- estimate true: how many tenants of each state, and the first
WITH reaper_d AS MATERIALIZED (
  SELECT x.key, NULL::bigint AS n, true AS due, x.cutoff FROM (SELECT x.key::text, x.cutoff::text FROM (
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
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.hold), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s
   CROSS JOIN LATERAL (SELECT "mails"."at" AS at FROM ONLY "public"."mails" WHERE reaper_s.key OPERATOR(pg_catalog.=) "mails"."org_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_s.cutoff ORDER BY "mails"."at" LIMIT 1) reaper_x
   WHERE reaper_s.state = 'active'
   GROUP BY reaper_s.key, reaper_s.cutoff) x
 ORDER BY x.lag DESC, x.key) x(key, cutoff)),
reaper_c AS (
  SELECT count(*) FILTER (WHERE state = 'active') AS active, count(*) FILTER (WHERE state = 'held') AS held, count(*) FILTER (WHERE state = 'forever') AS forever, count(*) FILTER (WHERE state = 'skipped') AS skipped, max(cutoff) FILTER (WHERE state = 'active') AS latest
    FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $2::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $2::timestamptz - b.length < $2::timestamptz
                            THEN $2::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.hold), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s),
reaper_m AS MATERIALIZED (SELECT * FROM reaper_d ORDER BY n DESC, key LIMIT 1000),
reaper_f AS (
  SELECT reaper_s.key::text, CASE reaper_s.state WHEN 'forever' THEN 'forever' ELSE reaper_s.retention END AS retention, CASE reaper_s.state WHEN 'active' THEN reaper_s.cutoff END AS cutoff, CASE WHEN reaper_s.state <> 'active' THEN reaper_s.state WHEN reaper_d.due THEN 'due' ELSE 'clear' END AS state, reaper_s.floored, coalesce(reaper_d.n, NULL) AS expired_rows, reaper_s.key AS own
    FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.hold), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s LEFT JOIN reaper_m reaper_d ON reaper_d.key = reaper_s.key::text
   WHERE reaper_s.state <> 'active' OR reaper_s.key::text IN (SELECT key FROM reaper_m) OR (SELECT active + held + forever + skipped FROM reaper_c) <= 1000
   ORDER BY CASE WHEN reaper_s.state = 'skipped' THEN 1 WHEN reaper_d.due THEN 2 WHEN reaper_s.state = 'held' THEN 3 WHEN reaper_s.state = 'forever' THEN 4 ELSE 5 END, reaper_d.n DESC, reaper_s.key LIMIT 1000)
SELECT json_build_object('due', due, 'clear', active - due, 'held', held, 'forever', forever, 'skipped', skipped)::text, expired, latest, (SELECT coalesce(json_agg(x), '[]') FROM (SELECT cutoff, count(*) AS tenants FROM reaper_d GROUP BY cutoff ORDER BY 2 DESC, 1 LIMIT 50) x)::text,
       (SELECT coalesce(json_agg(json_build_object('key', key, 'retention', retention, 'cutoff', cutoff, 'state', state, 'floored', floored, 'expired_rows', expired_rows) ORDER BY own), '[]') FROM reaper_f)::text
  FROM reaper_c, (SELECT count(*) AS due, coalesce(sum(n), 0)::bigint AS expired FROM reaper_d) reaper_x;

-- every tenant
SELECT reaper_s.key::text, CASE reaper_s.state WHEN 'forever' THEN 'forever' ELSE reaper_s.retention END AS retention, CASE reaper_s.state WHEN 'active' THEN reaper_s.cutoff END AS cutoff, CASE WHEN reaper_s.state <> 'active' THEN reaper_s.state WHEN reaper_d.due THEN 'due' ELSE 'clear' END AS state, reaper_s.floored, coalesce(reaper_d.n, NULL) AS expired_rows, reaper_s.key AS own
    FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $2::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $2::timestamptz - b.length < $2::timestamptz
                            THEN $2::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.hold), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s LEFT JOIN (SELECT x.key, NULL::bigint AS n, true AS due, x.cutoff FROM (SELECT x.key::text, x.cutoff::text FROM (
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
        FROM (SELECT t.key, t.held, CASE WHEN t.r0 IS NOT NULL THEN CASE WHEN t.r0 BETWEEN -800000 AND 800000 THEN make_interval(days => t.r0::int) ELSE interval '0' END WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN t.r0 IS NOT NULL THEN false WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false OR coalesce((orgs.hold), false) AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s
   CROSS JOIN LATERAL (SELECT "mails"."at" AS at FROM ONLY "public"."mails" WHERE reaper_s.key OPERATOR(pg_catalog.=) "mails"."org_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_s.cutoff ORDER BY "mails"."at" LIMIT 1) reaper_x
   WHERE reaper_s.state = 'active'
   GROUP BY reaper_s.key, reaper_s.cutoff) x
 ORDER BY x.lag DESC, x.key) x(key, cutoff)) reaper_d ON reaper_d.key = reaper_s.key::text
 ORDER BY own;

