-- {{tenants}} tenants that share {{n}} events (whole numbers take the place of the braces),
-- half of them expired, each event with one row behind it where {{details}} is 1.
CREATE TABLE tenants (
    id             bigint PRIMARY KEY,
    retention_days int NOT NULL
);

CREATE TABLE events (
    id         bigint PRIMARY KEY,
    tenant_id  bigint NOT NULL REFERENCES tenants,
    created_at timestamptz NOT NULL,
    body       text
);
CREATE INDEX ON events (tenant_id, created_at, id);

CREATE TABLE details (
    id       bigint PRIMARY KEY,
    event_id bigint NOT NULL REFERENCES events ON DELETE CASCADE,
    body     text
);
CREATE INDEX ON details (event_id);

INSERT INTO tenants SELECT g, 30 FROM generate_series(1, {{tenants}}) AS g;

INSERT INTO events (id, tenant_id, created_at, body)
SELECT g, 1 + g % {{tenants}}, now() - interval '60 days' + g * interval '60 days' / {{n}}, md5(g::text)
  FROM generate_series(1, {{n}}) AS g;

INSERT INTO details (id, event_id, body)
SELECT g, g, md5(g::text) FROM generate_series(1, {{n}}) AS g WHERE {{details}} = 1;
