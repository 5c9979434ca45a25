-- Names, keys and error texts as an attacker would choose them: control sequences of a
-- terminal, line breaks, bidirectional overrides, bits of HTML, JSON and SQL.
CREATE TABLE org (id text PRIMARY KEY, days int, U&"\001b[2J retention" int);
INSERT INTO org VALUES ('<script>alert(1)</script>', 10), (E'\x1b[2J\x1b]0;pwned\x07\x1b[31mred', 10), (E'a\nb\tc\rOVERWRITE', 10), (''' OR 1=1 --', 10),
  ('"; DROP TABLE org; --', 10), (E'\u202Eevil', 10), (E'\u009b31mred', 10), ('', 10), ('{"x":1}', 10), ('NULL', 10), ('{}', 10), ('\', 10),
  (repeat('k', 1000), 10), ('a,b', 10), ('$1::text', 10), ('%s%d%n', 10);

CREATE SCHEMA "Wëird ""sch.ema";
CREATE TABLE "Wëird ""sch.ema"."<img src=x onerror=alert(1)>" (
  "i d" bigserial PRIMARY KEY, "org""id" text NOT NULL REFERENCES org, "at;--" timestamptz NOT NULL, "$1::text" text);
CREATE INDEX ON "Wëird ""sch.ema"."<img src=x onerror=alert(1)>" ("org""id", "at;--", "i d");
CREATE TABLE "Wëird ""sch.ema"."child;DROP" ("k'k" bigserial PRIMARY KEY, "p.p" bigint NOT NULL REFERENCES "Wëird ""sch.ema"."<img src=x onerror=alert(1)>");
CREATE INDEX ON "Wëird ""sch.ema"."child;DROP" ("p.p");
INSERT INTO "Wëird ""sch.ema"."<img src=x onerror=alert(1)>" ("org""id", "at;--") SELECT id, now() - n * interval '1 day' FROM org, generate_series(1, 40) n;
INSERT INTO "Wëird ""sch.ema"."child;DROP" ("p.p") SELECT "i d" FROM "Wëird ""sch.ema"."<img src=x onerror=alert(1)>", generate_series(1, 3);

CREATE SCHEMA U&"\000aDROP SCHEMA public CASCADE; -- \001b[2J";
CREATE TABLE U&"\000aDROP SCHEMA public CASCADE; -- \001b[2J".U&"\001b]0;t\0007\000a\202e" (
  U&"\001bid" bigint PRIMARY KEY, U&"\000dorg" text NOT NULL REFERENCES org, U&"\000aat" timestamptz NOT NULL);
CREATE INDEX U&"\001b[31m" ON U&"\000aDROP SCHEMA public CASCADE; -- \001b[2J".U&"\001b]0;t\0007\000a\202e" (U&"\000dorg", U&"\000aat", U&"\001bid");
INSERT INTO U&"\000aDROP SCHEMA public CASCADE; -- \001b[2J".U&"\001b]0;t\0007\000a\202e" SELECT 1, id, '2001-01-01' FROM org WHERE days = 10 LIMIT 1;
CREATE TABLE side (id bigint PRIMARY KEY, U&"\001bref" bigint,
  CONSTRAINT U&"\000A  - {name: e,table: users,age: t,tenant: none,retention: 1d} #"
  FOREIGN KEY (U&"\001bref") REFERENCES U&"\000aDROP SCHEMA public CASCADE; -- \001b[2J".U&"\001b]0;t\0007\000a\202e");
CREATE TABLE users (id bigint PRIMARY KEY, t timestamptz NOT NULL);
ALTER TABLE U&"\000aDROP SCHEMA public CASCADE; -- \001b[2J".U&"\001b]0;t\0007\000a\202e" ENABLE ROW LEVEL SECURITY;

-- An error as a trigger of the application's may raise it with a customer's words in it.
CREATE FUNCTION poison() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF OLD."org""id" LIKE '%pwned%' OR OLD."org""id" LIKE '<script>%' THEN
    RAISE EXCEPTION E'\x1b]0;pwned\x07\x1b[2J<script>alert(2)</script>\nreaper: all is well';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER poison AFTER DELETE ON "Wëird ""sch.ema"."<img src=x onerror=alert(1)>" FOR EACH ROW EXECUTE FUNCTION poison();
ANALYZE;
