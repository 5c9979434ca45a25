-- {{tenants}} tenants, and {{tables}} tables of {{n}} rows of the last day each (whole numbers
-- take the place of the braces): nothing is due.
CREATE TABLE tenants (
    id             bigint PRIMARY KEY,
    retention_days int NOT NULL
);

INSERT INTO tenants SELECT g, CASE WHEN g % 3 = 0 THEN 7 ELSE 30 END FROM generate_series(1, {{tenants}}) AS g;

DO $$
BEGIN
    FOR t IN 1 .. {{tables}} LOOP
        EXECUTE format('CREATE TABLE events_%s (
            id         bigint PRIMARY KEY,
            tenant_id  bigint NOT NULL REFERENCES tenants,
            created_at timestamptz NOT NULL,
            body       text
        )', t);
        EXECUTE format('INSERT INTO events_%s SELECT g, 1 + g %% {{tenants}}, now() - random() * interval ''1 day'', md5(g::text)
            FROM generate_series(1, {{n}}) AS g', t);
        EXECUTE format('CREATE INDEX ON events_%s (tenant_id, created_at, id)', t);
    END LOOP;
END $$;
