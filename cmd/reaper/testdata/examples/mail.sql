CREATE TABLE organizations (id bigint PRIMARY KEY, retention_days int);
INSERT INTO organizations VALUES (1, 7), (42, NULL);
CREATE TABLE domains (id bigint PRIMARY KEY, organization_id bigint NOT NULL REFERENCES organizations);
INSERT INTO domains VALUES (1, 1), (2, 42);
CREATE TABLE outgoing_emails (id bigint PRIMARY KEY, domain_id bigint NOT NULL REFERENCES domains, created_at timestamptz);
INSERT INTO outgoing_emails VALUES (1, 1, '2001-01-01'), (2, 2, '2001-01-01');
CREATE INDEX ON outgoing_emails (domain_id, created_at, id);
CREATE TABLE recipients (id bigint PRIMARY KEY, outgoing_email_id bigint NOT NULL REFERENCES outgoing_emails ON DELETE CASCADE);
CREATE INDEX ON recipients (outgoing_email_id);
