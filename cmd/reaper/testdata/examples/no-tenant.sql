CREATE TABLE job_logs (id bigint PRIMARY KEY, finished_at timestamptz, status text);
INSERT INTO job_logs VALUES (1, '2001-01-01', 'done'), (2, '2001-01-01', 'running');
CREATE INDEX ON job_logs (finished_at, id);
