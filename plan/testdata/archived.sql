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
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '0 mons 30 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t OFFSET 0) b OFFSET 0) c) reaper_s
   CROSS JOIN LATERAL (SELECT "mails"."at" AS at FROM ONLY "public"."mails" WHERE reaper_s.key OPERATOR(pg_catalog.=) "mails"."org_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_s.cutoff ORDER BY "mails"."at" LIMIT 1) reaper_x
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
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '0 mons 30 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL) t) b) c) reaper_s ON reaper_f.tenant::pg_catalog.int4 OPERATOR(pg_catalog.=) reaper_s.key
   CROSS JOIN LATERAL (SELECT "mails"."at" AS at FROM ONLY "public"."mails" WHERE reaper_s.key OPERATOR(pg_catalog.=) "mails"."org_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < least(reaper_s.cutoff, reaper_f.cutoff) ORDER BY "mails"."at" LIMIT 1) reaper_x
 WHERE reaper_f.rank > $4::bigint AND reaper_f.rank <= $5::bigint AND reaper_s.state = 'active'
 GROUP BY reaper_f.rank, reaper_f.tenant
 ORDER BY reaper_f.rank;

-- the next expired rows of one group
SELECT "mails"."at"::text, (true) IS TRUE, 2048::bigint, "mails"."id"::text
  FROM ONLY "public"."mails"
 WHERE $2::pg_catalog.int4 OPERATOR(pg_catalog.=) "mails"."org_id"
   AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00'
   AND "mails"."at" < $1::timestamptz
 ORDER BY "mails"."at", "mails"."id"
 LIMIT 10000;

-- the next expired rows of many tenants
WITH reaper_x AS MATERIALIZED (
  SELECT reaper_t.n, reaper_x.*
    FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY reaper_t(key, cutoff, n)
   CROSS JOIN LATERAL (SELECT row_number() OVER () AS i, reaper_q.* FROM (SELECT "mails"."at" AS age, (true) IS TRUE AS meant, 2048::bigint AS size, "mails"."id" AS k0
    FROM ONLY "public"."mails"
   WHERE reaper_t.key::pg_catalog.int4 OPERATOR(pg_catalog.=) "mails"."org_id"
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

-- before each batch, a snapshot of its own reads what goes
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- what decides, besides the rows, what a copy of them says

WITH RECURSIVE reaper_c AS (
	SELECT a.* FROM pg_catalog.pg_attribute a WHERE a.attrelid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[]) AND a.attnum OPERATOR(pg_catalog.>) 0
), reaper_t(oid) AS (
	SELECT atttypid FROM reaper_c WHERE NOT attisdropped AND atttypid OPERATOR(pg_catalog.>=) 16384
	UNION
	SELECT r.oid FROM reaper_t t CROSS JOIN LATERAL (
		SELECT unnest(ARRAY[y.typbasetype, y.typelem]) FROM pg_catalog.pg_type y WHERE y.oid OPERATOR(pg_catalog.=) t.oid
		UNION ALL SELECT g.rngsubtype FROM pg_catalog.pg_range g WHERE t.oid OPERATOR(pg_catalog.=) ANY (ARRAY[g.rngtypid, g.rngmultitypid])
		UNION ALL SELECT a.atttypid FROM pg_catalog.pg_type y JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) y.typrelid
		 WHERE y.oid OPERATOR(pg_catalog.=) t.oid AND y.typtype OPERATOR(pg_catalog.=) 'c' AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped
	) r(oid) WHERE r.oid OPERATOR(pg_catalog.>=) 16384
), reaper_f(x) AS (
	SELECT (ROW('column', c.attrelid, c.attnum, c.attname, c.atttypid, c.atttypmod, c.attcollation, c.attgenerated, c.attidentity, c.attisdropped, c.attnotnull, c.attmissingval,
	        (SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid OPERATOR(pg_catalog.=) c.attrelid AND d.adnum OPERATOR(pg_catalog.=) c.attnum)))::pg_catalog.text FROM reaper_c c
	UNION ALL
	SELECT (ROW('table', c.oid, c.relname, c.relnamespace, c.relkind, c.relfilenode))::pg_catalog.text FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.oid[])
	UNION ALL
	SELECT (ROW('type', y.oid, y.typname, y.typnamespace, y.typtype, y.typbasetype, y.typtypmod, y.typelem, y.typrelid))::pg_catalog.text FROM reaper_t JOIN pg_catalog.pg_type y USING (oid)
	UNION ALL
	SELECT (ROW('label', e.oid, e.enumtypid, e.enumlabel, e.enumsortorder))::pg_catalog.text FROM reaper_t JOIN pg_catalog.pg_enum e ON e.enumtypid OPERATOR(pg_catalog.=) reaper_t.oid
	UNION ALL
	SELECT (ROW('attribute', a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attisdropped))::pg_catalog.text
	  FROM reaper_t JOIN pg_catalog.pg_type y USING (oid) JOIN pg_catalog.pg_attribute a ON a.attrelid OPERATOR(pg_catalog.=) y.typrelid
	 WHERE y.typtype OPERATOR(pg_catalog.=) 'c' AND a.attnum OPERATOR(pg_catalog.>) 0
)
SELECT pg_catalog.pg_postmaster_start_time()::pg_catalog.text, pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8),
       (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) OPERATOR(pg_catalog.*) 1000000)::pg_catalog.int8,
       pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce((SELECT pg_catalog.string_agg(x, ' ' ORDER BY x COLLATE "C") FROM reaper_f), ''), 'UTF8')), 'hex');

-- the roots, if they are expired
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
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '0 mons 30 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.int4[])) t OFFSET 0) b OFFSET 0) c) reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active'))
SELECT "mails".tableoid::text AS tab, "mails".ctid::text AS tid, "mails"."id"::text AS c0, "mails"."id"::text AS c1
  FROM ONLY "public"."mails"
 WHERE "mails"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($5::pg_catalog.int8[])))
   AND EXISTS (SELECT FROM reaper_cut WHERE reaper_cut.key OPERATOR(pg_catalog.=) "mails"."org_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_cut.cutoff)) reaper_x;

-- the rows of tables that reference each other
WITH RECURSIVE reaper_c(node, tab, tid, refs) AS (
  (SELECT 2, x.tab, x.tid, ARRAY[x.r0] FROM unnest($1::text[], $2::text[], $3::text[]) x(tab, tid, r0)
  UNION ALL SELECT 2, "parts".tableoid::text, "parts".ctid::text, ARRAY["parts"."id"::text]::text[] FROM ONLY "public"."parts" WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.int8[]))
  UNION
  SELECT reaper_x.* FROM reaper_c CROSS JOIN LATERAL (SELECT 2, "parts".tableoid::text, "parts".ctid::text, ARRAY["parts"."id"::text]::text[] FROM ONLY "public"."parts" WHERE reaper_c.node = 2 AND (CASE WHEN reaper_c.node = 2 THEN reaper_c.refs[1] END::pg_catalog.int8) OPERATOR(pg_catalog.=) "parts"."part_id") reaper_x)
SELECT node, tab, tid, refs FROM reaper_c LIMIT 100000;

-- which rows delete and keep which
SELECT 1, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest($1::text[], $2::text[]) WITH ORDINALITY reaper_x(tab, r0, n) CROSS JOIN LATERAL (SELECT "parts".tableoid::text AS tab, "parts".ctid::text AS tid FROM ONLY "public"."parts" WHERE reaper_x.r0::pg_catalog.int8 OPERATOR(pg_catalog.=) "parts"."mail_id") reaper_c
UNION ALL
SELECT 2, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest($3::text[], $4::text[]) WITH ORDINALITY reaper_x(tab, r0, n) CROSS JOIN LATERAL (SELECT NULL AS tab, NULL AS tid FROM ONLY "public"."bills" WHERE reaper_x.r0::pg_catalog.int8 OPERATOR(pg_catalog.=) "bills"."part_id" LIMIT 1) reaper_c
UNION ALL
SELECT 3, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest($5::text[], $6::text[]) WITH ORDINALITY reaper_x(tab, r0, n) CROSS JOIN LATERAL (SELECT "parts".tableoid::text AS tab, "parts".ctid::text AS tid FROM ONLY "public"."parts" WHERE reaper_x.r0::pg_catalog.int8 OPERATOR(pg_catalog.=) "parts"."part_id") reaper_c;

-- the rows of public.notes whose reference will be emptied
SELECT count(*), coalesce(array_agg(reaper_x.tab), '{}')::text, coalesce(array_agg(reaper_x.tid), '{}')::text
  FROM (SELECT "notes".tableoid::text AS tab, "notes".ctid::text AS tid
  FROM ONLY "public"."notes"
 WHERE "notes"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
 LIMIT 100000) reaper_x;

-- a print of these references
SELECT pg_catalog.count(*), pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(pg_catalog.string_agg(v, ' ' ORDER BY v COLLATE "C"), ''), 'UTF8')), 'hex')
  FROM (SELECT (ROW("notes"."id", "notes"."mail_id"))::pg_catalog.text AS v FROM ONLY "public"."notes"
 WHERE "notes"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])) reaper_x;

-- a print of the versions of the rows of public.mails
SELECT pg_catalog.count(*), pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(pg_catalog.string_agg(v, ' ' ORDER BY v COLLATE "C"), ''), 'UTF8')), 'hex')
  FROM (SELECT (ROW("mails".tableoid, "mails".ctid, "mails".xmin))::pg_catalog.text AS v FROM ONLY "public"."mails"
 WHERE "mails".ctid = ANY($1::tid[])) reaper_x;

-- and the rows, into the segment
COPY (SELECT "mails"."id", "mails"."org_id", "mails"."at" FROM ONLY "public"."mails" WHERE "mails".ctid OPERATOR(pg_catalog.=) ANY ('{"(0,0)"}'::pg_catalog.tid[])) TO STDOUT;

-- a print of the versions of the rows of public.parts
SELECT pg_catalog.count(*), pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(pg_catalog.string_agg(v, ' ' ORDER BY v COLLATE "C"), ''), 'UTF8')), 'hex')
  FROM (SELECT (ROW("parts".tableoid, "parts".ctid, "parts".xmin))::pg_catalog.text AS v FROM ONLY "public"."parts"
 WHERE "parts".ctid = ANY($1::tid[])) reaper_x;

-- and the rows, into the segment
COPY (SELECT "parts"."id", "parts"."mail_id", "parts"."part_id" FROM ONLY "public"."parts" WHERE "parts".ctid OPERATOR(pg_catalog.=) ANY ('{"(0,0)"}'::pg_catalog.tid[])) TO STDOUT;

-- when the store has confirmed the segment, the batch locks the tables against changes of keys, triggers and rules
LOCK TABLE ONLY "public"."mails", ONLY "public"."notes", ONLY "public"."parts", ONLY "public"."bills" IN ROW EXCLUSIVE MODE;

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

-- locks the rows of public.mails, and prints them again
SELECT pg_catalog.count(*), pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(pg_catalog.string_agg(v, ' ' ORDER BY v COLLATE "C"), ''), 'UTF8')), 'hex')
  FROM (SELECT (ROW("mails".tableoid, "mails".ctid, "mails".xmin))::pg_catalog.text AS v FROM ONLY "public"."mails"
 WHERE "mails".ctid = ANY($1::tid[])
   FOR UPDATE OF "mails" SKIP LOCKED) reaper_x;

-- locks the rows of public.parts, and prints them again
SELECT pg_catalog.count(*), pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(pg_catalog.string_agg(v, ' ' ORDER BY v COLLATE "C"), ''), 'UTF8')), 'hex')
  FROM (SELECT (ROW("parts".tableoid, "parts".ctid, "parts".xmin))::pg_catalog.text AS v FROM ONLY "public"."parts"
 WHERE "parts".ctid = ANY($1::tid[])
   FOR UPDATE OF "parts") reaper_x;

-- locks the references to empty, and prints them again
SELECT pg_catalog.count(*), pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(coalesce(pg_catalog.string_agg(v, ' ' ORDER BY v COLLATE "C"), ''), 'UTF8')), 'hex')
  FROM (SELECT (ROW("notes"."id", "notes"."mail_id"))::pg_catalog.text AS v FROM ONLY "public"."notes"
 WHERE "notes"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
   FOR UPDATE OF "notes") reaper_x;

-- looks for rows that were not copied
SELECT (SELECT pg_catalog.count(*) FROM ONLY "public"."parts" WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
   AND ("parts".ctid = ANY($2::tid[])) IS NOT TRUE),
       (SELECT pg_catalog.count(*) FROM ONLY "public"."parts" WHERE "parts"."part_id" OPERATOR(pg_catalog.=) ANY ($3::pg_catalog.int8[])
   AND ("parts".ctid = ANY($4::tid[])) IS NOT TRUE);

-- empties references
UPDATE ONLY "public"."notes" SET "mail_id" = NULL
 WHERE "notes"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- and deletes
WITH reaper_cut AS MATERIALIZED (SELECT $1::pg_catalog.int4 AS key, least(min(reaper_s.cutoff), $2::timestamptz) AS cutoff FROM (
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own) AS cutoff, c.length::text AS retention, coalesce(least(c.own) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'
                  THEN CASE WHEN $3::timestamptz - b.length >= '1900-01-01 00:00:00+00' AND $3::timestamptz - b.length < $3::timestamptz
                            THEN $3::timestamptz - b.length END END AS own
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '0 mons 30 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT "orgs"."id" AS key, false AS held FROM "public"."orgs" WHERE "orgs"."id" IS NOT NULL AND "orgs"."id" OPERATOR(pg_catalog.=) ANY ($4::pg_catalog.int4[])) t OFFSET 0) b OFFSET 0) c) reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')), reaper_d0 AS (DELETE FROM ONLY "public"."mails" WHERE "mails"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($5::pg_catalog.int8[])))
   AND EXISTS (SELECT FROM reaper_cut WHERE reaper_cut.key OPERATOR(pg_catalog.=) "mails"."org_id" AND "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_cut.cutoff) RETURNING 1),
reaper_d1 AS (DELETE FROM ONLY "public"."parts" WHERE "parts".ctid = ANY($6::tid[]) RETURNING 1)
SELECT (SELECT count(*) FROM reaper_d0), (SELECT count(*) FROM reaper_d1);

-- drain: empty some references by notes_mail_id_fkey
WITH reaper_u AS (UPDATE ONLY "public"."notes" SET "mail_id" = NULL
 WHERE "notes".ctid = ANY(ARRAY(SELECT "notes".ctid FROM ONLY "public"."notes" WHERE "notes"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]) LIMIT 20000))
   AND "notes"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
RETURNING ("notes"."mail_id" OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.int8[])) IS TRUE AS stays)
SELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u;

-- drain: count rows behind parts_mail_id_fkey
SELECT count(*) FROM (SELECT FROM ONLY "public"."parts" WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]) LIMIT 20000) x;

-- drain: delete some rows behind parts_mail_id_fkey
DELETE FROM ONLY "public"."parts"
 WHERE "parts".ctid = ANY(ARRAY(SELECT "parts".ctid FROM ONLY "public"."parts" WHERE "parts"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]) LIMIT 20000))
   AND "parts"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- drain: lock rows on a cycle by parts_part_id_fkey
SELECT "parts".ctid::text
  FROM ONLY "public"."parts"
 WHERE "parts".ctid = ANY($1::tid[])
   FOR UPDATE OF "parts";

