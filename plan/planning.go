package plan

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Compile makes the plans of the named policies, or of all if none is named. A mistake in the file
// or the schema becomes a Problem of its plan, and a lock timeout its plan's Unplanned; an error
// means that a database query failed. Of tables of other policies only the catalog is read.
func Compile(ctx context.Context, conn *pgx.Conn, file *policy.File, server Server, only []string) ([]*Plan, error) {
	oids, err := resolve(ctx, conn, file, server)
	if err != nil {
		return nil, err
	}
	var plans []*Plan
	selected := selectPolicies(file, only)
	// Planning uses one READ COMMITTED transaction, which holds no snapshot between statements.
	tx, err := beginPlanning(ctx, conn, server)
	if err != nil {
		return nil, err
	}
	defer func() { pg.Rollback(tx) }()
	graph, err := schema.Read(ctx, tx)
	if err != nil {
		return nil, err
	}
	known := &known{fragments: usersql.Known{}, idle: map[uint32][]schema.IdleKey{}}
	one := func(p *policy.Policy) *compiler {
		return &compiler{ctx: ctx, conn: tx, file: file, graph: graph, oids: oids, server: server, known: known, plan: &Plan{Policy: p, graph: graph, File: file, Server: server}}
	}
	if len(selected) > 1 {
		err := preloadAll(selected, one)
		if pg.HasCode(err, "55P03") { // each by itself then: it is one policy's table
			pg.Rollback(tx)
			if tx, err = beginPlanning(ctx, conn, server); err == nil {
				graph, err = schema.Read(ctx, tx)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	for _, p := range selected {
		c := one(p)
		err := c.compile()
		if pg.HasCode(err, "55P03") {
			pg.Rollback(tx)
			if tx, err = c.locked(conn, err); err != nil {
				return nil, err
			}
		}
		if err != nil && !errors.Is(err, errStop) {
			return nil, fmt.Errorf("planning policy %s: %w", p.Name, err)
		}
		plans = append(plans, c.plan)
	}
	return plans, nil
}

// known is what one policy has found out and others need not ask again.
type known struct {
	fragments usersql.Known
	idle      map[uint32][]schema.IdleKey // by the OID of the key
}

func selectPolicies(file *policy.File, only []string) (selected []*policy.Policy) {
	for i := range file.Policies {
		if p := &file.Policies[i]; len(only) == 0 || slices.Contains(only, p.Name) {
			selected = append(selected, p)
		}
	}
	return selected
}

// preloadAll loads the tables of all policies together: a few statements, instead of a few for each.
func preloadAll(selected []*policy.Policy, one func(*policy.Policy) *compiler) error {
	var all []uint32
	for _, p := range selected {
		all = append(all, one(p).preloaded()...)
	}
	c := one(selected[0])
	if err := c.graph.Load(c.ctx, c.conn, all...); err != nil {
		return err
	}
	var keys []uint32
	for _, k := range c.graph.ForeignKeys {
		if c.graph.Tables[k.Child] != nil && c.graph.Tables[k.Parent] != nil {
			keys = append(keys, k.OID)
		}
	}
	return c.known.readIdle(c.ctx, c.conn, keys)
}

// readIdle reads which of these foreign keys are not enforced everywhere, as far as that is not
// known.
func (k *known) readIdle(ctx context.Context, q schema.Querier, oids []uint32) error {
	var missing []uint32
	for _, oid := range oids {
		if _, there := k.idle[oid]; !there {
			missing = append(missing, oid)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	idle, err := schema.IdleKeys(ctx, q, missing)
	if err != nil {
		return err
	}
	for _, oid := range missing {
		k.idle[oid] = nil
	}
	for _, x := range idle {
		k.idle[x.OID] = append(k.idle[x.OID], x)
	}
	return nil
}

// beginPlanning begins a transaction under reaper's own search_path. It creates views of users' SQL
// and never commits them; a standby allows none.
func beginPlanning(ctx context.Context, conn *pgx.Conn, server Server) (pgx.Tx, error) {
	mode := "READ WRITE"
	if server.InRecovery {
		mode = "READ ONLY"
	}
	return conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "BEGIN ISOLATION LEVEL READ COMMITTED " + mode + "; " + pg.Pin + "; " + pg.Timeouts(planLock, planStatement)})
}

// lockersSQL names the tables with an ACCESS EXCLUSIVE lock, and the processes that hold it.
const lockersSQL = `SELECT string_agg(format('%I.%I, by process %s', n.nspname, c.relname, l.pid), '; ' ORDER BY n.nspname, c.relname)
  FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()) AND l.mode = 'AccessExclusiveLock' AND l.granted AND c.relkind IN ('r', 'p', 'm')`

// locked records that a locked table prevents planning, and begins another transaction for the
// remaining policies.
func (c *compiler) locked(conn *pgx.Conn, cause error) (pgx.Tx, error) {
	tx, err := beginPlanning(c.ctx, conn, c.server)
	if err != nil {
		return nil, err
	}
	var lockers *string
	if err := tx.QueryRow(c.ctx, lockersSQL).Scan(&lockers); err != nil {
		return tx, fmt.Errorf("finding the holder of a table lock: %w", err)
	}
	who := "one of its tables"
	if lockers != nil {
		who = *lockers
	}
	c.plan.unplanned = fmt.Errorf("planning: locked for more than %s: %s: %w", planLock, who, cause)
	return tx, nil
}

// resolve looks up all tables of the file at once, under the role's search_path.
func resolve(ctx context.Context, conn *pgx.Conn, file *policy.File, server Server) (map[[2]string]uint32, error) {
	var names [][2]string
	add := func(t policy.Table) {
		if name := [2]string{t.Schema, t.Name}; t.IsSet() && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if file.Tenants != nil {
		add(file.Tenants.Table)
	}
	for _, p := range file.Policies {
		eachTable(&p, add)
	}
	own := &pg.DB{Sender: conn, Before: []string{"SELECT " + pg.SetConfig("search_path", pg.Literal(server.path))}}
	found, err := schema.Resolve(ctx, own, names)
	if err != nil {
		return nil, err
	}
	oids := map[[2]string]uint32{}
	for i, name := range names {
		oids[name] = found[i]
	}
	return oids, nil
}

// eachTable visits the tables that a policy names.
func eachTable(p *policy.Policy, visit func(policy.Table)) {
	visit(p.Table)
	for _, d := range p.Dependents {
		visit(d.Table)
		visit(d.Parent)
	}
	for _, s := range p.Tenant.Steps {
		visit(s.Table)
	}
}

// preload loads the policy's tables, those on its tenant path, and those that reference its root,
// in a few statements; expand loads what is below. It does not touch other tables, so that a lock
// on one of them cannot block this policy.
func (c *compiler) preload() error { return c.graph.Load(c.ctx, c.conn, c.preloaded()...) }

// preloaded are the tables that preload loads.
func (c *compiler) preloaded() (all []uint32) {
	add := func(t policy.Table) {
		if oid := c.resolve(t); t.IsSet() && oid != 0 {
			all = append(all, oid)
		}
	}
	eachTable(c.plan.Policy, add)
	if c.file.Tenants != nil && !c.plan.Policy.Tenant.None {
		add(c.file.Tenants.Table)
	}
	for _, x := range c.tenantPathOf(c.plan.Policy) {
		all = append(all, x.table)
	}
	if root := c.resolve(c.plan.Policy.Table); root != 0 {
		for _, k := range c.graph.References(root) {
			all = append(all, k.Child)
		}
	}
	return all
}
