package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// The timeouts of compiling.
const (
	compileLock      = 5 * time.Second
	compileStatement = 5 * time.Minute
)

// Compile compiles the section for a database; nil if the file has none. A mistake in the file or the
// schema becomes a problem, whose policy is "erasure"; an error means that a query failed. Tables of
// the schema ledger are left out. A plan with an error among its problems must not run.
func Compile(ctx context.Context, conn *pgx.Conn, file *policy.File, server plan.Server, ledger string) (*Plan, []plan.Problem, error) {
	if file.Erasure == nil {
		return nil, nil, nil
	}
	c, err := compiled(ctx, conn, file, server, ledger)
	if err != nil {
		return nil, nil, err
	}
	return c.plan, c.problems, nil
}

func compiled(ctx context.Context, conn *pgx.Conn, file *policy.File, server plan.Server, ledger string) (*compiler, error) {
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: "BEGIN ISOLATION LEVEL READ COMMITTED; " + pg.Pin + "; " + pg.Timeouts(compileLock, compileStatement)})
	if err != nil {
		return nil, fmt.Errorf("planning erasure: %w", err)
	}
	defer pg.Rollback(tx)
	c := &compiler{
		ctx: ctx, tx: tx, file: file, section: file.Erasure, server: server, ledger: ledger,
		plan: &Plan{File: file, Section: file.Erasure, Server: server}, byOID: map[uint32]*Table{},
	}
	if err := c.compile(); err != nil && !errors.Is(err, errStop) {
		return nil, fmt.Errorf("planning erasure: %w", err)
	}
	return c, nil
}

// errStop ends a compilation that cannot go any further; the reason is among the problems.
var errStop = errors.New("erasure cannot be planned")

// compiler compiles one section. It collects problems rather than stopping at the first.
type compiler struct {
	ctx      context.Context
	tx       pgx.Tx // its search_path is pinned
	file     *policy.File
	section  *policy.Erasure
	server   plan.Server
	ledger   string
	graph    *schema.Graph
	plan     *Plan
	byOID    map[uint32]*Table
	oids     map[[2]string]uint32 // resolved tables of the file
	entries  map[*Table][]*policy.ErasureTable
	circles  map[*Table]int // see knots
	problems []plan.Problem
	proposed []Proposal // for some of the problems
	unsafe   bool       // what runs may rely on the role's own search_path
}

func (c *compiler) compile() error {
	for _, step := range []func() error{
		c.read, c.tenants, c.decide, c.inferWays, c.redactions, c.stays, c.conditions, c.guards, c.polymorphic, c.coverage, c.groups,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// add records a problem; pos may be unknown.
func (c *compiler) add(level plan.Level, pos policy.Pos, fix, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if pos.Line > 0 {
		text = c.file.Errorf(pos, "%s", text).Error()
	}
	c.problems = append(c.problems, plan.Problem{Policy: policy.ErasurePolicy, Level: level, Text: text, Fix: fix})
}

func (c *compiler) fail(pos policy.Pos, fix, format string, args ...any) {
	c.add(plan.LevelError, pos, fix, format, args...)
}

// failOnce records an error unless there is one with the same text.
func (c *compiler) failOnce(fix, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.ContainsFunc(c.problems, func(p plan.Problem) bool { return p.Text == text }) {
		c.fail(policy.Pos{}, fix, "%s", text)
	}
}

// HasErrors reports whether an error stands in the way.
func (c *compiler) hasErrors() bool {
	return slices.ContainsFunc(c.problems, func(p plan.Problem) bool { return p.Level == plan.LevelError })
}

// table returns the plan's table with this OID, or the one of which it is a partition; nil: it is not
// among them.
func (c *compiler) table(oid uint32) *Table {
	for range 64 { // levels of partitions
		if t := c.byOID[oid]; t != nil {
			return t
		}
		parent := c.graph.PartitionOf(oid)
		if parent == 0 {
			return nil
		}
		oid = parent
	}
	return nil
}

// tenants finds the tenants' table and its key.
func (c *compiler) tenants() error {
	spec := c.file.Tenants
	t := c.byOID[c.resolve(spec.Table)]
	if t == nil {
		c.fail(spec.Table.Pos, "name a table of the database", "there is no table %s", spec.Table)
		return errStop
	}
	key, ok := t.Table.Column(spec.Key.Value)
	if !ok {
		c.fail(spec.Key.Pos, "its columns are "+schemaNames(t.Table), "table %s has no column %s", t.Name(), spec.Key.Value)
		return errStop
	}
	if key.Array() {
		c.fail(spec.Key.Pos, "use another column as the key", "the tenants' key %s is %s: an array cannot be a key", key.Name, key.Type)
		return errStop
	}
	unique := slices.ContainsFunc(t.Table.Indexes, func(x schema.Index) bool { return uniqueOn(x, key.Name) })
	if !unique || t.Table.Kind == schema.Ordinary && len(t.Table.Children) > 0 {
		c.fail(spec.Key.Pos, "add a unique index over it alone", "the tenants' key %s.%s is not unique: rows of two tenants could not be told apart", t.Name(), key.Name)
		return errStop
	}
	c.plan.Tenants, c.plan.Key, t.Action = t, key, Delete
	if c.section.TenantRow == policy.Redact {
		t.Action = Redact
	}
	return c.generated()
}

// generatedSQL reports whether values of column $2 of table $1 are never used again: uuids, and what a
// sequence gives.
const generatedSQL = `SELECT a.atttypid = 'uuid'::regtype OR a.attidentity <> '' OR EXISTS (
	SELECT FROM pg_depend d JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S' JOIN pg_attrdef f ON f.oid = d.objid
	 WHERE d.classid = 'pg_attrdef'::regclass AND d.refclassid = 'pg_class'::regclass AND f.adrelid = a.attrelid AND f.adnum = a.attnum)
  FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = $2`

func (c *compiler) generated() error {
	err := c.tx.QueryRow(c.ctx, generatedSQL, c.plan.Tenants.Table.OID, c.plan.Key.Name).Scan(&c.plan.Generated)
	if err != nil {
		return fmt.Errorf("reading how keys of tenants are made: %w", err)
	}
	return nil
}

// uniqueOn reports whether an index guarantees that the values of one column are unique.
func uniqueOn(x schema.Index, column string) bool {
	return x.Unique && x.Valid && x.Immediate && x.Predicate == "" && len(x.Columns) == 1 &&
		x.Columns[0].Name == column && x.Columns[0].OwnCollation
}

func keyFamily(t *schema.Table, column string) uint32 {
	for _, x := range t.Indexes {
		if uniqueOn(x, column) {
			return x.Columns[0].Family
		}
	}
	return 0
}
