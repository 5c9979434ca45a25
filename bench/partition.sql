-- A table partitioned by age: {{n}} rows (a whole number takes the place of the
-- braces) in a partition that is expired as a whole, and some of today in
-- another. No default partition, and nothing references a row.
CREATE TABLE tenants (
    id             bigint PRIMARY KEY,
    retention_days int
);

CREATE TABLE events (
    id         bigint NOT NULL,
    tenant_id  bigint NOT NULL REFERENCES tenants,
    created_at timestamptz NOT NULL,
    body       text,
    PRIMARY KEY (id, created_at)
) PARTITION BY RANGE (created_at);
CREATE INDEX ON events (tenant_id, created_at, id);

DO $$
BEGIN
    EXECUTE format('CREATE TABLE events_old PARTITION OF events FOR VALUES FROM (%L) TO (%L)', current_date - 90, current_date - 60);
    EXECUTE format('CREATE TABLE events_new PARTITION OF events FOR VALUES FROM (%L) TO (%L)', current_date - 60, current_date + 30);
END
$$;

INSERT INTO tenants SELECT g, CASE WHEN g % 3 = 0 THEN 7 ELSE 30 END FROM generate_series(1, 100) AS g;

INSERT INTO events (id, tenant_id, created_at, body)
SELECT g, 1 + g % 100, current_date - interval '90 days' + random() * interval '30 days', md5(g::text)
  FROM generate_series(1, {{n}}) AS g;

INSERT INTO events (id, tenant_id, created_at, body)
SELECT {{n}} + g, 1 + g % 100, now() - random() * interval '1 day', md5(g::text)
  FROM generate_series(1, 10000) AS g;
