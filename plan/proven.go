package plan

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// ForeignKeyChecks is the mode of the plan's foreign key checks, for display.
func (p *Plan) ForeignKeyChecks() string {
	if p.Proven {
		return "proven"
	}
	return "ordinary"
}

// decideProven decides whether the plan can skip redundant foreign key checks. Each reason against it
// becomes a warning, and the policy runs with ordinary checks.
func (c *compiler) decideProven() error {
	p := c.plan
	if !p.File.Safety.Proven || len(p.Edges) == 0 || p.File.Safety.Auto && p.Usual.Simple() {
		return nil // without dependents there are no checks to skip; what CASCADE does is as fast
	}
	reasons, err := p.NotProven(c.ctx, c.conn)
	if err != nil {
		return err
	}
	for _, r := range reasons {
		c.notProven(r, ordinaryFix)
	}
	may, err := c.replicaRole()
	p.Proven = len(reasons) == 0 && may
	return err
}

// NotProven are the reasons why the plan cannot skip foreign key checks; none: it can.
func (p *Plan) NotProven(ctx context.Context, q schema.Querier) ([]string, error) {
	s := p.refusalsSQL()
	rows, err := q.Query(ctx, s.String(), s.Args...)
	if err != nil {
		return nil, fmt.Errorf("checking the catalog for foreign_key_checks: %w", err)
	}
	reasons, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("checking the catalog for foreign_key_checks: %w", err)
	}
	return append(p.refusals(), reasons...), nil
}

// RedundantChecks is how many foreign keys PostgreSQL checks for each row of the root, where a plan
// with ordinary checks would gain by skipping those that are redundant; 0: it would not. What ON
// DELETE CASCADE does alone is as fast.
func (p *Plan) RedundantChecks() (keys int) {
	if p.File.Safety.Proven || p.Usual.Simple() {
		return 0
	}
	for _, e := range p.Root.Out {
		keys += len(e.Keys)
	}
	return keys
}

func (c *compiler) notProven(reason, fix string) {
	if !c.plan.File.Safety.Auto {
		c.plan.AddProblem(LevelWarning, "foreign_key_checks: proven is not possible here: "+reason, fix)
	}
}

const ordinaryFix = "write safety: {foreign_key_checks: ordinary} # until this is fixed, the policy runs with ordinary checks"

// refusals are the reasons that follow from the plan itself.
func (p *Plan) refusals() (reasons []string) {
	refuse := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	if p.Whole != nil {
		refuse("the policy's rows are archived first")
	}
	if names := p.Firing(); len(names) > 0 {
		refuse("%s can fire", strings.Join(names, ", "))
	}
	components := map[int][]string{}
	for _, n := range p.Nodes {
		if n.Deleted {
			components[n.Component] = append(components[n.Component], n.Table.Name.String())
		} else if !n.Table.CanLockRows {
			refuse("the role may not lock table %s in ROW EXCLUSIVE MODE, which takes UPDATE or DELETE on it", n.Table.Name)
		}
	}
	for scc := range len(p.Nodes) {
		if tables := components[scc]; len(tables) > 1 {
			refuse("%s reference each other in a circle", strings.Join(tables, ", "))
		}
	}
	for _, e := range p.Edges {
		if e.Within != nil {
			refuse("%s of %s references a single partition of %s", e.Label(), e.Child.Table.Name, e.Parent.Table.Name)
		}
	}
	return reasons
}

// replicaRole reports whether the role may set session_replication_role, and records a warning if
// not.
func (c *compiler) replicaRole() (bool, error) {
	err := pg.Savepoint(c.ctx, c.conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(c.ctx, "SET LOCAL session_replication_role = replica")
		return err
	})
	switch {
	case pg.HasCode(err, "42501") && c.server.Version < 150000:
		c.notProven("only a superuser may set session_replication_role before PostgreSQL 15", ordinaryFix)
	case pg.HasCode(err, "42501"):
		c.notProven("the role may not set session_replication_role", grantReplicaRole(pg.Ident(c.server.Role))+"; -- or write foreign_key_checks: ordinary")
	case err != nil:
		return false, fmt.Errorf("testing session_replication_role: %w", err)
	}
	return err == nil, nil
}

func grantReplicaRole(role string) string {
	return "GRANT SET ON PARAMETER session_replication_role TO " + role
}

// families are the tables of the selected nodes with all that inherit from them.
func (p *Plan) families(which func(*Node) bool) []uint32 {
	oids := []uint32{}
	for _, n := range p.Nodes {
		if which(n) {
			oids = append(oids, p.graph.Family(n.Table.OID)...)
		}
	}
	return oids
}

// refusalsSQL returns the reasons that follow from the catalog, one text per row.
func (p *Plan) refusalsSQL() *pg.Statement {
	s := &pg.Statement{}
	deleted := p.families(func(n *Node) bool { return n.Deleted })
	all := p.families(func(*Node) bool { return true })
	known := []uint32{}
	for _, k := range p.graph.ForeignKeys {
		if slices.Contains(deleted, k.Parent) {
			known = append(known, k.OID)
		}
	}
	return s.Add(strings.NewReplacer(
		"{deleted}", s.Cast(deleted, "oid[]"), "{all}", s.Cast(all, "oid[]"), "{known}", s.Cast(known, "oid[]"),
		"{kinds}", "'"+string(schema.Ordinary)+"', '"+string(schema.Partitioned)+"'",
		"{ins}", strconv.Itoa(riCheckIns), "{upd}", strconv.Itoa(riCheckUpd), "{dels}", riDeletes,
	).Replace(refusalsQuery))
}

// OIDs of RI_FKey_check_ins, RI_FKey_check_upd and of the RI_FKey_*_del functions (pg_proc.dat).
const (
	riCheckIns = 1644
	riCheckUpd = 1645
	riDeletes  = "1646, 1648, 1650, 1652, 1654"
)

const refusalsQuery = `
WITH key AS MATERIALIZED (SELECT * FROM pg_constraint WHERE contype = 'f' AND confrelid = ANY({deleted}))
SELECT format('foreign key %s of %s is not in the plan', k.conname, k.conrelid::regclass)
  FROM key k WHERE k.oid <> ALL({known})
UNION ALL
SELECT format('foreign key %s of %s is NOT ENFORCED or over a PERIOD', k.conname, k.conrelid::regclass)
  FROM key k WHERE to_jsonb(k)->>'conenforced' = 'false' OR to_jsonb(k)->>'conperiod' = 'true'
UNION ALL
SELECT format('foreign key %s of %s compares its columns in two ways', k.conname, k.conrelid::regclass)
  FROM key k WHERE k.conpfeqop IS DISTINCT FROM k.conffeqop
     OR EXISTS (SELECT FROM unnest(k.conkey, k.confkey) x(theirs, ours)
                  JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = x.theirs
                  JOIN pg_attribute b ON b.attrelid = k.confrelid AND b.attnum = x.ours
                 WHERE a.atttypid <> b.atttypid
                    OR a.attcollation <> b.attcollation
                   AND EXISTS (SELECT FROM pg_collation c WHERE c.oid IN (a.attcollation, b.attcollation) AND NOT c.collisdeterministic))
UNION ALL
SELECT format('the checks of foreign key %s are disabled on %s', k.conname, k.conrelid::regclass)
  FROM key k JOIN pg_class c ON c.oid = k.conrelid AND c.relkind = 'r'
 WHERE NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = k.conparentid AND up.conrelid = k.conrelid)
   AND 2 <> (SELECT count(*) FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgrelid = k.conrelid AND t.tgfoid IN ({ins}, {upd}) AND t.tgenabled IN ('O', 'A'))
UNION ALL
SELECT format('the action of foreign key %s is disabled, or always on, on %s', k.conname, k.confrelid::regclass)
  FROM key k JOIN pg_class c ON c.oid = k.confrelid AND c.relkind = 'r'
 WHERE NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = k.conparentid AND up.confrelid = k.confrelid)
   AND 1 <> (SELECT count(*) FROM pg_trigger t WHERE t.tgconstraint = k.oid AND t.tgrelid = k.confrelid AND t.tgfoid IN ({dels}) AND t.tgenabled = 'O')
UNION ALL
SELECT format('trigger %s of %s fires on DELETE', t.tgname, t.tgrelid::regclass)
  FROM pg_trigger t WHERE t.tgrelid = ANY({deleted}) AND NOT t.tgisinternal AND t.tgtype & 8 <> 0 AND t.tgenabled <> 'D'
UNION ALL
SELECT format('rule %s of %s rewrites DELETE', r.rulename, r.ev_class::regclass)
  FROM pg_rewrite r WHERE r.ev_class = ANY({deleted}) AND r.ev_type = '4' AND r.ev_enabled <> 'D'
UNION ALL
SELECT format('row-level security is active on %s', o::regclass) FROM unnest({all}) o WHERE row_security_active(o)
UNION ALL
SELECT format('%s inherits from %s', i.inhrelid::regclass, i.inhparent::regclass)
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent AND c.relkind = 'r' WHERE i.inhparent = ANY({all}) OR i.inhrelid = ANY({all})
UNION ALL
SELECT format('%s is not an ordinary or a partitioned table', c.oid::regclass) FROM pg_class c WHERE c.oid = ANY({all}) AND c.relkind NOT IN ({kinds})
UNION ALL
SELECT format('%s is new to the plan', i.inhrelid::regclass) FROM pg_inherits i WHERE i.inhparent = ANY({all}) AND i.inhrelid <> ALL({all})
UNION ALL
SELECT format('a subscription writes %s', r.srrelid::regclass) FROM pg_subscription_rel r WHERE r.srrelid = ANY({all})
UNION ALL
SELECT 'session_replication_role is ' || current_setting('session_replication_role') WHERE current_setting('session_replication_role') <> 'origin'
`
