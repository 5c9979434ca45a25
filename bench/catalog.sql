-- A schema of 1,400 tables and 2,300 foreign keys: 100 modules of 14 tables under one
-- table of tenants. In each module two of the tables are history, and one of those has
-- details; the others are what history is about.
SET client_min_messages = warning;
CREATE TABLE organizations (id bigint PRIMARY KEY, name text UNIQUE, parent_id bigint REFERENCES organizations, retention_days int, created_at timestamptz);
DO $$
DECLARE
  m int;
  t int;
  kinds text[] := ARRAY['projects', 'settings', 'members', 'rules', 'templates', 'channels', 'labels', 'profiles', 'reports', 'folders', 'documents', 'events', 'messages', 'message_parts'];
  parent text;
  columns text;
BEGIN
  FOR m IN 1..100 LOOP
    FOR t IN 1..14 LOOP
      CONTINUE WHEN m = 100 AND t = 14; -- organizations is one of the 1,400
      columns := (SELECT string_agg(format('field_%s text', i), ', ') FROM generate_series(1, 4 + (m + t) % 12) i);
      parent := CASE WHEN t = 1 THEN 'organizations' WHEN t = 14 THEN format('module%s_messages', m) ELSE format('module%s_projects', m) END;
      EXECUTE format('CREATE TABLE module%s_%s (id bigint PRIMARY KEY, parent_id bigint NOT NULL REFERENCES %s ON DELETE %s, organization_id bigint%s, other_id bigint, %s, created_at timestamptz NOT NULL DEFAULT now())',
        m, kinds[t], parent, (ARRAY['CASCADE', 'NO ACTION', 'CASCADE'])[1 + t % 3], CASE WHEN t IN (2, 5, 7, 9, 11, 12) THEN ' REFERENCES organizations' ELSE '' END, columns);
      EXECUTE format('CREATE INDEX ON module%s_%s (parent_id, created_at)', m, kinds[t]);
      EXECUTE format('CREATE INDEX ON module%s_%s (organization_id, created_at, id)', m, kinds[t]);
      IF t IN (3, 8, 13) THEN
        EXECUTE format('ALTER TABLE module%s_%s ADD FOREIGN KEY (other_id) REFERENCES module%s_projects ON DELETE SET NULL', m, kinds[t], greatest(m - 1, 1));
      END IF;
    END LOOP;
  END LOOP;
END $$;
ANALYZE;
