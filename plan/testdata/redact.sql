-- the next rows of the key sweep, and which of them are expired
WITH reaper_w AS MATERIALIZED (
  SELECT "mails"."id" AS k0, "mails"."at" AS age, ("mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00') IS TRUE AS meant, 2048::bigint AS size
    FROM ONLY "public"."mails"
   ORDER BY "mails"."id" LIMIT 10000)
SELECT 0, w.size, reaper_s.key::text, reaper_s.cutoff::text, NULL, w.k0::text
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
        FROM (SELECT t.key, t.held, CASE WHEN true THEN interval '0 mons 90 days 00:00:00' END AS length, coalesce(CASE WHEN true THEN false END, false) AS forever FROM (SELECT NULL::text AS key, false AS held) t) b) c) reaper_s ON true
 WHERE w.meant AND reaper_s.state = 'active' AND w.age >= '1900-01-01 00:00:00+00' AND w.age <> '1970-01-01 00:00:00+00' AND w.age < reaper_s.cutoff
UNION ALL
(SELECT 1, (SELECT count(*) FROM reaper_w), NULL, NULL, w.age::text, w.k0::text FROM reaper_w w ORDER BY w.k0 DESC LIMIT 1);

-- each batch locks the tables against changes of keys, triggers and rules
LOCK TABLE ONLY "public"."mails", ONLY "public"."audit", ONLY "public"."lookups" IN ROW EXCLUSIVE MODE;

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
  FROM (WITH reaper_cut AS MATERIALIZED (SELECT $1::timestamptz AS cutoff)
SELECT "mails".tableoid::text AS tab, "mails".ctid::text AS tid, "mails"."id"::text AS c0, "mails"."id"::text AS c1
  FROM ONLY "public"."mails"
 WHERE "mails"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($2::pg_catalog.int8[])))
   AND EXISTS (SELECT FROM reaper_cut WHERE "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_cut.cutoff)
   FOR UPDATE OF "mails" SKIP LOCKED) reaper_x;

-- redact rows of public.audit
UPDATE ONLY "public"."audit" SET "mail_id" = NULL, "ip" = (NULL::text)::inet, "Who" = (COALESCE(('mail '::text || audit.note), 'gone'::text))::character varying(40)
 WHERE "audit"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]);

-- redact rows of public.lookups
UPDATE ONLY "public"."lookups" SET "hint" = ('gone'::text)::character varying(20)
 WHERE "lookups"."mail" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])::pg_catalog.text))
   AND (ROW("lookups"."hint")::pg_catalog.text OPERATOR(pg_catalog.<>) ROW(('gone'::text)::character varying(20))::pg_catalog.text);

-- a batch
WITH reaper_cut AS MATERIALIZED (SELECT $1::timestamptz AS cutoff), reaper_d0 AS (DELETE FROM ONLY "public"."mails" WHERE "mails"."id" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($2::pg_catalog.int8[])))
   AND EXISTS (SELECT FROM reaper_cut WHERE "mails"."at" >= '1900-01-01 00:00:00+00' AND "mails"."at" <> '1970-01-01 00:00:00+00' AND "mails"."at" < reaper_cut.cutoff) RETURNING 1)
SELECT (SELECT count(*) FROM reaper_d0);

-- drain: empty some references by audit_mail_id_fkey
WITH reaper_u AS (UPDATE ONLY "public"."audit" SET "mail_id" = NULL, "ip" = (NULL::text)::inet, "Who" = (COALESCE(('mail '::text || audit.note), 'gone'::text))::character varying(40)
 WHERE "audit".ctid = ANY(ARRAY(SELECT "audit".ctid FROM ONLY "public"."audit" WHERE "audit"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[]) LIMIT 20000))
   AND "audit"."mail_id" OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.int8[])
RETURNING (("audit"."mail_id" OPERATOR(pg_catalog.=) ANY ($2::pg_catalog.int8[])) IS TRUE OR ROW("audit"."ip", "audit"."Who")::pg_catalog.text OPERATOR(pg_catalog.<>) ROW((NULL::text)::inet, (COALESCE(('mail '::text || audit.note), 'gone'::text))::character varying(40))::pg_catalog.text) AS stays)
SELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u;

-- drain: empty some references by match
WITH reaper_u AS (UPDATE ONLY "public"."lookups" SET "hint" = ('gone'::text)::character varying(20)
 WHERE "lookups".ctid = ANY(ARRAY(SELECT "lookups".ctid FROM ONLY "public"."lookups" WHERE "lookups"."mail" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])::pg_catalog.text))
   AND (ROW("lookups"."hint")::pg_catalog.text OPERATOR(pg_catalog.<>) ROW(('gone'::text)::character varying(20))::pg_catalog.text) LIMIT 20000))
   AND "lookups"."mail" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($1::pg_catalog.int8[])::pg_catalog.text))
   AND (ROW("lookups"."hint")::pg_catalog.text OPERATOR(pg_catalog.<>) ROW(('gone'::text)::character varying(20))::pg_catalog.text)
RETURNING (("lookups"."mail" OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT unnest($2::pg_catalog.int8[])::pg_catalog.text))
   AND (ROW("lookups"."hint")::pg_catalog.text OPERATOR(pg_catalog.<>) ROW(('gone'::text)::character varying(20))::pg_catalog.text)) IS TRUE OR ROW("lookups"."hint")::pg_catalog.text OPERATOR(pg_catalog.<>) ROW(('gone'::text)::character varying(20))::pg_catalog.text) AS stays)
SELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u;

