package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/redact"
	"github.com/reaperdb/reaper/schema"
)

// Emptied are the columns of the reference that clearing an edge sets to NULL or its default.
func (e *Edge) Emptied() []string {
	if e.Redaction == nil {
		return e.SetColumns
	}
	return slices.DeleteFunc(slices.Clone(e.SetColumns), func(n string) bool { return slices.Contains(e.Redaction.Names(), n) })
}

// ToDefault reports whether clearing the edge sets the reference to its default.
func (e *Edge) ToDefault() bool {
	return e.Action == BySetDefault || e.Action == ByRedact && e.Key != nil && e.Key.OnDelete == schema.SetDefault
}

// redacting compiles what the rows behind an edge are overwritten with, beside what is emptied.
func (c *compiler) redacting(e *Edge) error {
	needed, err := c.neededColumns(e)
	if err != nil {
		return err
	}
	made, problems, err := redact.Compile(c.ctx, c.conn, e.Child.Table, e.Entry.Redact, e.SetColumns, needed, c.expression)
	if err != nil {
		return err
	}
	for _, x := range problems {
		c.fail(x.Pos, x.Fix, "%s", x.Text)
	}
	e.Redaction, e.SetColumns = made, append(slices.Clone(e.SetColumns), made.Names()...)
	return nil
}

// neededColumns are the columns of the edge's child that decide, as they are, what other rows of the
// file become. Those on tenant paths are refused with the others that a plan empties.
func (c *compiler) neededColumns(e *Edge) (redact.Needed, error) {
	needed, t := redact.Needed{}, e.Child.Table
	var errs []error
	reads := func(sql policy.Text, what string) { errs = append(errs, c.needs(needed, t, sql, what)) }
	tenants := c.file.Tenants != nil && c.names(c.file.Tenants.Table, t.OID)
	if tenants {
		needed[c.file.Tenants.Key.Value] = "the key of the tenants"
		reads(c.file.Tenants.Retention.SQL, "read by the retention of the tenants")
		reads(c.file.Tenants.Hold, "read by the hold of the tenants")
	}
	for i := range c.file.Policies {
		p := &c.file.Policies[i]
		if tenants {
			reads(p.Retention.SQL, "read by the retention of policy "+p.Name)
			reads(p.Hold, "read by the hold of policy "+p.Name)
		}
		if c.names(p.Table, t.OID) {
			needed[p.Age.Column.Value] = "the age of policy " + p.Name
			reads(p.Age.SQL, "read by the age of policy "+p.Name)
			reads(p.Where, "read by where of policy "+p.Name)
		}
		for k := range p.Dependents {
			c.needsOfEntry(needed, e, p, &p.Dependents[k], reads)
		}
	}
	return needed, errors.Join(errs...)
}

// needsOfEntry adds what a reference by match needs. The edge may overwrite its own reference.
func (c *compiler) needsOfEntry(needed redact.Needed, e *Edge, p *policy.Policy, d *policy.Dependent, reads func(policy.Text, string)) {
	what := fmt.Sprintf("part of a reference by match (policy %s)", p.Name)
	parent := d.Parent
	if !parent.IsSet() {
		parent = p.Table
	}
	for _, m := range d.Match {
		if c.names(parent, e.Child.Table.OID) {
			needed[m.Ours] = what
		}
		if c.names(d.Table, e.Child.Table.OID) && d != e.Entry {
			needed[m.Theirs] = what
		}
	}
	if c.names(d.Table, e.Child.Table.OID) {
		reads(d.Where, fmt.Sprintf("read by where of a reference by match (policy %s)", p.Name))
	}
}

// needs adds the columns of a table that SQL of the file reads. SQL that is wrong is reported
// elsewhere.
func (c *compiler) needs(needed redact.Needed, t *schema.Table, sql policy.Text, what string) error {
	if !sql.IsSet() {
		return nil
	}
	f, err := c.reader().Expression(sql.Value, schema.From(t))
	if _, wrong := errors.AsType[*pgconn.PgError](err); wrong {
		return nil
	}
	if err != nil {
		return err
	}
	for _, r := range f.Needs.Relies {
		if r.Kind == "column" && r.Relation == t.Name {
			needed[r.Name] = what
		}
	}
	return nil
}

// checkRedacted refuses what could undo a redaction, or copy what it removes.
func (c *compiler) checkRedacted(n *Node) {
	p := c.plan
	for _, e := range n.In {
		if e.Action != ByRedact {
			continue
		}
		if p.Policy.Archive {
			c.fail(e.Entry.Pos, "write nullify or keep for "+n.Table.Name.String()+", or take archive: true out of the policy",
				"archive: true: a copy of %s would keep what redact removes", n.Table.Name)
		}
		for _, t := range n.Table.Triggers {
			if t.FiresOnUpdateOf(e.SetColumns) && !p.Policy.AllowTriggers {
				p.AddProblem(LevelError, fmt.Sprintf("%s fires on UPDATE of rows that are redacted, and could keep or copy what they held", triggerText(t)),
					"write triggers: allow # see what it does first: what redact removes must not come back or go elsewhere")
			}
		}
		for _, r := range n.Table.Rules {
			if !r.OnDelete {
				p.AddProblem(LevelError, fmt.Sprintf("%s rewrites UPDATE of rows that are redacted", ruleText(r)), "drop the rule, or decide another action for "+n.Table.Name.String())
			}
		}
	}
}
