CREATE TABLE accounts (id bigint PRIMARY KEY);
INSERT INTO accounts VALUES (1);
CREATE TABLE sessions (id bigint PRIMARY KEY, account_id bigint REFERENCES accounts, create_at bigint);
INSERT INTO sessions VALUES (1, 1, 1500000000000);
CREATE INDEX ON sessions (account_id, create_at, id);
CREATE TABLE visits (id bigint PRIMARY KEY, account_id bigint REFERENCES accounts, visited_on date);
INSERT INTO visits VALUES (1, 1, '2001-01-01');
CREATE INDEX ON visits (account_id, visited_on, id);
