-- redact public.log
SELECT 0, "log".tableoid, "log".ctid::pg_catalog.text FROM ONLY "public"."log"
 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "log"."org_id") AND ROW("log"."ip")::pg_catalog.text OPERATOR(pg_catalog.<>) ROW((NULL::text)::text)::pg_catalog.text
 LIMIT 100 FOR NO KEY UPDATE OF "log";

WITH reaper_g0 AS (UPDATE ONLY "public"."log" SET "ip" = (NULL::text)::text
 WHERE "log".ctid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]::tid[]) AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "log"."org_id") AND ROW("log"."ip")::pg_catalog.text OPERATOR(pg_catalog.<>) ROW((NULL::text)::text)::pg_catalog.text
 RETURNING 1)
SELECT ARRAY[(SELECT count(*) FROM reaper_g0)]::bigint[];

-- delete public.jobs
SELECT 0, "jobs".tableoid, "jobs".ctid::pg_catalog.text FROM ONLY "public"."jobs"
 WHERE (((jobs.args ->> 'org_id'::text))::pg_catalog.text OPERATOR(pg_catalog.=) $1::pg_catalog.uuid::pg_catalog.text)
 LIMIT 100 FOR UPDATE OF "jobs";

WITH reaper_g0 AS (DELETE FROM ONLY "public"."jobs"
 WHERE "jobs".ctid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]::tid[]) AND (((jobs.args ->> 'org_id'::text))::pg_catalog.text OPERATOR(pg_catalog.=) $1::pg_catalog.uuid::pg_catalog.text)
 RETURNING 1)
SELECT ARRAY[(SELECT count(*) FROM reaper_g0)]::bigint[];

-- delete public.receipts
SELECT 0, "receipts".tableoid, "receipts".ctid::pg_catalog.text FROM ONLY "public"."receipts"
 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "receipts"."org_id") AND NOT (("receipts"."at" >= '1900-01-01' AND "receipts"."at" <> '1970-01-01' AND "receipts"."at" < ((now() - interval '120 mons 0 days 00:00:00') AT TIME ZONE 'UTC')::date) IS NOT TRUE)
 LIMIT 100 FOR UPDATE OF "receipts";

WITH reaper_g0 AS (DELETE FROM ONLY "public"."receipts"
 WHERE "receipts".ctid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]::tid[]) AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "receipts"."org_id") AND NOT (("receipts"."at" >= '1900-01-01' AND "receipts"."at" <> '1970-01-01' AND "receipts"."at" < ((now() - interval '120 mons 0 days 00:00:00') AT TIME ZONE 'UTC')::date) IS NOT TRUE)
 RETURNING 1)
SELECT ARRAY[(SELECT count(*) FROM reaper_g0)]::bigint[];

-- delete public.posts
SELECT 0, "posts".tableoid, "posts".ctid::pg_catalog.text FROM "public"."posts"
 WHERE (EXISTS (SELECT FROM ONLY "public"."users" reaper_1 WHERE reaper_1."id" OPERATOR(pg_catalog.=) "posts"."user_id" AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_1."org_id")))
 LIMIT 100 FOR UPDATE OF "posts";

WITH reaper_g0 AS (DELETE FROM "public"."posts"
 WHERE "posts".ctid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]::tid[]) AND EXISTS (SELECT FROM unnest($3::oid[], $2::pg_catalog.text[]::tid[]) reaper_f(tab, tid) WHERE reaper_f.tab OPERATOR(pg_catalog.=) "posts".tableoid AND reaper_f.tid OPERATOR(pg_catalog.=) "posts".ctid) AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_1 WHERE reaper_1."id" OPERATOR(pg_catalog.=) "posts"."user_id" AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_1."org_id")))
 RETURNING 1)
SELECT ARRAY[(SELECT count(*) FROM reaper_g0)]::bigint[];

-- delete public.invoices
SELECT 0, "invoices".tableoid, "invoices".ctid::pg_catalog.text FROM ONLY "public"."invoices"
 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "invoices"."org_id") AND NOT EXISTS (SELECT FROM ONLY "public"."receipts" reaper_1 WHERE "invoices"."id" OPERATOR(pg_catalog.=) reaper_1."invoice_id" AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_1."org_id"))
 LIMIT 100 FOR UPDATE OF "invoices";

WITH reaper_g0 AS (DELETE FROM ONLY "public"."invoices"
 WHERE "invoices".ctid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]::tid[]) AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "invoices"."org_id") AND NOT EXISTS (SELECT FROM ONLY "public"."receipts" reaper_1 WHERE "invoices"."id" OPERATOR(pg_catalog.=) reaper_1."invoice_id" AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_1."org_id"))
 RETURNING 1)
SELECT ARRAY[(SELECT count(*) FROM reaper_g0)]::bigint[];

-- delete public.files
SELECT 0, "files".tableoid, "files".ctid::pg_catalog.text FROM ONLY "public"."files"
 WHERE (EXISTS (SELECT FROM ONLY "public"."users" reaper_1 WHERE reaper_1."id" OPERATOR(pg_catalog.=) "files"."record" AND $1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_1."org_id") AND ((files.kind = 'User'::text)))
 LIMIT 100 FOR UPDATE OF "files";

WITH reaper_g0 AS (DELETE FROM ONLY "public"."files"
 WHERE "files".ctid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]::tid[]) AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_1 WHERE reaper_1."id" OPERATOR(pg_catalog.=) "files"."record" AND $1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_1."org_id") AND ((files.kind = 'User'::text)))
 RETURNING 1)
SELECT ARRAY[(SELECT count(*) FROM reaper_g0)]::bigint[];

-- delete public.users
SELECT 0, "users".tableoid, "users".ctid::pg_catalog.text FROM ONLY "public"."users"
 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "users"."org_id") AND NOT EXISTS (SELECT FROM ONLY "public"."orgs" reaper_1 WHERE "users"."id" OPERATOR(pg_catalog.=) reaper_1."owner_id") AND NOT EXISTS (SELECT FROM "public"."posts" reaper_2 WHERE "users"."id" OPERATOR(pg_catalog.=) reaper_2."user_id") AND NOT EXISTS (SELECT FROM ONLY "public"."users" reaper_3 WHERE "users"."id" OPERATOR(pg_catalog.=) reaper_3."boss_id" AND NOT (reaper_3.ctid OPERATOR(pg_catalog.=) "users".ctid AND reaper_3.tableoid OPERATOR(pg_catalog.=) "users".tableoid)) AND NOT EXISTS (SELECT FROM ONLY "public"."files" reaper_4 WHERE "users"."id" OPERATOR(pg_catalog.=) reaper_4."record" AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_5 WHERE reaper_5."id" OPERATOR(pg_catalog.=) reaper_4."record" AND $1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_5."org_id") AND (SELECT (files.kind = 'User'::text) FROM (SELECT reaper_4.*) "files")))
 LIMIT 100 FOR UPDATE OF "users";

WITH reaper_g0 AS (DELETE FROM ONLY "public"."users"
 WHERE "users".ctid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]::tid[]) AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "users"."org_id") AND NOT EXISTS (SELECT FROM ONLY "public"."orgs" reaper_1 WHERE "users"."id" OPERATOR(pg_catalog.=) reaper_1."owner_id") AND NOT EXISTS (SELECT FROM "public"."posts" reaper_2 WHERE "users"."id" OPERATOR(pg_catalog.=) reaper_2."user_id") AND NOT EXISTS (SELECT FROM ONLY "public"."users" reaper_3 WHERE "users"."id" OPERATOR(pg_catalog.=) reaper_3."boss_id" AND NOT (reaper_3.ctid OPERATOR(pg_catalog.=) "users".ctid AND reaper_3.tableoid OPERATOR(pg_catalog.=) "users".tableoid)) AND NOT EXISTS (SELECT FROM ONLY "public"."files" reaper_4 WHERE "users"."id" OPERATOR(pg_catalog.=) reaper_4."record" AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_5 WHERE reaper_5."id" OPERATOR(pg_catalog.=) reaper_4."record" AND $1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_5."org_id") AND (SELECT (files.kind = 'User'::text) FROM (SELECT reaper_4.*) "files")))
 RETURNING 1, "users"."id"::pg_catalog.text AS m0)
SELECT ARRAY[(SELECT count(*) FROM reaper_g0)]::bigint[], (SELECT coalesce(array_agg(reaper_r.m0), '{}') FROM reaper_g0 reaper_r);

-- clear public.users
WITH RECURSIVE reaper_held(i, tab, tid) AS (
  SELECT 0, reaper_1.tableoid, reaper_1.ctid FROM ONLY "public"."orgs" reaper_1 WHERE reaper_1."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_2 WHERE reaper_1."id" OPERATOR(pg_catalog.=) reaper_2."org_id" AND (($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_2."org_id")) IS NOT TRUE))
  UNION ALL SELECT 1, reaper_3.tableoid, reaper_3.ctid FROM ONLY "public"."users" reaper_3 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_3."org_id") AND (EXISTS (SELECT FROM "public"."posts" reaper_4 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_4."user_id") OR EXISTS (SELECT FROM ONLY "public"."files" reaper_5 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_5."record" AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_6 WHERE reaper_6."id" OPERATOR(pg_catalog.=) reaper_5."record" AND $1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_6."org_id") AND (SELECT (files.kind = 'User'::text) FROM (SELECT reaper_5.*) "files"))) OR EXISTS (SELECT FROM ONLY "public"."orgs" reaper_7 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_7."owner_id" AND (reaper_7."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid) IS NOT TRUE) OR EXISTS (SELECT FROM ONLY "public"."users" reaper_8 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_8."boss_id" AND (($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_8."org_id")) IS NOT TRUE))
  UNION SELECT reaper_x.i, reaper_x.tab, reaper_x.tid FROM reaper_held reaper_h CROSS JOIN LATERAL (SELECT 0, reaper_10.tableoid, reaper_10.ctid FROM ONLY "public"."users" reaper_9 JOIN ONLY "public"."orgs" reaper_10 ON reaper_10."id" OPERATOR(pg_catalog.=) reaper_9."org_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_9.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_9.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND reaper_10."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid
    UNION ALL SELECT 1, reaper_12.tableoid, reaper_12.ctid FROM ONLY "public"."orgs" reaper_11 JOIN ONLY "public"."users" reaper_12 ON reaper_12."id" OPERATOR(pg_catalog.=) reaper_11."owner_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 0 AND reaper_11.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_11.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_12."org_id")
    UNION ALL SELECT 1, reaper_14.tableoid, reaper_14.ctid FROM ONLY "public"."users" reaper_13 JOIN ONLY "public"."users" reaper_14 ON reaper_14."id" OPERATOR(pg_catalog.=) reaper_13."boss_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_13.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_13.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_14."org_id")) reaper_x(i, tab, tid))
SELECT 0, "users".tableoid, "users".ctid::pg_catalog.text FROM ONLY "public"."users"
 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "users"."org_id") AND NOT ("users"."boss_id" IS NULL) AND NOT EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_h.tid OPERATOR(pg_catalog.=) "users".ctid AND reaper_h.tab OPERATOR(pg_catalog.=) "users".tableoid)
 LIMIT 100 FOR NO KEY UPDATE OF "users";

WITH RECURSIVE reaper_held(i, tab, tid) AS (
  SELECT 0, reaper_1.tableoid, reaper_1.ctid FROM ONLY "public"."orgs" reaper_1 WHERE reaper_1."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_2 WHERE reaper_1."id" OPERATOR(pg_catalog.=) reaper_2."org_id" AND (($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_2."org_id")) IS NOT TRUE))
  UNION ALL SELECT 1, reaper_3.tableoid, reaper_3.ctid FROM ONLY "public"."users" reaper_3 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_3."org_id") AND (EXISTS (SELECT FROM "public"."posts" reaper_4 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_4."user_id") OR EXISTS (SELECT FROM ONLY "public"."files" reaper_5 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_5."record" AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_6 WHERE reaper_6."id" OPERATOR(pg_catalog.=) reaper_5."record" AND $1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_6."org_id") AND (SELECT (files.kind = 'User'::text) FROM (SELECT reaper_5.*) "files"))) OR EXISTS (SELECT FROM ONLY "public"."orgs" reaper_7 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_7."owner_id" AND (reaper_7."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid) IS NOT TRUE) OR EXISTS (SELECT FROM ONLY "public"."users" reaper_8 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_8."boss_id" AND (($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_8."org_id")) IS NOT TRUE))
  UNION SELECT reaper_x.i, reaper_x.tab, reaper_x.tid FROM reaper_held reaper_h CROSS JOIN LATERAL (SELECT 0, reaper_10.tableoid, reaper_10.ctid FROM ONLY "public"."users" reaper_9 JOIN ONLY "public"."orgs" reaper_10 ON reaper_10."id" OPERATOR(pg_catalog.=) reaper_9."org_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_9.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_9.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND reaper_10."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid
    UNION ALL SELECT 1, reaper_12.tableoid, reaper_12.ctid FROM ONLY "public"."orgs" reaper_11 JOIN ONLY "public"."users" reaper_12 ON reaper_12."id" OPERATOR(pg_catalog.=) reaper_11."owner_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 0 AND reaper_11.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_11.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_12."org_id")
    UNION ALL SELECT 1, reaper_14.tableoid, reaper_14.ctid FROM ONLY "public"."users" reaper_13 JOIN ONLY "public"."users" reaper_14 ON reaper_14."id" OPERATOR(pg_catalog.=) reaper_13."boss_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_13.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_13.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_14."org_id")) reaper_x(i, tab, tid)),
reaper_g0 AS (UPDATE ONLY "public"."users" SET "boss_id" = NULL
 WHERE "users".ctid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]::tid[]) AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "users"."org_id") AND NOT EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_h.tid OPERATOR(pg_catalog.=) "users".ctid AND reaper_h.tab OPERATOR(pg_catalog.=) "users".tableoid)
 RETURNING 1)
SELECT ARRAY[(SELECT count(*) FROM reaper_g0)]::bigint[], '{}'::pg_catalog.text[];

-- together public.orgs, public.users
WITH RECURSIVE reaper_held(i, tab, tid) AS (
  SELECT 0, reaper_1.tableoid, reaper_1.ctid FROM ONLY "public"."orgs" reaper_1 WHERE reaper_1."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_2 WHERE reaper_1."id" OPERATOR(pg_catalog.=) reaper_2."org_id" AND (($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_2."org_id")) IS NOT TRUE))
  UNION ALL SELECT 1, reaper_3.tableoid, reaper_3.ctid FROM ONLY "public"."users" reaper_3 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_3."org_id") AND (EXISTS (SELECT FROM "public"."posts" reaper_4 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_4."user_id") OR EXISTS (SELECT FROM ONLY "public"."files" reaper_5 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_5."record" AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_6 WHERE reaper_6."id" OPERATOR(pg_catalog.=) reaper_5."record" AND $1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_6."org_id") AND (SELECT (files.kind = 'User'::text) FROM (SELECT reaper_5.*) "files"))) OR EXISTS (SELECT FROM ONLY "public"."orgs" reaper_7 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_7."owner_id" AND (reaper_7."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid) IS NOT TRUE) OR EXISTS (SELECT FROM ONLY "public"."users" reaper_8 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_8."boss_id" AND (($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_8."org_id")) IS NOT TRUE))
  UNION SELECT reaper_x.i, reaper_x.tab, reaper_x.tid FROM reaper_held reaper_h CROSS JOIN LATERAL (SELECT 0, reaper_10.tableoid, reaper_10.ctid FROM ONLY "public"."users" reaper_9 JOIN ONLY "public"."orgs" reaper_10 ON reaper_10."id" OPERATOR(pg_catalog.=) reaper_9."org_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_9.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_9.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND reaper_10."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid
    UNION ALL SELECT 1, reaper_12.tableoid, reaper_12.ctid FROM ONLY "public"."orgs" reaper_11 JOIN ONLY "public"."users" reaper_12 ON reaper_12."id" OPERATOR(pg_catalog.=) reaper_11."owner_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 0 AND reaper_11.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_11.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_12."org_id")
    UNION ALL SELECT 1, reaper_14.tableoid, reaper_14.ctid FROM ONLY "public"."users" reaper_13 JOIN ONLY "public"."users" reaper_14 ON reaper_14."id" OPERATOR(pg_catalog.=) reaper_13."boss_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_13.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_13.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_14."org_id")) reaper_x(i, tab, tid)),
reaper_l0 AS MATERIALIZED (SELECT "orgs".tableoid, "orgs".ctid FROM ONLY "public"."orgs" WHERE "orgs"."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid AND NOT EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) 0 AND reaper_h.tid OPERATOR(pg_catalog.=) "orgs".ctid AND reaper_h.tab OPERATOR(pg_catalog.=) "orgs".tableoid) LIMIT 101 FOR UPDATE OF "orgs"),
reaper_l1 AS MATERIALIZED (SELECT "users".tableoid, "users".ctid FROM ONLY "public"."users" WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "users"."org_id") AND NOT EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_h.tid OPERATOR(pg_catalog.=) "users".ctid AND reaper_h.tab OPERATOR(pg_catalog.=) "users".tableoid) LIMIT 101 FOR UPDATE OF "users")
SELECT 0, reaper_r.tableoid, reaper_r.ctid::pg_catalog.text FROM reaper_l0 reaper_r
UNION ALL
SELECT 1, reaper_r.tableoid, reaper_r.ctid::pg_catalog.text FROM reaper_l1 reaper_r;

WITH RECURSIVE reaper_held(i, tab, tid) AS (
  SELECT 0, reaper_1.tableoid, reaper_1.ctid FROM ONLY "public"."orgs" reaper_1 WHERE reaper_1."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_2 WHERE reaper_1."id" OPERATOR(pg_catalog.=) reaper_2."org_id" AND (($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_2."org_id")) IS NOT TRUE))
  UNION ALL SELECT 1, reaper_3.tableoid, reaper_3.ctid FROM ONLY "public"."users" reaper_3 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_3."org_id") AND (EXISTS (SELECT FROM "public"."posts" reaper_4 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_4."user_id") OR EXISTS (SELECT FROM ONLY "public"."files" reaper_5 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_5."record" AND (EXISTS (SELECT FROM ONLY "public"."users" reaper_6 WHERE reaper_6."id" OPERATOR(pg_catalog.=) reaper_5."record" AND $1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_6."org_id") AND (SELECT (files.kind = 'User'::text) FROM (SELECT reaper_5.*) "files"))) OR EXISTS (SELECT FROM ONLY "public"."orgs" reaper_7 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_7."owner_id" AND (reaper_7."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid) IS NOT TRUE) OR EXISTS (SELECT FROM ONLY "public"."users" reaper_8 WHERE reaper_3."id" OPERATOR(pg_catalog.=) reaper_8."boss_id" AND (($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_8."org_id")) IS NOT TRUE))
  UNION SELECT reaper_x.i, reaper_x.tab, reaper_x.tid FROM reaper_held reaper_h CROSS JOIN LATERAL (SELECT 0, reaper_10.tableoid, reaper_10.ctid FROM ONLY "public"."users" reaper_9 JOIN ONLY "public"."orgs" reaper_10 ON reaper_10."id" OPERATOR(pg_catalog.=) reaper_9."org_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_9.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_9.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND reaper_10."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid
    UNION ALL SELECT 1, reaper_12.tableoid, reaper_12.ctid FROM ONLY "public"."orgs" reaper_11 JOIN ONLY "public"."users" reaper_12 ON reaper_12."id" OPERATOR(pg_catalog.=) reaper_11."owner_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 0 AND reaper_11.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_11.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_12."org_id")
    UNION ALL SELECT 1, reaper_14.tableoid, reaper_14.ctid FROM ONLY "public"."users" reaper_13 JOIN ONLY "public"."users" reaper_14 ON reaper_14."id" OPERATOR(pg_catalog.=) reaper_13."boss_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_13.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_13.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_14."org_id")) reaper_x(i, tab, tid)),
reaper_g0 AS (DELETE FROM ONLY "public"."orgs"
 WHERE "orgs".ctid OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.text[]::tid[]) AND "orgs"."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid AND NOT EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) 0 AND reaper_h.tid OPERATOR(pg_catalog.=) "orgs".ctid AND reaper_h.tab OPERATOR(pg_catalog.=) "orgs".tableoid)
 RETURNING 1),
reaper_g1 AS (DELETE FROM ONLY "public"."users"
 WHERE "users".ctid OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.text[]::tid[]) AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "users"."org_id") AND NOT EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_h.tid OPERATOR(pg_catalog.=) "users".ctid AND reaper_h.tab OPERATOR(pg_catalog.=) "users".tableoid)
 RETURNING 1, "users"."id"::pg_catalog.text AS m0)
SELECT ARRAY[(SELECT count(*) FROM reaper_g0), (SELECT count(*) FROM reaper_g1)]::bigint[], (SELECT coalesce(array_agg(reaper_r.m0), '{}') FROM reaper_g1 reaper_r);

-- count public.log
SELECT count(*) FILTER (WHERE NOT (NOT (ROW("log"."ip")::pg_catalog.text OPERATOR(pg_catalog.<>) ROW((NULL::text)::text)::pg_catalog.text))), count(*) FILTER (WHERE NOT (ROW("log"."ip")::pg_catalog.text OPERATOR(pg_catalog.<>) ROW((NULL::text)::text)::pg_catalog.text)), NULL::timestamptz
  FROM ONLY "public"."log"
 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "log"."org_id");

-- count public.jobs
SELECT count(*) FILTER (WHERE NOT (false)), count(*) FILTER (WHERE false), NULL::timestamptz
  FROM ONLY "public"."jobs"
 WHERE (((jobs.args ->> 'org_id'::text))::pg_catalog.text OPERATOR(pg_catalog.=) $1::pg_catalog.uuid::pg_catalog.text);

-- count public.receipts
WITH RECURSIVE reaper_held(i, tab, tid) AS (
  SELECT 0, reaper_1.tableoid, reaper_1.ctid FROM ONLY "public"."receipts" reaper_1 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_1."org_id") AND ((reaper_1."at" >= '1900-01-01' AND reaper_1."at" <> '1970-01-01' AND reaper_1."at" < ((now() - interval '120 mons 0 days 00:00:00') AT TIME ZONE 'UTC')::date) IS NOT TRUE)
  UNION SELECT reaper_x.i, reaper_x.tab, reaper_x.tid FROM reaper_held reaper_h CROSS JOIN LATERAL (SELECT 1, reaper_4.tableoid, reaper_4.ctid FROM ONLY "public"."receipts" reaper_3 JOIN ONLY "public"."invoices" reaper_4 ON reaper_4."id" OPERATOR(pg_catalog.=) reaper_3."invoice_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 0 AND reaper_3.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_3.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_4."org_id")) reaper_x(i, tab, tid))
SELECT count(*) FILTER (WHERE NOT (EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) 0 AND reaper_h.tid OPERATOR(pg_catalog.=) "receipts".ctid AND reaper_h.tab OPERATOR(pg_catalog.=) "receipts".tableoid))), count(*) FILTER (WHERE EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) 0 AND reaper_h.tid OPERATOR(pg_catalog.=) "receipts".ctid AND reaper_h.tab OPERATOR(pg_catalog.=) "receipts".tableoid)), max((("receipts"."at" + 1)::timestamp AT TIME ZONE 'UTC') + interval '120 mons 0 days 00:00:00') FILTER (WHERE "receipts"."at" >= '1900-01-01' AND "receipts"."at" <> '1970-01-01')
  FROM ONLY "public"."receipts"
 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "receipts"."org_id");

-- count public.posts
SELECT count(*) FILTER (WHERE NOT (false)), count(*) FILTER (WHERE false), NULL::timestamptz
  FROM "public"."posts"
 WHERE (EXISTS (SELECT FROM ONLY "public"."users" reaper_1 WHERE reaper_1."id" OPERATOR(pg_catalog.=) "posts"."user_id" AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_1."org_id")));

-- count public.invoices
WITH RECURSIVE reaper_held(i, tab, tid) AS (
  SELECT 0, reaper_1.tableoid, reaper_1.ctid FROM ONLY "public"."receipts" reaper_1 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_1."org_id") AND ((reaper_1."at" >= '1900-01-01' AND reaper_1."at" <> '1970-01-01' AND reaper_1."at" < ((now() - interval '120 mons 0 days 00:00:00') AT TIME ZONE 'UTC')::date) IS NOT TRUE)
  UNION SELECT reaper_x.i, reaper_x.tab, reaper_x.tid FROM reaper_held reaper_h CROSS JOIN LATERAL (SELECT 1, reaper_4.tableoid, reaper_4.ctid FROM ONLY "public"."receipts" reaper_3 JOIN ONLY "public"."invoices" reaper_4 ON reaper_4."id" OPERATOR(pg_catalog.=) reaper_3."invoice_id" WHERE reaper_h.i OPERATOR(pg_catalog.=) 0 AND reaper_3.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND reaper_3.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_4."org_id")) reaper_x(i, tab, tid))
SELECT count(*) FILTER (WHERE NOT (EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_h.tid OPERATOR(pg_catalog.=) "invoices".ctid AND reaper_h.tab OPERATOR(pg_catalog.=) "invoices".tableoid))), count(*) FILTER (WHERE EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) 1 AND reaper_h.tid OPERATOR(pg_catalog.=) "invoices".ctid AND reaper_h.tab OPERATOR(pg_catalog.=) "invoices".tableoid)), NULL::timestamptz
  FROM ONLY "public"."invoices"
 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "invoices"."org_id");

-- count public.files
SELECT count(*) FILTER (WHERE NOT (false)), count(*) FILTER (WHERE false), NULL::timestamptz
  FROM ONLY "public"."files"
 WHERE (EXISTS (SELECT FROM ONLY "public"."users" reaper_1 WHERE reaper_1."id" OPERATOR(pg_catalog.=) "files"."record" AND $1::pg_catalog.uuid OPERATOR(pg_catalog.=) reaper_1."org_id") AND ((files.kind = 'User'::text)));

-- count public.users
SELECT count(*) FILTER (WHERE NOT (false)), count(*) FILTER (WHERE false), NULL::timestamptz
  FROM ONLY "public"."users"
 WHERE ($1::pg_catalog.uuid OPERATOR(pg_catalog.=) "users"."org_id");

-- count public.orgs
SELECT count(*) FILTER (WHERE NOT (false)), count(*) FILTER (WHERE false), NULL::timestamptz
  FROM ONLY "public"."orgs"
 WHERE "orgs"."id" OPERATOR(pg_catalog.=) $1::pg_catalog.uuid;

