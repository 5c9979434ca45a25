package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// ownSettingsSQL reads the values that the role's sessions start with, since another client of a
// pooler may have changed this session. All names are qualified: the search_path is unknown.
const ownSettingsSQL = `SELECT (SELECT s.reset_val FROM pg_catalog.pg_settings s WHERE s.name OPERATOR(pg_catalog.=) 'TimeZone'),
       (SELECT s.reset_val FROM pg_catalog.pg_settings s WHERE s.name OPERATOR(pg_catalog.=) 'search_path')`

// ReadServer reads the server settings that every plan needs.
func ReadServer(ctx context.Context, conn *pgx.Conn) (Server, error) {
	var s Server
	var track, role string
	var now int64
	err := conn.QueryRow(ctx, ownSettingsSQL).Scan(&s.TimeZone, &s.path)
	if err == nil {
		own := &pg.DB{Sender: conn, Before: []string{"SELECT " + pg.SetConfig("search_path", pg.Literal(s.path))}}
		err = own.QueryRow(ctx, `SELECT pg_catalog.current_schemas(true)::pg_catalog.text[]`).Scan(&s.SearchPath)
	}
	if err == nil {
		err = pg.Pinned(conn).QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_user::text, pg_is_in_recovery(),
			current_setting('track_counts'), current_setting('session_replication_role'),
			current_setting('max_locks_per_transaction')::int * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int),
			(extract(epoch FROM clock_timestamp()) * 1000000)::bigint,
			coalesce((SELECT has_language_privilege(l.oid, 'USAGE') FROM pg_language l WHERE l.lanname = 'plpgsql'), false)`).
			Scan(&s.Version, &s.Role, &s.InRecovery, &track, &role, &s.maxLocks, &now, &s.Loops)
	}
	if err == nil {
		from := &s.sources
		err = pg.Pinned(conn).QueryRow(ctx, schema.SourcesSQL).Scan(&from.Session, &from.Database, &from.ReplicationRole, &from.TrackCounts)
	}
	if err != nil {
		return s, fmt.Errorf("reading the server's settings: %w", err)
	}
	s.TrackCounts, s.ReplicationRole, s.Now = track == "on", role, time.UnixMicro(now)
	s.ClockSkew = time.Since(s.Now).Abs()
	return s, nil
}

// Problems are those of the server itself. With an error among them, no policy can run.
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
			s.sources.SettingFix("session_replication_role", "origin", s.sources.ReplicationRole))
	}
	return problems
}

// MaxClockSkew is the largest difference between the clocks of reaper and the database at which a
// purge still runs; planLock and planStatement are the timeouts of planning.
const (
	MaxClockSkew  = time.Hour
	planLock      = 5 * time.Second
	planStatement = 5 * time.Minute
)

// compiler turns one policy into a plan. It collects problems rather than stopping at the first.
type compiler struct {
	ctx    context.Context
	conn   pgx.Tx // its search_path is pinned; usersql resolves users' SQL by the role's own
	file   *policy.File
	graph  *schema.Graph
	server Server
	plan   *Plan
	known  *known
	all    []schema.Name        // all user tables, for suggestions; read on first use
	oids   map[[2]string]uint32 // resolved tables of the file
	tenant *schema.Table
	// schemaDenied: the role lacks USAGE on the schema of a table of the file, so SQL over that table
	// cannot be parsed. The problem is recorded.
	schemaDenied bool
	// leadsToTenant reports, by table, whether rows of any policy find their tenant through it; nil
	// until first used.
	leadsToTenant map[uint32]bool
	proposed      []proposal // for undecided edges
	// untrusted: SQL of the file calls a function of an untrusted owner. That is an error, and the
	// SQL is not even planned.
	untrusted bool
	// ageIndexable: SQL that gives the age is immutable, so an index can be on it.
	ageIndexable bool
}

// errStop ends the compilation of a policy that cannot be planned any further.
var errStop = errors.New("policy cannot be planned")

func (c *compiler) compile() error {
	if err := c.steps(c.preload, c.root, c.ageColumn, c.rootKey, c.tenantsRelation, c.tenantPath, c.conditions, c.checkAgeRange, c.dependents); err != nil {
		return err
	}
	c.plan.order()
	if err := c.steps(c.guards, c.archived, c.clearedAges, c.checkTypeSchemas, c.checkTenantPaths, c.checkForeignKeys, c.checkSearchPath); err != nil {
		return err
	}
	if c.plan.HasErrors() {
		if c.plan.Readable() {
			return cmp.Or(c.strategy(), errStop)
		}
		return errStop
	}
	c.plan.Usual, c.plan.Full = newTraversal(c.plan, c.plan.Watched()), newTraversal(c.plan, true)
	if c.plan.Policy.Archive {
		c.plan.Whole = newWhole(c.plan)
	}
	c.checkTrackCounts()
	return c.steps(c.decideProven, c.strategy, c.partitions)
}

func (c *compiler) steps(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// fail records an error with its position in the file.
func (c *compiler) fail(pos policy.Pos, fix, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if pos.Line > 0 {
		text = c.file.Errorf(pos, "%s", text).Error()
	}
	c.plan.AddProblem(LevelError, text, fix)
}

// find resolves and loads a table of the file; errStop, with a problem recorded, if there is none.
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
		c.missingUsage(found.Name.Schema, "")
		c.schemaDenied = true
	}
	return found, nil
}

// resolve returns the OID of a table of the file, or 0.
func (c *compiler) resolve(t policy.Table) uint32 { return c.oids[[2]string{t.Schema, t.Name}] }

func (c *compiler) suggestTable(t policy.Table) string {
	if c.all == nil {
		var err error
		if _, c.all, err = schema.UserTables(c.ctx, c.conn); err != nil {
			return "check the name and the search_path"
		}
	}
	bare := make([]string, len(c.all))
	for i, n := range c.all {
		bare[i] = n.Name
		if n.Name == t.Name && t.Schema == "" {
			return "write " + policy.YAMLTable(n.Schema, n.Name) + " # its schema is not on the search_path"
		}
	}
	if near := schema.Nearest(t.Name, bare); near != "" {
		n := c.all[slices.Index(bare, near)]
		return "did you mean " + policy.YAMLTable(n.Schema, n.Name) + "? Names are exact and never folded"
	}
	return "check the name: it is exact and never folded"
}

// column finds a column of a table, or records a problem that suggests the nearest name.
func (c *compiler) column(t *schema.Table, name string, pos policy.Pos) (schema.Column, error) {
	found, ok := t.Column(name)
	if ok {
		return found, nil
	}
	fix := "its columns are " + strings.Join(t.ColumnNames(), ", ")
	if near := schema.Nearest(name, t.ColumnNames()); near != "" {
		fix = "did you mean " + policy.YAMLColumn(near) + "? Names are exact and never folded"
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
		c.fail(pos, "make it a partitioned table, or remove the inheritance and write a policy for each table",
			"other tables inherit from %s: its key does not cover their rows", t.Name)
	}
	c.plan.Root = &Node{Table: t, Deleted: true}
	c.plan.Nodes = []*Node{c.plan.Root}
	return nil
}

func (c *compiler) conditions() error {
	if !c.plan.Policy.Where.IsSet() {
		return nil
	}
	var err error
	c.plan.Where, err = c.boolean("where", c.plan.Policy.Where, schema.From(c.plan.Root.Table))
	return err
}
