-- How many of a policy's rows reach a tenant, by a sample. Rows that reach none are
-- never deleted.
ALTER TABLE {{schema}}.scan ADD COLUMN unowned jsonb; -- {"sampled_rows", "rows", "exact"}; NULL: not looked at
