CREATE TABLE accounts (id uuid PRIMARY KEY);
INSERT INTO accounts VALUES ('00000000-0000-0000-0000-000000000001');
CREATE TABLE events (id bigint PRIMARY KEY, account_id uuid NOT NULL REFERENCES accounts, created_at timestamptz);
INSERT INTO events SELECT g, '00000000-0000-0000-0000-000000000001', '2001-01-01' FROM generate_series(1, 5) g;
CREATE INDEX ON events (account_id, created_at, id);
