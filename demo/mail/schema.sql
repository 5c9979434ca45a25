-- A transactional-mail database: organizations, their domains, the mails they
-- sent, and ten tables that hang off each mail, three levels deep. Every key
-- into a mail says ON DELETE CASCADE; no-action.sql turns that round.

CREATE TABLE organizations (
    id             bigint PRIMARY KEY,
    name           text NOT NULL,
    retention_days int,
    deleted_at     timestamptz
);

CREATE TABLE domains (
    id              bigint PRIMARY KEY,
    organization_id bigint NOT NULL REFERENCES organizations,
    name            text NOT NULL
);
CREATE INDEX ON domains (organization_id);

CREATE TABLE outgoing_emails (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain_id  bigint NOT NULL REFERENCES domains,
    created_at timestamptz NOT NULL,
    subject    text,
    html_body  text
);
CREATE INDEX ON outgoing_emails (domain_id, created_at, id);

CREATE TABLE recipients (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outgoing_email_id bigint NOT NULL REFERENCES outgoing_emails ON DELETE CASCADE,
    address           text
);
CREATE INDEX ON recipients (outgoing_email_id);

CREATE TABLE deliveries (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recipient_id bigint NOT NULL REFERENCES recipients ON DELETE CASCADE,
    status       text,
    at           timestamptz
);
CREATE INDEX ON deliveries (recipient_id);

CREATE TABLE responses (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    delivery_id bigint NOT NULL REFERENCES deliveries ON DELETE CASCADE,
    code        int,
    line        text
);
CREATE INDEX ON responses (delivery_id);

CREATE TABLE attachments (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outgoing_email_id bigint NOT NULL REFERENCES outgoing_emails ON DELETE CASCADE,
    name              text,
    content           bytea
);
CREATE INDEX ON attachments (outgoing_email_id);

CREATE TABLE headers (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outgoing_email_id bigint NOT NULL REFERENCES outgoing_emails ON DELETE CASCADE,
    k                 text,
    v                 text
);
CREATE INDEX ON headers (outgoing_email_id);

CREATE TABLE opens (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outgoing_email_id bigint NOT NULL REFERENCES outgoing_emails ON DELETE CASCADE,
    at                timestamptz,
    ua                text
);
CREATE INDEX ON opens (outgoing_email_id);

CREATE TABLE clicks (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outgoing_email_id bigint NOT NULL REFERENCES outgoing_emails ON DELETE CASCADE,
    at                timestamptz,
    url               text
);
CREATE INDEX ON clicks (outgoing_email_id);

CREATE TABLE bounces (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outgoing_email_id bigint NOT NULL REFERENCES outgoing_emails ON DELETE CASCADE,
    at                timestamptz,
    reason            text
);
CREATE INDEX ON bounces (outgoing_email_id);

CREATE TABLE tags (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outgoing_email_id bigint NOT NULL REFERENCES outgoing_emails ON DELETE CASCADE,
    tag               text
);
CREATE INDEX ON tags (outgoing_email_id);

CREATE TABLE webhook_events (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    outgoing_email_id bigint NOT NULL REFERENCES outgoing_emails ON DELETE CASCADE,
    kind              text,
    payload           jsonb
);
CREATE INDEX ON webhook_events (outgoing_email_id);
