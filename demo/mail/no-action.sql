-- Turns every ON DELETE CASCADE of the database into NO ACTION, the way Rails
-- makes foreign keys: nothing goes with its parent by itself any more.
DO $$
DECLARE
    fk record;
BEGIN
    FOR fk IN
        SELECT conrelid::regclass AS child,
               conname AS name,
               replace(pg_get_constraintdef(oid), ' ON DELETE CASCADE', '') AS definition
          FROM pg_constraint
         WHERE contype = 'f' AND confdeltype = 'c'
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s',
                       fk.child, fk.name, fk.name, fk.definition);
    END LOOP;
END
$$;
