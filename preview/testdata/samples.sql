-- small tables: rows without a tenant
WITH reaper_m AS MATERIALIZED (
  SELECT "mails"."domain_id" FROM ONLY "public"."mails" WHERE ((mails.state <> 'queued'::text)
) LIMIT 50000)
SELECT count(*), count(*) - (SELECT count(*) FROM reaper_m WHERE EXISTS (SELECT FROM "public"."domains" reaper_p1 JOIN (SELECT "orgs"."id" AS key, false AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) reaper_t ON reaper_t.key OPERATOR(pg_catalog.=) reaper_p1."org_id" WHERE reaper_p1."id" OPERATOR(pg_catalog.=) reaper_m."domain_id"))
  FROM reaper_m;

-- small tables: the newest rows of public.parts, and their roots
WITH reaper_y AS MATERIALIZED (
  SELECT "parts"."inserted_at" AS at, "parts"."mail_region" AS c0, "parts"."mail_id" AS c1
    FROM (SELECT * FROM ONLY "public"."parts" WHERE "parts"."inserted_at" >= '1900-01-01 00:00:00+00' AND "parts"."inserted_at" <> '1970-01-01 00:00:00+00' AND "parts"."inserted_at" < now() ORDER BY "parts"."inserted_at" DESC NULLS LAST LIMIT 2000) "parts"
   ORDER BY 1 DESC LIMIT 200),
reaper_g AS (SELECT reaper_y.at, extract(epoch FROM reaper_y.at - reaper_u0.at)::float8 AS gap
  FROM reaper_y
 CROSS JOIN LATERAL (SELECT ("mails"."at" AT TIME ZONE 'UTC') AS at FROM ONLY "public"."mails" WHERE "mails"."region" OPERATOR(pg_catalog.=) reaper_y.c0 AND "mails"."id" OPERATOR(pg_catalog.=) reaper_y.c1 AND "mails"."at" >= '1900-01-01 00:00:00' AND "mails"."at" <> '1970-01-01 00:00:00' AND "mails"."at" < (now() AT TIME ZONE 'UTC') AND ((mails.state <> 'queued'::text)
) LIMIT 1) reaper_u0)
SELECT count(*), count(*) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), count(DISTINCT at) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), coalesce(avg(gap) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), 0), coalesce(max(gap), 0)
  FROM reaper_g;

-- small tables: the newest rows of public.Clicks, and their roots
WITH reaper_y AS MATERIALIZED (
  SELECT (("Clicks"."createdOn" + 1)::timestamp AT TIME ZONE 'UTC') AS at, "Clicks"."part" AS c0
    FROM (SELECT * FROM ONLY "public"."Clicks" WHERE "Clicks"."createdOn" >= '1900-01-01' AND "Clicks"."createdOn" <> '1970-01-01' AND "Clicks"."createdOn" < (now() AT TIME ZONE 'UTC')::date ORDER BY "Clicks"."createdOn" DESC LIMIT 2000) "Clicks"
   WHERE ("Clicks".kind = 'Part'::text)
   ORDER BY 1 DESC LIMIT 200),
reaper_g AS (SELECT reaper_y.at, extract(epoch FROM reaper_y.at - reaper_u1.at)::float8 AS gap
  FROM reaper_y
 CROSS JOIN LATERAL (SELECT "parts"."mail_region" AS c0, "parts"."mail_id" AS c1 FROM ONLY "public"."parts" WHERE "parts"."id"::pg_catalog.text OPERATOR(pg_catalog.=) reaper_y.c0 LIMIT 1) reaper_u0
 CROSS JOIN LATERAL (SELECT ("mails"."at" AT TIME ZONE 'UTC') AS at FROM ONLY "public"."mails" WHERE "mails"."region" OPERATOR(pg_catalog.=) reaper_u0.c0 AND "mails"."id" OPERATOR(pg_catalog.=) reaper_u0.c1 AND "mails"."at" >= '1900-01-01 00:00:00' AND "mails"."at" <> '1970-01-01 00:00:00' AND "mails"."at" < (now() AT TIME ZONE 'UTC') AND ((mails.state <> 'queued'::text)
) LIMIT 1) reaper_u1)
SELECT count(*), count(*) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), count(DISTINCT at) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), coalesce(avg(gap) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), 0), coalesce(max(gap), 0)
  FROM reaper_g;

-- large tables: rows without a tenant
WITH reaper_m AS MATERIALIZED (
  SELECT "mails"."domain_id" FROM ONLY "public"."mails" TABLESAMPLE SYSTEM (0.305176) REPEATABLE (0) WHERE ((mails.state <> 'queued'::text)
) LIMIT 50000)
SELECT count(*), count(*) - (SELECT count(*) FROM reaper_m WHERE EXISTS (SELECT FROM "public"."domains" reaper_p1 JOIN (SELECT "orgs"."id" AS key, false AS held, (orgs.days) AS r0 FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) reaper_t ON reaper_t.key OPERATOR(pg_catalog.=) reaper_p1."org_id" WHERE reaper_p1."id" OPERATOR(pg_catalog.=) reaper_m."domain_id"))
  FROM reaper_m;

-- large tables: the newest rows of public.parts, and their roots
WITH reaper_y AS MATERIALIZED (
  SELECT "parts"."inserted_at" AS at, "parts"."mail_region" AS c0, "parts"."mail_id" AS c1
    FROM (SELECT * FROM ONLY "public"."parts" WHERE "parts"."inserted_at" >= '1900-01-01 00:00:00+00' AND "parts"."inserted_at" <> '1970-01-01 00:00:00+00' AND "parts"."inserted_at" < now() ORDER BY "parts"."inserted_at" DESC NULLS LAST LIMIT 2000) "parts"
   ORDER BY 1 DESC LIMIT 200),
reaper_g AS (SELECT reaper_y.at, extract(epoch FROM reaper_y.at - reaper_u0.at)::float8 AS gap
  FROM reaper_y
 CROSS JOIN LATERAL (SELECT ("mails"."at" AT TIME ZONE 'UTC') AS at FROM ONLY "public"."mails" WHERE "mails"."region" OPERATOR(pg_catalog.=) reaper_y.c0 AND "mails"."id" OPERATOR(pg_catalog.=) reaper_y.c1 AND "mails"."at" >= '1900-01-01 00:00:00' AND "mails"."at" <> '1970-01-01 00:00:00' AND "mails"."at" < (now() AT TIME ZONE 'UTC') AND ((mails.state <> 'queued'::text)
) LIMIT 1) reaper_u0)
SELECT count(*), count(*) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), count(DISTINCT at) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), coalesce(avg(gap) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), 0), coalesce(max(gap), 0)
  FROM reaper_g;

-- large tables: the newest rows of public.Clicks, and their roots
WITH reaper_y AS MATERIALIZED (
  SELECT (("Clicks"."createdOn" + 1)::timestamp AT TIME ZONE 'UTC') AS at, "Clicks"."part" AS c0
    FROM (SELECT * FROM ONLY "public"."Clicks" WHERE "Clicks"."createdOn" >= '1900-01-01' AND "Clicks"."createdOn" <> '1970-01-01' AND "Clicks"."createdOn" < (now() AT TIME ZONE 'UTC')::date ORDER BY "Clicks"."id" DESC LIMIT 2000) "Clicks"
   WHERE ("Clicks".kind = 'Part'::text)
   ORDER BY 1 DESC LIMIT 200),
reaper_g AS (SELECT reaper_y.at, extract(epoch FROM reaper_y.at - reaper_u1.at)::float8 AS gap
  FROM reaper_y
 CROSS JOIN LATERAL (SELECT "parts"."mail_region" AS c0, "parts"."mail_id" AS c1 FROM ONLY "public"."parts" WHERE "parts"."id"::pg_catalog.text OPERATOR(pg_catalog.=) reaper_y.c0 LIMIT 1) reaper_u0
 CROSS JOIN LATERAL (SELECT ("mails"."at" AT TIME ZONE 'UTC') AS at FROM ONLY "public"."mails" WHERE "mails"."region" OPERATOR(pg_catalog.=) reaper_u0.c0 AND "mails"."id" OPERATOR(pg_catalog.=) reaper_u0.c1 AND "mails"."at" >= '1900-01-01 00:00:00' AND "mails"."at" <> '1970-01-01 00:00:00' AND "mails"."at" < (now() AT TIME ZONE 'UTC') AND ((mails.state <> 'queued'::text)
) LIMIT 1) reaper_u1)
SELECT count(*), count(*) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), count(DISTINCT at) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), coalesce(avg(gap) FILTER (WHERE gap > extract(epoch FROM interval '0 mons 90 days 00:00:00') / 2 + 86400), 0), coalesce(max(gap), 0)
  FROM reaper_g;

