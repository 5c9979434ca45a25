package erasure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// guards records what prevents or endangers an erasure: missing privileges and indexes, row-level
// security, triggers and rules, publications, foreign keys that do not act.
func (c *compiler) guards() error {
	p := c.plan
	var err error
	p.same, err = c.graph.Comparing(c.ctx, c.tx, p.Key, p.Key, keyFamily(p.Tenants.Table, p.Key.Name))
	if err != nil {
		return err
	}
	if p.same == nil {
		c.fail(c.file.Tenants.Key.Pos, "use a key of another type", "the tenants' key %s is %s, which has no order", p.Key.Name, p.Key.Type)
		return errStop
	}
	keys, err := readKeys(c.ctx, c.tx, c.tables())
	if err != nil {
		return err
	}
	for _, t := range p.Tables {
		t.keys = keys[t.Table.OID]
		if t.Action == Global || t.Action == Undecided {
			continue
		}
		c.tableGuards(t)
		for _, w := range t.Ways {
			if err := c.wayGuards(t, w); err != nil {
				return err
			}
		}
	}
	for _, e := range p.edges {
		if e.child.Action == Global {
			c.readable(e.from)
			if !e.soft {
				c.add(plan.LevelWarning, policy.Pos{}, "make sure that no such reference is there, or make it ON DELETE SET NULL",
					"%s is global, but references %s (%s): a row of it that references one of the tenant's stops the erasure", e.child.Name(), e.parent.Name(), e.label())
			}
		}
		if err := c.edgeGuards(e); err != nil {
			return err
		}
	}
	if err := c.idleKeys(); err != nil {
		return err
	}
	c.checkNeeds()
	return c.checkPath()
}

// readable records that the role cannot read a table, or not all of it.
func (c *compiler) readable(t *schema.Table) {
	role := pg.Ident(c.server.Role)
	if !t.CanUseSchema {
		c.failOnce(fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", pg.Ident(t.Name.Schema), role), "role %s may not use schema %s", c.server.Role, t.Name.Schema)
	}
	if !t.CanSelect {
		c.missing("SELECT", t.Name)
	}
	if t.RowSecurity {
		c.failOnce("ALTER ROLE "+role+" BYPASSRLS; -- or run as the table's owner", "row-level security hides rows of %s from role %s", t.Name, c.server.Role)
	}
}

func (c *compiler) missing(privilege string, name schema.Name) {
	c.failOnce(fmt.Sprintf("GRANT %s ON %s TO %s;", privilege, pg.Ident(name.Schema, name.Name), pg.Ident(c.server.Role)), "role %s lacks %s on %s", c.server.Role, privilege, name)
}

// updated are the columns of a table that an erasure sets.
func (c *compiler) updated(t *Table) (columns []string) {
	if t.Redaction != nil {
		columns = t.Redaction.Names()
	}
	return columns
}

// needsDelete reports whether the role needs DELETE on a table: for rows that go, and for the tenants'
// table, which is locked.
func (p *Plan) needsDelete(t *Table) bool { return t.deletes() || t == p.Tenants }

func (t *Table) deletes() bool { return t.Action == Delete || t.Action == Keep }

func (c *compiler) tableGuards(t *Table) {
	s := t.Table
	if s.Kind != schema.Ordinary && s.Kind != schema.Partitioned {
		c.fail(c.posOf(t), globalFix(s.Name)+" # and see to its rows yourself", "%s is a foreign table: its rows cannot be erased in one transaction with others", t.Name())
		return
	}
	c.readable(s)
	if c.plan.needsDelete(t) {
		if !s.CanDelete {
			c.missing("DELETE", s.Name)
		}
		if !s.CanUpdate {
			c.missing("UPDATE ("+pg.Ident(s.Columns[0].Name)+")", s.Name) // FOR UPDATE needs it
		}
	}
	for _, column := range c.updated(t) {
		if !slices.Contains(s.UpdateColumns, column) {
			c.missing("UPDATE ("+pg.Ident(column)+")", s.Name)
		}
	}
	c.triggers(t)
	for _, x := range s.Refusing {
		if t.deletes() && x.Deletes || len(c.updated(t)) > 0 && x.Updates {
			text, fix := schema.PublishedProblem(x)
			c.fail(policy.Pos{}, fix, "%s: PostgreSQL refuses it", text)
		}
	}
}

// triggers records the triggers and rules that can fire.
func (c *compiler) triggers(t *Table) {
	for _, x := range t.Table.Triggers {
		on := ""
		switch {
		case x.OnDelete && t.deletes():
			on = "DELETE"
		case x.FiresOnUpdateOf(c.updated(t)) && len(c.updated(t)) > 0:
			on = "UPDATE"
		default:
			continue
		}
		c.unsafe = true
		if x.Before && x.Row && !c.section.AllowTriggers {
			c.fail(policy.Pos{}, "write under erasure, triggers: allow # see what it does first: rows that have to go or to change must do so", "trigger %s of %s runs BEFORE %s and could keep rows as they are", x.Name, x.Table, on)
			continue
		}
		c.add(plan.LevelWarning, policy.Pos{}, "make sure that it works under row_security = off and TimeZone UTC, and writes nothing that belongs to the tenant", "trigger %s of %s fires on %s: function %s", x.Name, x.Table, on, x.Function)
	}
	for _, x := range t.Table.Rules {
		if x.OnDelete && t.deletes() || !x.OnDelete && len(c.updated(t)) > 0 {
			c.fail(policy.Pos{}, fmt.Sprintf("ALTER TABLE %s DISABLE RULE %s; -- or replace it by a trigger", pg.Ident(x.Table.Schema, x.Table.Name), pg.Ident(x.Name)), "rule %s of %s rewrites what an erasure does: nothing shows what became of the rows", x.Name, x.Table)
		}
	}
}

// edgeGuards checks how a reference compares, and that an index serves it.
func (c *compiler) edgeGuards(e *edge) error {
	var pairs []schema.Comparison
	for _, x := range e.pairs {
		if x == nil {
			return nil // compared as text, as the file says
		}
		pairs = append(pairs, *x)
		if x.Crossed(x.Theirs) {
			c.fail(policy.Pos{}, "give both columns the same collation", "%s compares %s.%s with %s.%s, which has another collation, and that of %s is not deterministic", e.label(), e.child.Name(), x.Theirs.Name, e.parent.Name(), x.Ours.Name, x.Theirs.Name)
		}
	}
	if what := c.graph.Stable(pairs); what != "" {
		c.fail(policy.Pos{}, "give both columns the same type", "%s of %s compares %s: the answer depends on the TimeZone", e.label(), e.child.Name(), what)
	}
	served := slices.ContainsFunc(e.from.Indexes, func(x schema.Index) bool {
		return x.Valid && len(x.Columns) > 0 && slices.ContainsFunc(pairs, func(p schema.Comparison) bool { return p.Serves(x.Columns[0]) }) && impliedPredicate(x, e.columns)
	})
	if served || !e.binds() {
		return nil
	}
	fix, err := c.graph.IndexFix(c.ctx, c.tx, e.from, pairs, nil)
	if err != nil {
		return err
	}
	return c.unindexed(e.from, fix, fmt.Sprintf("no index serves %s (%s) of %s: each deleted row of %s reads the whole table", e.label(), strings.Join(e.columns, ", "), e.from.Name, e.parent.Name()))
}

// wayGuards checks that an index finds the rows that hold the key in a column, or by SQL; foreign keys
// and steps of paths are references.
func (c *compiler) wayGuards(t *Table, w *Way) error {
	if w.Key != nil || len(w.hops) > 0 || t.Table.Kind != schema.Ordinary && t.Table.Kind != schema.Partitioned {
		return nil
	}
	served := slices.ContainsFunc(t.Table.Indexes, func(x schema.Index) bool {
		if !x.Valid || len(x.Columns) == 0 {
			return false
		}
		first := x.Columns[0]
		return w.sql == "" && first.Name == w.last.column || w.sql != "" && first.Expression != "" && plain(first.Expression) == plain(strings.ReplaceAll(w.sql, t.Table.Name.Name+".", ""))
	})
	if served {
		return nil
	}
	how, what := " CONCURRENTLY", "("+w.written+")"
	if t.Table.Kind == schema.Partitioned {
		how = ""
	}
	if w.sql == "" {
		what = pg.Ident(w.last.column)
	}
	return c.unindexed(t.Table, fmt.Sprintf("CREATE INDEX%s ON %s (%s);", how, pg.Ident(t.Table.Name.Schema, t.Table.Name.Name), what),
		fmt.Sprintf("no index serves the owner of %s: each batch reads the whole table", t.Name()))
}

// plain is SQL without spaces and parentheses.
func plain(sql string) string { return strings.NewReplacer(" ", "", "(", "", ")", "").Replace(sql) }

// impliedPredicate reports whether an index holds every row whose columns are not NULL.
func impliedPredicate(x schema.Index, columns []string) bool {
	return x.Predicate == "" || slices.ContainsFunc(columns, func(n string) bool {
		return x.Predicate == "("+pg.Ident(n)+" IS NOT NULL)" || x.Predicate == "("+n+" IS NOT NULL)"
	})
}

// unindexed records that no index serves a lookup: an error if the table is large.
func (c *compiler) unindexed(t *schema.Table, fix, text string) error {
	big := t.EstimatedRows > schema.UnindexedRows
	if t.EstimatedRows < 0 { // it was never analyzed
		var err error
		if big, err = schema.HasMoreRows(c.ctx, c.tx, t, schema.UnindexedRows); err != nil {
			return err
		}
	}
	level := plan.LevelWarning
	if big && !c.section.AllowUnindexed {
		level = plan.LevelError
	}
	c.add(level, policy.Pos{}, fix, "%s", text)
	return nil
}

// idleKeys refuses foreign keys of the plan that PostgreSQL does not enforce.
func (c *compiler) idleKeys() error {
	var oids []uint32
	for _, e := range c.plan.edges {
		if e.key == nil {
			continue
		}
		oids = append(oids, e.key.OID)
		if !e.key.Enforced {
			c.failOnce(fmt.Sprintf("ALTER TABLE %s ALTER CONSTRAINT %s ENFORCED; -- or drop the key, and name the column as owner", pg.Ident(e.key.ChildName.Schema, e.key.ChildName.Name), pg.Ident(e.key.Name)),
				"foreign key %s of %s is NOT ENFORCED: PostgreSQL neither checks it nor acts on it", e.key.Name, e.key.ChildName)
		}
	}
	if len(oids) == 0 {
		return nil
	}
	idle, err := schema.IdleKeys(c.ctx, c.tx, oids)
	if err != nil {
		return err
	}
	for _, x := range idle {
		fix := x.Fix
		if fix == "" {
			fix = "drop the foreign key and add it again"
		}
		c.failOnce(fix, "foreign key %s of %s does not act: its triggers on %s are disabled, or fire only in another session_replication_role", x.Key, x.Child, x.On)
	}
	return nil
}

// checkNeeds records privileges that SQL of the section takes.
func (c *compiler) checkNeeds() {
	for _, f := range c.plan.Needs.Functions {
		if !f.CanExecute {
			c.failOnce(fmt.Sprintf("GRANT EXECUTE ON ROUTINE %s TO %s;", f.SQL, pg.Ident(c.server.Role)), "role %s lacks EXECUTE on %s", c.server.Role, f.SQL)
		}
	}
}

// checkPath refuses the role's own search_path, where runs need it, if others may create objects in it.
func (c *compiler) checkPath() error {
	c.plan.ownPath = c.unsafe
	if !c.unsafe {
		return nil
	}
	found, err := usersql.Creators(c.ctx, c.tx, c.tables(), c.server.SearchPath)
	if err != nil {
		return err
	}
	for _, x := range found {
		level, text := plan.LevelWarning, fmt.Sprintf("%s may create in schema %s of the search_path, under which triggers and functions of the section run: what they create there can run as role %s", x.Roles, x.Schema, c.server.Role)
		if x.Certain || x.Objects != "" {
			level = plan.LevelError
		}
		if x.Objects != "" {
			text += "; there are " + x.Objects
		}
		c.add(level, policy.Pos{}, x.Fix(), "%s", text)
	}
	return nil
}
