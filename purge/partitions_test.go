package purge_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

// yard is a table with a partition for every 30 days: p0 is the current one, and pN begins 30 N
// days earlier. Tenant 1 keeps 30 days, so p1 to p4 are expired for it; tenant 2 keeps 90 (p3,
// p4); tenant 3 is held and has no rows. Each partition has 20 rows of tenant 1 and 10 of
// tenant 2, none within a day of its lower bound, so the time of day does not matter.
const yard = `
CREATE TABLE orgs (id int PRIMARY KEY, days int, held bool);
INSERT INTO orgs VALUES (1, 30, NULL), (2, 90, false), (3, 30, true);
CREATE TABLE events (id int, org_id int REFERENCES orgs, at timestamptz, state text, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE INDEX ON events (org_id, at, id);
CREATE FUNCTION start(n int) RETURNS timestamptz LANGUAGE sql AS $$ SELECT date_trunc('day', now() - make_interval(days => 30 * n)) $$;
DO $$ BEGIN FOR n IN 0..4 LOOP
	EXECUTE format('CREATE TABLE p%s PARTITION OF events FOR VALUES FROM (%L) TO (%L)', n, start(n + 1), CASE n WHEN 0 THEN start(-1) ELSE start(n) END);
END LOOP; END $$;
INSERT INTO events SELECT 100 * p + n, 1 + (n > 20)::int, CASE p WHEN 0 THEN now() ELSE start(p + 1) + interval '1 day' + n * interval '1 hour' END, 'sent'
	FROM generate_series(0, 4) p, generate_series(1, 30) n;
ANALYZE;`

const yardPolicy = `
tenants: {table: orgs, key: id, retention: days, hold: held}
policies: [{name: events, table: events, age: at, tenant: org_id}]`

// partitions wants events to have these partitions.
func (b *bed) partitions(want ...string) {
	b.t.Helper()
	b.left(`SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'events'::regclass AND NOT i.inhdetachpending ORDER BY 1`, want...)
}

// shape is everything that attaching and detaching could change in the tables.
func (b *bed) shape() string {
	b.t.Helper()
	return strings.Join(b.Texts(b.t, `
		SELECT concat_ws(' ', c.relname, k.conname, pg_get_constraintdef(k.oid), k.conislocal, k.coninhcount, k.convalidated) FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid WHERE c.relnamespace = 'public'::regnamespace
		UNION ALL SELECT concat_ws(' ', c.relname, pg_get_expr(c.relpartbound, c.oid), i.inhparent::regclass, i.inhdetachpending) FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace
		UNION ALL SELECT concat_ws(' ', c.relname, a.attname, a.attislocal, a.attinhcount, a.attnotnull) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = 'public'::regnamespace
		UNION ALL SELECT concat_ws(' ', t.tgrelid::regclass, t.tgfoid::regproc, count(*)) FROM pg_trigger t GROUP BY t.tgrelid, t.tgfoid
		ORDER BY 1`), "\n")
}

// sameShape wants nothing to have changed since.
func (b *bed) sameShape(before string) {
	b.t.Helper()
	if diff := cmp.Diff(before, b.shape()); diff != "" {
		b.t.Errorf("the tables are not what they were (-before +after):\n%s", diff)
	}
}

// dropped wants the report to name these partitions.
func (o *outcome) dropped(want ...string) *outcome {
	o.bed.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), o.one().Partitions); diff != "" {
		o.bed.t.Errorf("partitions dropped (-want +got):\n%s", diff)
	}
	return o
}

// Partitions whose rows are all expired are dropped whole, with the same ledger rows as batches
// would write. The rows of the others are deleted one by one.
func TestPartitionDrop_WholeAndByRow(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	var told []purge.BatchEvent
	b.runner.Observer = watcher{batch: func(e purge.BatchEvent) { told = append(told, e) }}
	o := b.purge().complete().dropped("public.p4", "public.p3").rows(map[string]int64{"public.events": 100})
	b.partitions("p0", "p1", "p2")
	b.left(`SELECT concat_ws(' ', org_id, count(*)) FROM events GROUP BY org_id ORDER BY 1`, "1 20", "2 30")
	b.left(`SELECT concat_ws(' ', tenant, table_name, rows, rows_nullified) FROM reaper.deletions ORDER BY 1`, "1 public.events 80 0", "2 public.events 20 0")
	r := o.one()
	if r.Strategy != plan.PartitionDrop || r.Roots != 100 || r.RowsTotal != 100 || r.Batches != 5 || *r.BacklogRows != 0 {
		t.Errorf("the report is %+v", r)
	}
	if want := (purge.TenantCounts{Due: 2, Done: 2, Held: 1}); r.Tenants != want {
		t.Errorf("tenants %+v, want %+v", r.Tenants, want)
	}
	b.left(`SELECT concat_ws(' ', rows_total, batches, wal_bytes > 0) FROM reaper.runs`, "100 5 t")
	if len(told) != 3 || told[0].Roots != 30 || told[1].Roots != 30 || told[2].Rows != 40 {
		t.Errorf("the observer was told %+v", told)
	}
	b.count(`SELECT count(*) FROM reaper.detach`, 0)
	b.purge().is(purge.Complete).dropped().rows(map[string]int64{})
	b.partitions("p0", "p1", "p2")
}

// The plan says that partitions are dropped whole, or why not; then everything due is deleted
// row by row, and no partition is touched.
func TestPartitionDrop_RefusedByThePlan(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	partitioned := func(by string) string { return strings.Replace(yard, "PARTITION BY RANGE (at)", "PARTITION BY "+by, 1) }
	for _, c := range []struct {
		name, schema, policy string
		reason               string
		left                 int // rows of events; 0: the usual 50
	}{
		{name: "nothing against it", reason: "ranges of at, and one is dropped when all its rows are expired; other rows by tenant keyset (index events_org_id_at_id_idx leads from org_id to the age)"},
		{name: "the policy", policy: strings.Replace(yardPolicy, "age: at,", "age: at, partitions: delete,", 1), reason: "says partitions: delete"},
		{name: "a key of two columns", schema: strings.NewReplacer("RANGE (at)", "RANGE (at, id)", "FROM (%L) TO (%L)", "FROM (%L, 0) TO (%L, 0)").Replace(yard), reason: "not ranges of at alone"},
		{name: "another column", schema: strings.NewReplacer("at timestamptz,", "at timestamptz, day timestamptz,", "RANGE (at)", "RANGE (day)", "PRIMARY KEY (at, id)", "PRIMARY KEY (at, id, day)",
			"INTO events SELECT", "INTO events (id, org_id, at, state, day) SELECT", "'sent'\n\tFROM", "'sent', CASE p WHEN 0 THEN now() ELSE start(p + 1) END\n\tFROM").Replace(yard), reason: "not ranges of at alone"},
		{name: "lists", schema: strings.NewReplacer("DO $$ BEGIN FOR n IN 0..4 LOOP", "CREATE TABLE p0 PARTITION OF events FOR VALUES IN (1); CREATE TABLE p1 PARTITION OF events FOR VALUES IN (2); DO $$ BEGIN FOR n IN 0..-1 LOOP",
			"PRIMARY KEY (at, id)", "PRIMARY KEY (at, id, org_id)").Replace(partitioned("LIST (org_id)")), reason: "not ranges of at alone"},
		{name: "an expression", schema: strings.Replace(partitioned("RANGE ((at::text::timestamptz))"), "PRIMARY KEY (at, id)", "UNIQUE (id)", 1), reason: "skip"},
		{name: "a default partition", schema: yard + "CREATE TABLE rest PARTITION OF events DEFAULT", reason: "a default partition"},
		{name: "one partition", schema: strings.Replace(yard, "FOR n IN 0..4 LOOP", "CREATE TABLE p PARTITION OF events DEFAULT; ALTER TABLE events DETACH PARTITION p; DROP TABLE p; FOR n IN 0..4 LOOP", 1) +
			"DO $$ BEGIN FOR n IN 1..4 LOOP EXECUTE format('DROP TABLE p%s', n); END LOOP; END $$", reason: "there is only one", left: 30},
		{name: "a partition of another", schema: strings.Replace(strings.Replace(yard, "CREATE TABLE events", "CREATE TABLE whole (id int, org_id int REFERENCES orgs, at timestamptz, state text, PRIMARY KEY (at, id)) PARTITION BY RANGE (at); CREATE TABLE events", 1),
			"CREATE FUNCTION", "ALTER TABLE whole ATTACH PARTITION events FOR VALUES FROM (MINVALUE) TO (MAXVALUE); CREATE FUNCTION", 1), reason: "a partition itself"},
		{name: "a foreign key", schema: yard + "CREATE TABLE notes (id int PRIMARY KEY, at timestamptz, event int, FOREIGN KEY (at, event) REFERENCES events ON DELETE CASCADE); CREATE INDEX ON notes (at, event)", reason: "other tables reference"},
		{name: "a foreign key to one partition", schema: yard + "CREATE TABLE notes (id int PRIMARY KEY, at timestamptz, event int, FOREIGN KEY (at, event) REFERENCES p4 ON DELETE CASCADE); CREATE INDEX ON notes (at, event)", reason: "other tables reference"},
		{name: "a match", schema: yard + "CREATE TABLE notes (id int PRIMARY KEY, event int); CREATE INDEX ON notes (event)", policy: strings.Replace(yardPolicy, "tenant: org_id", "tenant: org_id, dependents: [{table: notes, match: {event: id}, action: keep}]", 1), reason: "other tables reference"},
		{name: "a query of tenants", policy: strings.Replace(yardPolicy, "table: orgs, key: id, retention: days, hold: held", "query: 'SELECT id, days, held FROM orgs'", 1), reason: "come from a query"},
		{name: "a trigger", schema: yard + "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'; CREATE TRIGGER x AFTER DELETE ON p4 FOR EACH ROW EXECUTE FUNCTION f()", reason: "trigger fires on DELETE"},
		{name: "a rule", schema: yard + "CREATE TABLE seen (n int); CREATE RULE x AS ON DELETE TO events DO ALSO NOTHING", policy: strings.Replace(yardPolicy, "age: at,", "age: at, triggers: allow,", 1), reason: "rule rewrites DELETE"},
		{name: "a publication", schema: yard + "CREATE PUBLICATION pub FOR TABLE p4", reason: "publication pub replicates deletes"},
	} {
		if c.reason == "skip" {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if c.schema == "" {
				c.schema = yard
			}
			if c.policy == "" {
				c.policy = yardPolicy
			}
			b := ground.on(t, c.schema, c.policy)
			p := b.plans()[0]
			v, err := preview.Look(t.Context(), b.pool, p, b.opts.Selection(), false)
			if err != nil || !strings.Contains(v.Reason, c.reason) {
				t.Errorf("the reason is %q (%v), want %q in it", v.Reason, err, c.reason)
			}
			allowed := v.Strategy == plan.PartitionDrop
			if allowed != (c.name == "nothing against it") {
				t.Errorf("the strategy is %s", v.Strategy)
			}
			shape, rows := b.shape(), b.Int(t, `SELECT count(*) FROM events`)
			o := b.purgeWith([]*plan.Plan{p}).is(purge.Complete)
			if !allowed {
				o.dropped()
				b.sameShape(shape)
			}
			if c.left == 0 {
				c.left = 50
			}
			b.count(`SELECT count(*) FROM events`, c.left)
			b.count(`SELECT coalesce(sum(rows), 0)::int FROM reaper.deletions WHERE table_name = 'public.events'`, rows-c.left)
			b.Exec(t, `DROP PUBLICATION IF EXISTS pub`)
		})
	}
}

// An obstacle to dropping one partition leaves only that one, whose rows are deleted one by
// one; the others are dropped.
func TestPartitionDrop_RefusedForOnePartition(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct{ name, sql string }{
		{"a view", `CREATE VIEW v AS SELECT id FROM p4`},
		{"a function over its rows", `CREATE FUNCTION f(p4) RETURNS int LANGUAGE sql AS 'SELECT 1'`},
		{"a sequence that others use", `CREATE SEQUENCE s OWNED BY p4.id; ALTER TABLE p4 ALTER id SET DEFAULT nextval('s'); ALTER TABLE events ALTER id SET DEFAULT nextval('s')`},
		{"partitions below it", `ALTER TABLE events DETACH PARTITION p4; ALTER TABLE p4 RENAME TO old;
			DO $$ BEGIN EXECUTE format('CREATE TABLE p4 PARTITION OF events FOR VALUES FROM (%L) TO (%L) PARTITION BY HASH (id)', start(5), start(4)); END $$;
			CREATE TABLE p41 PARTITION OF p4 FOR VALUES WITH (MODULUS 1, REMAINDER 0); INSERT INTO p4 SELECT * FROM old; DROP TABLE old`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, yard, yardPolicy)
			b.Exec(t, c.sql)
			b.purge().complete().dropped("public.p3")
			b.partitions("p0", "p1", "p2", "p4")
			b.count(`SELECT count(*) FROM events`, 50)
		})
	}
	t.Run("what goes with it", func(t *testing.T) {
		b := ground.on(t, yard, yardPolicy)
		b.Exec(t, `
			CREATE SEQUENCE s OWNED BY p4.id; ALTER TABLE p4 ALTER id SET DEFAULT nextval('s');
			ALTER TABLE p4 ADD CHECK (state <> 'x' AND p4 IS NOT NULL); CREATE INDEX ON p4 (lower(state)); CREATE STATISTICS st ON id, state FROM p4;
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
			CREATE TRIGGER x BEFORE INSERT ON p4 FOR EACH ROW WHEN (NEW.state = 'a') EXECUTE FUNCTION f()`)
		b.purge().complete().dropped("public.p4", "public.p3")
	})
}

// A foreign key created between planning and dropping is noticed.
func TestPartitionDrop_ForeignKeySincePlanning(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	plans := b.plans()
	b.Exec(t, `CREATE TABLE notes (event int, at timestamptz, FOREIGN KEY (at, event) REFERENCES events ON DELETE CASCADE)`)
	b.purgeWith(plans).is(purge.Incomplete, "have changed since they were planned").dropped()
}

// A run over some of the rows drops nothing whole; one with an earlier cutoff applies that
// cutoff to drops.
func TestPartitionDrop_NarrowedRuns(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name    string
		opts    purge.Options
		dropped []string
		left    int
	}{
		{"tenants", purge.Options{Tenants: []string{"1", "2"}}, nil, 50},
		{"rows", purge.Options{MaxRows: 1000}, nil, 50},
		{"older than 100 days", purge.Options{OlderThan: duration(t, "100d")}, []string{"public.p4"}, 90},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, yard, yardPolicy)
			b.opts = c.opts
			v, err := preview.Look(t.Context(), b.pool, b.plans()[0], b.opts.Selection(), false)
			if err != nil || (v.Strategy == plan.PartitionDrop) != (c.dropped != nil) {
				t.Errorf("strategy %s (%s), %v", v.Strategy, v.Reason, err)
			}
			b.purge().is(purge.Complete).dropped(c.dropped...)
			b.ledgerIsTrue()
			b.count(`SELECT count(*) FROM events`, c.left)
		})
	}
}

// One unexpired row, for whatever reason, keeps its partition; all others in it are deleted one
// by one.
func TestPartitionDrop_OneRowKeepsThePartition(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	where := strings.Replace(yardPolicy, "age: at,", "age: at, where: state <> 'queued',", 1)
	for _, c := range []struct {
		name, sql, policy string
		left              string // remaining rows of p4
		status            purge.Status
	}{
		{name: "held", sql: `UPDATE events SET org_id = 3 WHERE id = 401`, left: "401"},
		{name: "a longer retention", sql: `INSERT INTO orgs VALUES (4, 200); UPDATE events SET org_id = 4 WHERE id = 401`, left: "401"},
		{name: "forever", sql: `INSERT INTO orgs VALUES (4, 1); UPDATE events SET org_id = 4 WHERE id = 401`, policy: strings.Replace(yardPolicy, "key: id,", "key: id, overrides: {'4': forever},", 1), left: "401"},
		{name: "a floor", sql: `INSERT INTO orgs VALUES (4, 1); UPDATE events SET org_id = 4 WHERE id = 401`, policy: strings.Replace(yardPolicy, "key: id,", "key: id, min: 200d,", 1), left: "all"},
		{name: "skipped", sql: `INSERT INTO orgs VALUES (4, 0); UPDATE events SET org_id = 4 WHERE id = 401`, left: "401", status: purge.Incomplete},
		{name: "unowned", sql: `UPDATE events SET org_id = NULL WHERE id = 401`, left: "401"},
		{name: "a tenant that is not there", sql: `ALTER TABLE events DROP CONSTRAINT events_org_id_fkey; UPDATE events SET org_id = 77 WHERE id = 401`, left: "401"},
		{name: "where", sql: `UPDATE events SET state = 'queued' WHERE id = 401`, policy: where, left: "401"},
		{name: "where is NULL", sql: `UPDATE events SET state = NULL WHERE id = 401`, policy: where, left: "401"},
		{name: "no beginning of time", sql: `ALTER TABLE events DETACH PARTITION p4; DO $$ BEGIN EXECUTE format('ALTER TABLE events ATTACH PARTITION p4 FOR VALUES FROM (MINVALUE) TO (%L)', start(4)); END $$;
			UPDATE events SET at = '-infinity' WHERE id = 401`, left: "401"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.policy == "" {
				c.policy = yardPolicy
			}
			if c.status == "" {
				c.status = purge.Complete
			}
			b := ground.on(t, yard, c.policy)
			b.Exec(t, c.sql)
			b.purge().is(c.status).dropped(map[bool][]string{true: {"public.p3"}}[c.left != "all"]...)
			b.ledgerIsTrue()
			if c.left == "all" {
				b.count(`SELECT count(*) FROM p4`, 30)
				return
			}
			b.left(`SELECT id FROM p4`, c.left)
		})
	}
}

// Where everything of every tenant is expired, the rows are not checked before the detach. A
// row without a tenant, in spite of a foreign key, is found after it, and the partition is
// reattached.
func TestPartitionDrop_RowBehindTheForeignKey(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard+`DELETE FROM orgs WHERE id = 3; ALTER TABLE events ALTER org_id SET NOT NULL;
		SET session_replication_role = replica; UPDATE events SET org_id = 77 WHERE id = 401; RESET session_replication_role`, yardPolicy)
	shape := b.shape()
	detached := false
	b.connect(b.DSN(), before("DETACH PARTITION", func() { detached = true }))
	b.purge().is(purge.Complete).dropped()
	if !detached {
		t.Error("the rows were looked at before the detach")
	}
	b.sameShape(shape)
	b.left(`SELECT id FROM p4`, "401")
	b.ledgerIsTrue()
}

// The range counts, not only the rows: unexpired rows may still arrive and would find no
// partition.
func TestPartitionDrop_RangeIsNotOver(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	b.Exec(t, `DELETE FROM events WHERE org_id = 2; UPDATE orgs SET days = 100 WHERE id = 1; UPDATE events SET at = start(4) + interval '1 minute' WHERE id BETWEEN 301 AND 320`)
	b.purge().complete().dropped("public.p4").rows(map[string]int64{"public.events": 40})
	b.count(`SELECT count(*) FROM p3`, 0)
	b.partitions("p0", "p1", "p2", "p3")
}

// The last partition stays, whatever it contains; so does an empty one.
func TestPartitionDrop_LastAndEmptyPartition(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	b.Exec(t, `DROP TABLE p0, p1, p2`)
	b.purge().complete().dropped("public.p4")
	b.partitions("p3")
	b.Exec(t, `CREATE TABLE p9 PARTITION OF events FOR VALUES FROM ('2001-01-01') TO ('2002-01-01')`)
	b.purge().is(purge.Complete).dropped()
	b.Exec(t, `INSERT INTO p9 VALUES (1, 1, '2001-02-02'), (2, 1, '2001-02-02'); DELETE FROM p9 WHERE id = 1; DELETE FROM p9`)
	b.purge().is(purge.Complete).dropped()
	b.partitions("p3", "p9")
}

// A change between the check and the drop wins: the partition is reattached unchanged, with its
// rows.
func TestPartitionDrop_ChangedBeforeTheDrop(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const atDetach, atDropLock = "DETACH PARTITION", "LOCK TABLE ONLY"
	for _, c := range []struct {
		name, at, sql string
		left          int // rows of p4
	}{
		{"a hold", atDetach, `UPDATE orgs SET held = true WHERE id = 1`, 20},
		{"a hold, once detached", atDropLock, `UPDATE orgs SET held = true WHERE id = 1`, 20},
		{"a hold by hand", atDetach, `INSERT INTO reaper.hold (tenant, reason, who, ends_at) VALUES ('1', 'why', 'me', 'infinity')`, 20},
		{"a hold by hand, once detached", atDropLock, `INSERT INTO reaper.hold (tenant, reason, who, ends_at) VALUES ('1', 'why', 'me', 'infinity')`, 20},
		{"a longer retention", atDropLock, `UPDATE orgs SET days = 1000 WHERE id = 2`, 10},
		{"no retention", atDropLock, `UPDATE orgs SET days = NULL WHERE id = 2`, 10},
		{"a row of a held tenant", atDetach, `INSERT INTO events VALUES (499, 3, start(5))`, 1},
		{"a row of a held tenant, once detached", atDropLock, `INSERT INTO p4 VALUES (499, 3, start(5))`, 1},
		{"a row of nobody", atDropLock, `INSERT INTO p4 VALUES (499, NULL, start(5))`, 1},
		{"an update", atDropLock, `UPDATE p4 SET org_id = 3 WHERE id = 401`, 1},
		{"a row that is out of range", atDropLock, `ALTER TABLE p4 DROP CONSTRAINT p4_at_check; INSERT INTO p4 VALUES (499, 1, now())`, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, yard, yardPolicy)
			shape := b.shape()
			b.Exec(t, `ANALYZE`)
			b.connect(b.DSN(), before(c.at, func() { b.session().do(c.sql) }))
			if c.left < 0 { // it cannot be reattached
				o := b.purge().is(purge.Incomplete, "public.p4 is detached", "violated").dropped()
				if o.one().RowsTotal != 70 {
					t.Errorf("%d rows deleted, want those of p1 to p3", o.one().RowsTotal)
				}
				b.count(`SELECT count(*) FROM p4`, 31)
				b.count(`SELECT count(*) FROM reaper.detach`, 1)
				return
			}
			b.mark()
			o := b.purge().is(purge.Complete).dropped()
			b.sameShape(shape)
			b.count(`SELECT count(*) FROM p4`, c.left)
			b.count(`SELECT count(*) FROM reaper.detach`, 0)
			total := b.Int(t, `SELECT sum(rows)::int FROM reaper.deletions`)
			if o.one().RowsTotal != int64(total) {
				t.Errorf("the report has %d rows, the ledger %d", o.one().RowsTotal, total)
			}
		})
	}
}

// A role that does not own the table is told so, and deletes row by row; a member of the owner
// drops.
func TestPartitionDrop_Ownership(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	role, owner := b.Role(t, "reaper"), b.Role(t, "owner")
	b.Exec(t, `ALTER TABLE events OWNER TO `+owner+`; ALTER TABLE p3 OWNER TO `+owner+`; ALTER TABLE p4 OWNER TO `+owner)
	grants := b.grantsFor(role)
	if !strings.Contains(strings.Join(grants, "\n"), `-- optional, to drop whole partitions of "public"."events"`) {
		t.Errorf("grants do not speak of the owner: %q", grants)
	}
	b.Exec(t, strings.Join(grants, "\n"))
	b.connect(b.As(role))
	v, err := preview.Look(t.Context(), b.pool, b.plans()[0], b.opts.Selection(), false)
	if err != nil || !strings.Contains(v.Reason, "does not own the table") {
		t.Errorf("the reason is %q, %v", v.Reason, err)
	}
	b.Exec(t, `CREATE TABLE kept AS SELECT * FROM events`)
	b.purge().complete().dropped().rows(map[string]int64{"public.events": 100})
	b.Exec(t, `GRANT `+owner+` TO `+role+`; INSERT INTO events SELECT * FROM kept WHERE id > 400`)
	b.again()
	b.connect(b.As(role))
	b.purge().complete().dropped("public.p4")
	// p1 belongs to somebody else.
	b.Exec(t, `INSERT INTO events SELECT * FROM kept WHERE id BETWEEN 100 AND 399 AND org_id = 1 OR id BETWEEN 300 AND 399; UPDATE orgs SET days = 30`)
	b.again()
	b.purge().complete().dropped("public.p3")
}

// If none can be dropped, partitions cost only one extra statement.
func TestPartitionDrop_IdleCostsNothing(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy)
	b.purge().complete()
	statements := func(policyFile string) (n int) {
		b.policy = policyFile
		plans := b.plans()
		b.connect(b.DSN(), beforeEvery("", func() { n++ }))
		b.purgeWith(plans).is(purge.Complete)
		return n
	}
	with, without := statements(yardPolicy), statements(strings.Replace(yardPolicy, "age: at,", "age: at, partitions: delete,", 1))
	if with != without {
		t.Errorf("%d statements where nothing is due, %d with partitions: delete", with, without)
	}
	// A row of p0 is due, but its range has not ended.
	b.Exec(t, `DROP TABLE p1, p2; INSERT INTO orgs VALUES (5, 20); INSERT INTO events VALUES (1, 5, now() - interval '25 days');
		DO $$ BEGIN EXECUTE format('CREATE TABLE next PARTITION OF events FOR VALUES FROM (%L) TO (%L)', start(-1), start(-2)); END $$`)
	var n int
	b.policy = yardPolicy
	plans := b.plans()
	b.connect(b.DSN(), beforeEvery("FROM ONLY \"public\".\"p", func() { n++ }))
	b.purgeWith(plans).is(purge.Complete)
	if n != 0 {
		t.Errorf("%d statements looked into partitions that are not over", n)
	}
}

// With one connection everything is deleted row by row.
func TestPartitionDrop_OneConnection(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard, yardPolicy, func(c *pgxpool.Config) { c.MaxConns = 1 })
	b.purge().complete().dropped()
	b.count(`SELECT count(*) FROM events`, 50)
}

func duration(t *testing.T, text string) *policy.Duration {
	t.Helper()
	d, err := policy.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return &d
}
