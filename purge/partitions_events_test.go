package purge_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

// ticket refuses ALTER TABLE and DROP TABLE. Event triggers belong to the database, not a
// schema: each test has its own database.
const ticket = `
	CREATE FUNCTION ddl_needs_ticket() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN IF tg_tag IN ('ALTER TABLE', 'DROP TABLE') THEN RAISE 'no DDL without a ticket'; END IF; END $$;`

// With event triggers that fire on partition commands, all rows are deleted one by one.
func TestPartitionDrop_EventTriggers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, sql string
		drops     bool
	}{
		{"at the end of ALTER TABLE", `CREATE EVENT TRIGGER ticket ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION ddl_needs_ticket()`, false},
		{"at the start of DROP TABLE", `CREATE EVENT TRIGGER ticket ON ddl_command_start WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION ddl_needs_ticket()`, false},
		{"what is dropped", `CREATE EVENT TRIGGER ticket ON sql_drop EXECUTE FUNCTION ddl_needs_ticket()`, false},
		{"all commands, always", `CREATE EVENT TRIGGER ticket ON ddl_command_end EXECUTE FUNCTION ddl_needs_ticket(); ALTER EVENT TRIGGER ticket ENABLE ALWAYS`, false},
		{"another command", `CREATE EVENT TRIGGER ticket ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION ddl_needs_ticket()`, true},
		{"disabled", `CREATE EVENT TRIGGER ticket ON ddl_command_end EXECUTE FUNCTION ddl_needs_ticket(); ALTER EVENT TRIGGER ticket DISABLE`, true},
		{"on replicas", `CREATE EVENT TRIGGER ticket ON ddl_command_end EXECUTE FUNCTION ddl_needs_ticket(); ALTER EVENT TRIGGER ticket ENABLE REPLICA`, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, yard+ticket+c.sql, yardPolicy)
			plans := b.plans()
			v, err := preview.Look(t.Context(), b.pool, plans[0], b.opts.Selection(), false)
			if err != nil || (v.Strategy == plan.PartitionDrop) != c.drops || strings.Contains(v.Reason, "event trigger ticket fires on ALTER TABLE or DROP TABLE") == c.drops {
				t.Errorf("strategy %s, %s (%v)", v.Strategy, v.Reason, err)
			}
			b.purgeWith(plans).is(purge.Complete).dropped(map[bool][]string{true: {"public.p4", "public.p3"}}[c.drops]...)
			b.count(`SELECT count(*) FROM events`, 50)
			b.count(`SELECT count(*) FROM pg_inherits WHERE inhdetachpending`, 0)
		})
	}
}

// One created after planning, or after the first look at the partitions, is noticed before
// anything is detached.
func TestPartitionDrop_EventTriggerSincePlanning(t *testing.T) {
	t.Parallel()
	for name, words := range map[string]string{"after planning": "", "after the first look": "FROM ONLY"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, yard+ticket, yardPolicy)
			plans := b.plans()
			detached := false
			create := func() {
				b.Exec(t, `CREATE EVENT TRIGGER ticket ON ddl_command_end EXECUTE FUNCTION ddl_needs_ticket()`)
			}
			if words == "" {
				create()
			}
			created := words == ""
			b.connect(b.DSN(), func(c *pgxpool.Config) {
				c.ConnConfig.Tracer = argsHook(func(sql string, _ []any) {
					detached = detached || strings.Contains(sql, "DETACH PARTITION")
					if !created && strings.Contains(sql, words) {
						created = true
						create()
					}
				})
			})
			b.purgeWith(plans).is(purge.Complete).dropped()
			if detached || !created {
				t.Errorf("detached: %t, the trigger created: %t", detached, created)
			}
			b.count(`SELECT count(*) FROM events`, 50)
			b.count(`SELECT count(*) FROM reaper.detach`, 0)
		})
	}
}

// A detach left halfway by an event trigger is undone once the trigger allows it. Until then
// each run reports it.
func TestPartitionDrop_EventTriggerKeepsADetachHalfway(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard+ticket, yardPolicy)
	plans := b.plans()
	b.connect(b.DSN(), before("DETACH PARTITION", func() {
		b.Exec(t, `CREATE EVENT TRIGGER ticket ON ddl_command_end EXECUTE FUNCTION ddl_needs_ticket()`)
	}))
	b.purgeWith(plans).is(purge.Incomplete, "partition public.p4 is detached").dropped()
	b.Exec(t, `ALTER EVENT TRIGGER ticket DISABLE`)
	b.connect(b.DSN())
	b.purge().is(purge.Complete)
	b.count(`SELECT count(*) FROM events`, 50)
	b.count(`SELECT count(*) FROM pg_inherits WHERE inhdetachpending`, 0)
	b.count(`SELECT sum(rows)::int FROM reaper.deletions`, 100)
}
