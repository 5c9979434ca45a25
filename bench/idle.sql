-- {{n}} tenants (a whole number takes the place of the braces), each with five
-- rows of the last day: nothing is due.
CREATE TABLE tenants (
    id             bigint PRIMARY KEY,
    retention_days int
);

CREATE TABLE events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id  bigint NOT NULL REFERENCES tenants,
    created_at timestamptz NOT NULL,
    body       text
);

INSERT INTO tenants SELECT g, CASE WHEN g % 3 = 0 THEN 7 ELSE 30 END FROM generate_series(1, {{n}}) AS g;

INSERT INTO events (tenant_id, created_at, body)
SELECT t, now() - random() * interval '1 day', md5(t::text)
  FROM generate_series(1, 5) AS g, generate_series(1, {{n}}) AS t;

CREATE INDEX ON events (tenant_id, created_at, id);
