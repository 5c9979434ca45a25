package purge_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/purge"
)

// catalog is everything recorded about tables events and p4, except OIDs.
func (b *bed) catalog() string {
	b.t.Helper()
	return strings.Join(b.Texts(b.t, `
		WITH t AS (SELECT * FROM pg_class WHERE relname IN ('events', 'p4', 'orgs'))
		SELECT concat_ws(' ', t.relname, 'table', t.reloptions, t.relreplident, t.relrowsecurity, t.relispartition, pg_get_expr(t.relpartbound, t.oid), t.relacl, obj_description(t.oid, 'pg_class')) FROM t
		UNION ALL SELECT concat_ws(' ', t.relname, 'constraint', k.conname, pg_get_constraintdef(k.oid), k.conislocal, k.coninhcount, k.convalidated, k.conparentid <> 0, obj_description(k.oid, 'pg_constraint')) FROM t JOIN pg_constraint k ON k.conrelid = t.oid
		UNION ALL SELECT concat_ws(' ', t.relname, 'trigger', CASE WHEN g.tgisinternal THEN g.tgfoid::regproc::text ELSE g.tgname END, g.tgenabled, g.tgparentid <> 0, obj_description(g.oid, 'pg_trigger')) FROM t JOIN pg_trigger g ON g.tgrelid = t.oid
		UNION ALL SELECT concat_ws(' ', t.relname, 'index', pg_get_indexdef(i.indexrelid), i.indisclustered, i.indisreplident, i.indisvalid, (SELECT h.inhparent::regclass FROM pg_inherits h WHERE h.inhrelid = i.indexrelid), obj_description(i.indexrelid, 'pg_class')) FROM t JOIN pg_index i ON i.indrelid = t.oid
		UNION ALL SELECT concat_ws(' ', t.relname, 'column', a.attname, a.attnotnull, a.attidentity, a.attgenerated, a.attislocal, a.attinhcount, a.attstattarget, a.attacl, a.attcompression, a.attoptions, pg_get_expr(d.adbin, d.adrelid), col_description(t.oid, a.attnum))
			FROM t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0 LEFT JOIN pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum)
		UNION ALL SELECT concat_ws(' ', 'publication', p.pubname, r.prrelid::regclass) FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
		UNION ALL SELECT concat_ws(' ', 'statistics', x.stxname, x.stxrelid::regclass) FROM pg_statistic_ext x
		UNION ALL SELECT concat_ws(' ', 'policy', p.polname, p.polrelid::regclass) FROM pg_policy p
		UNION ALL SELECT concat_ws(' ', 'rule', r.rulename, r.ev_class::regclass) FROM pg_rewrite r WHERE r.ev_class IN (SELECT oid FROM t)
		ORDER BY 1`), "\n")
}

// peculiar lists properties that a partition may have of its own.
const peculiar = `
	CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
	CREATE TRIGGER each BEFORE INSERT OR UPDATE ON events FOR EACH ROW EXECUTE FUNCTION f();
	CREATE TRIGGER once AFTER INSERT ON events FOR EACH STATEMENT EXECUTE FUNCTION f();
	CREATE CONSTRAINT TRIGGER late AFTER INSERT ON events DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION f();
	CREATE TRIGGER own BEFORE INSERT ON p4 FOR EACH ROW EXECUTE FUNCTION f();
	ALTER TABLE p4 DISABLE TRIGGER own;
	ALTER TABLE events ADD CONSTRAINT everywhere CHECK (id > 0), ADD CONSTRAINT unproven CHECK (id > -1) NOT VALID;
	ALTER TABLE p4 ADD CONSTRAINT here CHECK (id > -2), ADD CONSTRAINT here_alone CHECK (id > -3) NO INHERIT, ADD CONSTRAINT unproven_here CHECK (id > -4) NOT VALID;
	ALTER TABLE p4 ALTER state SET DEFAULT 'own', ALTER state SET NOT NULL, ALTER state SET STATISTICS 500, ALTER id SET (n_distinct = 7), ALTER state SET COMPRESSION pglz,
		SET (fillfactor = 70, autovacuum_enabled = off), REPLICA IDENTITY FULL;
	CREATE INDEX own_idx ON p4 (state); ALTER TABLE p4 CLUSTER ON own_idx; CREATE STATISTICS st ON id, state FROM p4;
	ALTER TABLE p4 ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON p4 USING (true); CREATE RULE own AS ON INSERT TO p4 WHERE false DO ALSO NOTHING;
	GRANT SELECT ON p4 TO public; GRANT UPDATE (state) ON p4 TO public;
	COMMENT ON TABLE p4 IS 'a'; COMMENT ON COLUMN p4.id IS 'b'; COMMENT ON INDEX p4_pkey IS 'c'; COMMENT ON CONSTRAINT everywhere ON p4 IS 'd'; COMMENT ON TRIGGER own ON p4 IS 'e';
	CREATE PUBLICATION inserts FOR TABLE events, p4 WITH (publish = 'insert', publish_via_partition_root);`

// lockedOut makes another session lock the tenants before each drop, so that each detach is
// undone. It counts the detaches.
func (b *bed) lockedOut(detaches *int) {
	b.t.Helper()
	locker := b.session()
	b.connect(b.DSN(), func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = argsHook(func(sql string, _ []any) {
			switch {
			case strings.Contains(sql, "DETACH PARTITION"):
				*detaches++
			case strings.HasPrefix(sql, "DROP TABLE"):
				locker.do(`BEGIN; SELECT count(*) FROM orgs`)
			case sql == "rollback":
				locker.do(`ROLLBACK`)
			}
		})
	})
}

// A reattached partition is unchanged, whatever properties it has of its own.
func TestPartitionDrop_ComesBackAsItWas(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard+peculiar, yardPolicy)
	plans, before, detaches := b.plans(), b.catalog(), 0
	b.lockedOut(&detaches)
	b.purgeWith(plans).is(purge.Complete).dropped()
	if diff := cmp.Diff(before, b.catalog()); diff != "" {
		t.Errorf("the tables are not what they were (-before +after):\n%s", diff)
	}
	if detaches == 0 {
		t.Error("no partition was detached")
	}
	b.Exec(t, `DROP PUBLICATION inserts`)
}

// Properties that reattaching would change, or that would prevent it, rule a partition out. The
// others are dropped.
func TestPartitionDrop_WouldNotComeBack(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const triggers = `CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER x BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION f();`
	for _, c := range []struct{ name, sql string }{
		{"a trigger is disabled", triggers + `ALTER TABLE p4 DISABLE TRIGGER x`},
		{"a trigger fires always", triggers + `ALTER TABLE p4 ENABLE ALWAYS TRIGGER x`},
		{"a trigger fires on replicas", triggers + `ALTER TABLE p4 ENABLE REPLICA TRIGGER x`},
		{"a trigger is enabled, that of its table is not", triggers + `ALTER TABLE events DISABLE TRIGGER x; ALTER TABLE p4 ENABLE TRIGGER x`},
		{"a trigger has a comment", triggers + `COMMENT ON TRIGGER x ON p4 IS 'why'`},
		{"an index is missing", `CREATE INDEX later ON ONLY events (state); CREATE INDEX ON p3 (state); ALTER INDEX later ATTACH PARTITION p3_state_idx`},
		{"indexes are alike", `CREATE INDEX alike ON p4 (org_id, at DESC, id)`},
		{"foreign keys are alike", `ALTER TABLE p4 ADD FOREIGN KEY (org_id) REFERENCES orgs`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, yard, yardPolicy)
			b.Exec(t, c.sql)
			var detached []string
			b.connect(b.DSN(), func(c *pgxpool.Config) {
				c.ConnConfig.Tracer = argsHook(func(sql string, _ []any) {
					if strings.Contains(sql, "DETACH PARTITION") {
						detached = append(detached, sql)
					}
				})
			})
			b.purge().is(purge.Complete).dropped("public.p3")
			b.partitions("p0", "p1", "p2", "p4")
			b.count(`SELECT count(*) FROM p4`, 0)
			if len(detached) != 1 {
				t.Errorf("detached: %q", detached)
			}
		})
	}
}

// A role that may not execute a row trigger's function cannot reattach a partition.
func TestPartitionDrop_TriggerOfAnother(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard+`CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER x BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION f();
		REVOKE EXECUTE ON FUNCTION f() FROM public`, yardPolicy)
	role := b.Role(t, "owner")
	b.Exec(t, `DO $$ DECLARE t regclass; BEGIN
			FOREACH t IN ARRAY ARRAY['events', 'p0', 'p1', 'p2', 'p3', 'p4']::regclass[] LOOP EXECUTE format('ALTER TABLE %s OWNER TO `+role+`', t); END LOOP; END $$;
		GRANT SELECT ON orgs TO `+role+`; GRANT USAGE ON SCHEMA reaper TO `+role+`; GRANT ALL ON ALL TABLES IN SCHEMA reaper TO `+role)
	b.connect(b.As(role))
	b.purge().is(purge.Complete).dropped()
	b.partitions("p0", "p1", "p2", "p3", "p4")
	b.count(`SELECT count(*) FROM events`, 50)
	b.Exec(t, `GRANT EXECUTE ON FUNCTION f() TO `+role+`; INSERT INTO events SELECT n, 1, start(5) + interval '1 day', 'sent' FROM generate_series(1, 9) n`)
	b.connect(b.As(role))
	b.purge().is(purge.Complete).dropped("public.p4")
}
