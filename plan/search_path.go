package plan

import (
	"fmt"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/schema"
)

// ownPath tells which statements run under the role's own search_path, since users' code that runs
// in them may rely on it: triggers, rules, and functions called by SQL of the file. All others run
// with the path pinned to pg_catalog.
type ownPath struct{ reading, writing bool }

// ReadingPath is the search_path of statements that only read.
func (p *Plan) ReadingPath() string { return p.pathOf(p.ownPath.reading) }

// writingPath is the search_path of batches.
func (p *Plan) writingPath() string { return p.pathOf(p.ownPath.writing) }

// pathOf returns the role's own path as read at planning time: another client of a pooler may have
// changed the session's.
func (p *Plan) pathOf(own bool) string {
	if own {
		return p.Server.path
	}
	return pg.Path
}

// checkSearchPath refuses the role's own search_path if it is needed and others may create objects in
// it, which would run as this role.
func (c *compiler) checkSearchPath() error {
	p := c.plan
	if !p.ownPath.reading && !p.ownPath.writing {
		return nil
	}
	found, err := usersql.Creators(c.ctx, c.conn, c.plannedTables(), c.server.SearchPath)
	if err != nil {
		return err
	}
	for _, x := range found {
		text := fmt.Sprintf("%s may create in schema %s of the search_path, and %s: what they create there can run as role %s", x.Roles, x.Schema, p.foreignCode(), c.server.Role)
		level := LevelWarning
		if x.Certain || x.Objects != "" {
			level = LevelError
		}
		if x.Objects != "" {
			text += "; there are " + x.Objects
		}
		p.AddProblem(level, text, x.Fix())
	}
	return nil
}

// foreignCode names what runs under the role's own search_path.
func (p *Plan) foreignCode() string {
	if names := p.Firing(); len(names) > 0 {
		return names[0] + " runs under it"
	}
	return "functions that the policy file or the tables call run under it"
}

// plannedTables are the OIDs of the plan's tables known so far.
func (c *compiler) plannedTables() []uint32 {
	p := c.plan
	oids := []uint32{}
	add := func(t *schema.Table) {
		if t != nil {
			oids = append(oids, t.OID)
		}
	}
	for _, n := range p.Nodes {
		add(n.Table)
	}
	for _, h := range p.Hops {
		add(h.Table)
	}
	if p.Tenants != nil {
		add(p.Tenants.Table)
	}
	return oids
}
