CREATE TABLE job (id bigint PRIMARY KEY, done_at timestamptz);
INSERT INTO job VALUES (1, '2001-01-01'), (2, NULL);
CREATE INDEX ON job (done_at, id);
