package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// MaxClockSkew is how far the clocks of the database and of reaper may be
// apart before a purge is refused.
const MaxClockSkew = time.Hour

// ReadServer reads the facts of the server that every plan needs.
func ReadServer(ctx context.Context, conn *pgx.Conn) (Server, error) {
	var s Server
	var track, role string
	var now int64 // a number reads the same under every DateStyle
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_user::text, pg_is_in_recovery(),
		current_setting('track_counts'), current_setting('session_replication_role'), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint`).
		Scan(&s.Version, &s.Role, &s.InRecovery, &track, &role, &now)
	if err != nil {
		return s, fmt.Errorf("reading the server's settings: %w", err)
	}
	s.TrackCounts, s.ReplicationRole, s.Now = track == "on", role, time.UnixMicro(now)
	s.ClockSkew = time.Since(s.Now).Abs()
	return s, nil
}

// Problems are those of the server itself: no policy can run beside an error.
func (s Server) Problems() []Problem {
	var problems []Problem
	bad := func(text, fix string) { problems = append(problems, Problem{Level: LevelError, Text: text, Fix: fix}) }
	if s.Version < 140000 {
		bad(fmt.Sprintf("the server is PostgreSQL %d", s.Version/10000), "reaper needs PostgreSQL 14 or newer")
	}
	if s.InRecovery {
		bad("the server is a standby (pg_is_in_recovery): nothing can be deleted there", "connect to the primary")
	}
	if s.ReplicationRole != "origin" {
		bad(fmt.Sprintf("session_replication_role is %s for this role: foreign keys would not be enforced", s.ReplicationRole),
			"ALTER ROLE "+ident(s.Role)+" RESET session_replication_role")
	}
	return problems
}

// compiler turns one policy into a plan, collecting problems instead of
// stopping at the first.
type compiler struct {
	ctx    context.Context
	conn   *pgx.Conn
	file   *policy.File
	graph  *schema.Graph
	server Server
	plan   *Plan
	all    []string             // names of all user tables, for suggestions; read on first need
	oids   map[[2]string]uint32 // tables of the file that were looked up
	tenant *schema.Table
}

// stop ends the compilation of a policy whose problem leaves nothing to plan.
var errStop = errors.New("policy cannot be planned")

// Compile makes the plans of the named policies, or of all when none is named.
// A mistake of the file or the schema is a Problem of its plan; an error is
// returned only when the database could not be asked.
func Compile(ctx context.Context, conn *pgx.Conn, file *policy.File, server Server, only []string) ([]*Plan, error) {
	graph, err := schema.Read(ctx, conn)
	if err != nil {
		return nil, err
	}
	oids, err := preload(ctx, conn, file, graph)
	if err != nil {
		return nil, err
	}
	var plans []*Plan
	for i := range file.Policies {
		p := &file.Policies[i]
		if len(only) > 0 && !slices.Contains(only, p.Name) {
			continue
		}
		c := &compiler{ctx: ctx, conn: conn, file: file, graph: graph, oids: oids, server: server, plan: &Plan{Policy: p, graph: graph, safety: file.Safety, server: server}}
		if err := c.compile(); err != nil && !errors.Is(err, errStop) {
			return nil, fmt.Errorf("planning policy %s: %w", p.Name, err)
		}
		plans = append(plans, c.plan)
	}
	return plans, nil
}

// preload looks up all tables of the file at once, and loads them with all that
// hangs below and above them: a few statements, however many tables there are.
func preload(ctx context.Context, conn *pgx.Conn, file *policy.File, graph *schema.Graph) (map[[2]string]uint32, error) {
	oids := map[[2]string]uint32{}
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
		add(p.Table)
		for _, d := range p.Dependents {
			add(d.Table)
			add(d.Parent)
		}
		for _, s := range p.Tenant.Steps {
			add(s.Table)
		}
	}
	found, err := schema.Resolve(ctx, conn, names)
	if err != nil {
		return nil, err
	}
	var all []uint32
	for i, name := range names {
		oids[name] = found[i]
		if found[i] != 0 {
			all = append(all, graph.Related(found[i])...)
		}
	}
	return oids, graph.Load(ctx, conn, all...)
}

func (c *compiler) compile() error {
	for _, step := range []func() error{
		c.root, c.ageColumn, c.rootKey, c.tenantsRelation, c.tenantPath, c.conditions, c.ageRange, c.dependents,
	} {
		if err := step(); err != nil {
			return err
		}
	}
	c.plan.order()
	c.guards()
	if c.plan.HasErrors() {
		return errStop
	}
	c.plan.modes.usual, c.plan.modes.full = newMode(c.plan, false), newMode(c.plan, true)
	c.needCounts()
	if err := c.provenWay(); err != nil {
		return err
	}
	if err := c.strategy(); err != nil {
		return err
	}
	return c.partitions()
}

// fail records an error at a place of the file.
func (c *compiler) fail(pos policy.Pos, fix, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if pos.Line > 0 {
		text = c.file.Errorf(pos, "%s", text).Error()
	}
	c.plan.problem(LevelError, text, fix)
}

// find resolves a table of the file and loads it; errStop after recording that
// there is none.
func (c *compiler) find(t policy.Table) (*schema.Table, error) {
	oid := c.resolve(t)
	if oid == 0 {
		c.fail(t.Pos, c.suggestTable(t), "there is no table %s", t)
		return nil, errStop
	}
	if err := c.graph.Load(c.ctx, c.conn, oid); err != nil {
		return nil, err
	}
	found := c.graph.Tables[oid]
	if !found.CanUseSchema {
		c.fail(t.Pos, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s", ident(found.Name.Schema), ident(c.server.Role)),
			"role %s may not use schema %s", c.server.Role, found.Name.Schema)
		return nil, errStop
	}
	return found, nil
}

// resolve gives the OID of a table of the file; 0: there is none.
func (c *compiler) resolve(t policy.Table) uint32 { return c.oids[[2]string{t.Schema, t.Name}] }

func (c *compiler) suggestTable(t policy.Table) string {
	if c.all == nil {
		_, names, err := schema.UserTables(c.ctx, c.conn)
		if err != nil {
			return "check the name and the search_path"
		}
		for _, n := range names {
			c.all = append(c.all, n.String())
		}
	}
	bare := make([]string, len(c.all))
	for i, n := range c.all {
		bare[i] = n[strings.Index(n, ".")+1:]
		if bare[i] == t.Name {
			return "write " + n + " (its schema is not on the search_path)"
		}
	}
	if near := schema.Nearest(t.Name, bare); near != "" {
		return "did you mean " + c.all[slices.Index(bare, near)] + "? Names are exact and never folded"
	}
	return "check the name: it is exact and never folded"
}

// column finds a column of a table, or records the nearest name.
func (c *compiler) column(t *schema.Table, name string, pos policy.Pos) (schema.Column, error) {
	found, ok := t.Column(name)
	if ok {
		return found, nil
	}
	fix := "its columns are " + strings.Join(t.ColumnNames(), ", ")
	if near := schema.Nearest(name, t.ColumnNames()); near != "" {
		fix = "did you mean " + near + "? Names are exact and never folded"
	}
	c.fail(pos, fix, "table %s has no column %s", t.Name, name)
	return schema.Column{}, errStop
}

func (c *compiler) root() error {
	t, err := c.find(c.plan.Policy.Table)
	if err != nil {
		return err
	}
	pos := c.plan.Policy.Table.Pos
	if t.Kind != schema.Ordinary && t.Kind != schema.Partitioned {
		c.fail(pos, "name an ordinary or a partitioned table", "%s is not a table", t.Name)
		return errStop
	}
	if t.Kind == schema.Ordinary && len(t.Children) > 0 {
		c.fail(pos, "make it a partitioned table, or write a policy for each table that inherits from it once none does",
			"other tables inherit from %s: its key does not hold over their rows", t.Name)
	}
	c.plan.Root = &Node{Table: t, Deleted: true}
	c.plan.Nodes = []*Node{c.plan.Root}
	return nil
}

var integerTypes = []string{"int2", "int4", "int8"}

func (c *compiler) ageColumn() error {
	spec := c.plan.Policy.Age
	column, err := c.column(c.plan.Root.Table, spec.Column.Value, spec.Column.Pos)
	if err != nil {
		return err
	}
	a := age{column: column, unit: spec.Unit, zone: "UTC"}
	switch {
	case slices.Contains(integerTypes, column.TypeName):
		if spec.Unit == policy.UnitNone {
			c.fail(spec.Column.Pos, "write age: {column: "+column.Name+", unit: s} (or ms, us)",
				"%s.%s is %s: the unit of an integer age must be said", c.plan.Root.Table.Name, column.Name, column.Type)
			return errStop
		}
		if spec.TimeZone.IsSet() {
			c.fail(spec.TimeZone.Pos, "remove time_zone", "an integer age counts from 1970 in UTC and has no time zone")
			return errStop
		}
	case slices.Contains([]string{"timestamptz", "timestamp", "date"}, column.TypeName):
		if spec.Unit != policy.UnitNone {
			c.fail(spec.UnitPos, "remove unit", "%s.%s is %s: only integer ages have a unit", c.plan.Root.Table.Name, column.Name, column.Type)
			return errStop
		}
		if spec.TimeZone.IsSet() && column.TypeName == "timestamptz" {
			c.fail(spec.TimeZone.Pos, "remove time_zone", "%s.%s is timestamp with time zone: it needs no time_zone", c.plan.Root.Table.Name, column.Name)
			return errStop
		}
	default:
		c.fail(spec.Column.Pos, "an age is timestamptz, timestamp, date, or smallint, int, bigint with a unit",
			"%s.%s is %s, which is no age", c.plan.Root.Table.Name, column.Name, column.Type)
		return errStop
	}
	if spec.TimeZone.IsSet() {
		a.zone = spec.TimeZone.Value
		var ok bool
		err := c.conn.QueryRow(c.ctx, `SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)`, a.zone).Scan(&ok)
		if err != nil {
			return fmt.Errorf("looking up time zone: %w", err)
		}
		if !ok {
			c.fail(spec.TimeZone.Pos, "use a name of pg_timezone_names, such as Europe/Paris", "there is no time zone %s", a.zone)
			return errStop
		}
	}
	c.plan.age = a
	return nil
}

// rootKey chooses the primary key, or else the narrowest unique index that is
// whole, plain, immediate and NOT NULL.
func (c *compiler) rootKey() error {
	t := c.plan.Root.Table
	var best *schema.Index
	for i := range t.Indexes {
		x := &t.Indexes[i]
		if !usableKey(t, x) {
			continue
		}
		if best == nil || x.Primary || !best.Primary && len(x.Columns) < len(best.Columns) {
			best = x
		}
	}
	if best == nil {
		why := ""
		if column := arrayInKey(t); column != "" {
			why = fmt.Sprintf(" and that can be looked up: column %s is an array", column)
		}
		c.fail(c.plan.Policy.Table.Pos, "add a primary key, or a unique index over NOT NULL columns (not partial, not deferrable, no expressions, no arrays)",
			"%s has no key that tells its rows apart%s", t.Name, why)
		return nil
	}
	for _, n := range best.ColumnNames() {
		k, _ := t.Column(n)
		c.plan.key = append(c.plan.key, k)
	}
	return nil
}

func usableKey(t *schema.Table, x *schema.Index) bool {
	if !x.Unique || !x.Valid || !x.Immediate || x.Predicate != "" {
		return false
	}
	for _, ic := range x.Columns {
		column, ok := t.Column(ic.Name)
		if !ok || !column.NotNull || !ic.OwnCollation || column.Array() {
			return false
		}
	}
	return true
}

// arrayInKey is a column that keeps a key from being used; "" when none does.
func arrayInKey(t *schema.Table) string {
	for _, x := range t.Indexes {
		for _, name := range x.ColumnNames() {
			if column, ok := t.Column(name); ok && column.Array() && x.Unique {
				return name
			}
		}
	}
	return ""
}

// describe asks PostgreSQL for the columns of a statement, without running it.
func (c *compiler) describe(sql string) ([]pgconn.FieldDescription, error) {
	d, err := c.conn.PgConn().Prepare(c.ctx, "", sql, nil)
	if err != nil {
		return nil, err
	}
	return d.Fields, nil
}

// expression checks a user's SQL over one relation and gives the OID of its
// type; 0 after recording a problem. It is described as a condition besides:
// there PostgreSQL itself refuses what is no matter of one row, aggregates, window
// functions and sets, which a SELECT list would take.
func (c *compiler) expression(what string, text policy.Text, relation string) (uint32, error) {
	sql := "(" + text.Value + "\n)"
	fields, err := c.describe("SELECT " + sql + " FROM " + relation + " WHERE " + sql + " IS NULL")
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		c.fail(text.Pos, expressionFix(pg), "%s: %s", what, pg.Message)
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("checking %s: %w", what, err)
	}
	return fields[0].DataTypeOID, nil
}

func expressionFix(pg *pgconn.PgError) string {
	switch {
	case pg.Code == "42803", pg.Code == "42P20", strings.HasPrefix(pg.Message, "set-returning"):
		return "write an expression over one row: no aggregate, no window function, no function that returns a set"
	case pg.Hint != "":
		return pg.Hint
	}
	return "it may use the columns of that table alone"
}

const boolOID = 16

// boolean checks a user's condition.
func (c *compiler) boolean(what string, text policy.Text, relation string) error {
	oid, err := c.expression(what, text, relation)
	if err == nil && oid != 0 && oid != boolOID {
		c.fail(text.Pos, "write a condition that is true or false", "%s is not boolean", what)
	}
	return err
}

// ageRange refuses an integer age whose values make no sense in its unit:
// seconds taken for milliseconds would expire everything.
func (c *compiler) ageRange() error {
	a, t := c.plan.age, c.plan.Root.Table
	if !a.integer() || !t.CanSelect || t.RowSecurity {
		return nil
	}
	name := ident(a.column.Name)
	var oldest, newest *int64
	err := c.conn.QueryRow(c.ctx, fmt.Sprintf("SELECT (SELECT min(%[1]s) FROM %[2]s WHERE %[1]s > 0)::bigint, (SELECT max(%[1]s) FROM %[2]s WHERE %[1]s > 0)::bigint", name, from(t))).
		Scan(&oldest, &newest)
	if err != nil {
		return fmt.Errorf("reading the range of %s: %w", a.column.Name, err)
	}
	factor := map[policy.Unit]int64{policy.UnitSeconds: 1, policy.UnitMilliseconds: 1_000, policy.UnitMicroseconds: 1_000_000}[a.unit]
	from, to := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC).Unix()*factor, time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC).Unix()*factor
	for _, v := range []*int64{oldest, newest} {
		if v != nil && (*v < from || *v >= to) {
			c.fail(c.plan.Policy.Age.Column.Pos, "check the unit: s, ms or us",
				"%s.%s holds %d, which in unit %s lies outside 1990-2100", t.Name, a.column.Name, *v, a.unit)
			break
		}
	}
	return nil
}

func (c *compiler) conditions() error {
	if !c.plan.Policy.Where.IsSet() {
		return nil
	}
	return c.boolean("where", c.plan.Policy.Where, from(c.plan.Root.Table))
}
