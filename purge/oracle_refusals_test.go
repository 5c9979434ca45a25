package purge_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// This file is about cases that must be refused, and why.

// refuse records that the plan must have an error with this word.
func (m *schemaMaker) refuse(word string) { m.c.refused = append(m.c.refused, word) }

// refusals draws reasons to refuse the policy after its decisions.
func (m *schemaMaker) refusals() {
	for _, e := range m.c.edges {
		if e.action != "" && e.onDelete != "" && !e.comparable() {
			m.refuse(e.name)
		}
	}
	m.disable()
	m.selfPath()
	m.otherPolicy()
}

// disable makes a foreign key of the plan ineffective: one of its triggers does not fire, or it
// is not enforced.
func (m *schemaMaker) disable() {
	edges := slices.DeleteFunc(slices.Clone(m.c.edges), func(e *genEdge) bool { return e.action == "" || e.onDelete == "" })
	if len(edges) == 0 || !m.may("disabled", 3) {
		return
	}
	e := of(m.draw, "does not act", edges...)
	m.refuse(e.name)
	if m.version >= 18 && m.chance(40, "not enforced") {
		e.notEnforced = true
		return
	}
	relations := []string{e.child.sql()}
	if len(e.child.parts) > 0 {
		relations = []string{e.child.part(m.upTo(0, len(e.child.parts)-1, "leaf"))}
	}
	switch {
	case e.leaf:
		relations = append(relations, e.parent.part(0))
	case len(e.parent.parts) > 0:
		relations = append(relations, e.parent.part(m.upTo(0, len(e.parent.parts)-1, "leaf of the parent")))
	default:
		relations = append(relations, e.parent.sql())
	}
	m.c.extra = append(m.c.extra, disableSQL(of(m.draw, "end", relations...), e.name, of(m.draw, "how", "DISABLE", "ENABLE REPLICA")))
}

// disableSQL disables one of a foreign key's triggers on a table.
func disableSQL(relation, constraint, how string) string {
	return fmt.Sprintf(`DO $do$ DECLARE trigger name; BEGIN
  WITH RECURSIVE k AS (SELECT oid FROM pg_constraint WHERE conname = '%[2]s' AND conparentid = 0
    UNION ALL SELECT x.oid FROM pg_constraint x JOIN k ON x.conparentid = k.oid)
  SELECT tgname INTO STRICT trigger FROM pg_trigger WHERE tgrelid = '%[1]s'::regclass AND tgisinternal AND tgconstraint IN (SELECT oid FROM k)
   ORDER BY tgname LIMIT 1;
  EXECUTE format('ALTER TABLE %%s %[3]s TRIGGER %%I', '%[1]s', trigger);
END $do$`, relation, constraint, how)
}

// selfPath starts the tenant path with a step to another row of the root's table, which the
// policy itself deletes.
func (m *schemaMaker) selfPath() {
	root := m.c.root
	if m.c.tenants == nil || len(root.key) > 1 || !m.may("paths", 2) {
		return
	}
	from := root.add(genColumn{name: "first", typ: root.column(root.key[0]).typ})
	m.c.policy.ownHop = policy.QuoteName(from) + " -> " + policy.QuoteName(root.name.Schema) + "." + policy.QuoteName(root.name.Name) + "." + policy.QuoteName(root.key[0])
	m.c.policy.omitPath = false
	m.refuse(root.name.Name)
}

// genBystander is a second policy whose tenant path uses a table of the case.
type genBystander struct {
	table *genTable // its root
	via   *genTable // the step of its path
	from  string    // column of its root
	owner string    // column of the step: the tenant's key
}

// otherPolicy adds a second policy. If its path uses rows that this policy deletes, nothing may
// be deleted.
func (m *schemaMaker) otherPolicy() {
	if m.c.tenants == nil || !m.may("paths", 6) {
		return
	}
	steps := slices.DeleteFunc(slices.Clone(m.c.tables), func(t *genTable) bool { return t.protected || len(t.key) != 1 })
	if len(steps) == 0 {
		return
	}
	if stay := slices.DeleteFunc(slices.Clone(steps), m.c.goes); len(stay) > 0 && m.chance(60, "the step stays") {
		steps = stay
	}
	b := &genBystander{via: of(m.draw, "step of another policy", steps...), table: m.table("log")}
	b.table.rid()
	b.table.add(genColumn{name: "at", typ: "timestamptz"})
	b.from = b.table.add(genColumn{name: "to step", typ: b.via.column(b.via.key[0]).typ})
	b.owner = b.via.add(genColumn{name: "owner of", typ: m.c.tenants.column(m.c.tenants.key[0]).typ})
	m.c.bystander = b
	if m.c.goes(b.via) {
		m.refuse(b.via.name.Name)
	}
}

// goes reports whether rows of a table are deleted.
func (c *genCase) goes(t *genTable) bool {
	return t == c.root || slices.ContainsFunc(c.edges, func(e *genEdge) bool { return e.child == t && e.action == goes })
}

func (b *genBystander) yaml() string {
	step := policy.QuoteName(b.from) + " -> " + policy.QuoteName(b.via.name.Schema) + "." + policy.QuoteName(b.via.name.Name) + "." + policy.QuoteName(b.via.key[0])
	return fmt.Sprintf("  - name: bystander\n    table: %s\n    age: at\n    retention: 30d\n    tenant: [%s, %s]\n",
		b.table.yaml(), quoteYAML(step), quoteYAML(policy.QuoteName(b.owner)))
}

// refusal compares the plan's errors with the reasons to refuse it, and reports whether it is
// refused.
func (x *trial) refusal(problems []plan.Problem) bool {
	x.t.Helper()
	var errs []string
	for _, p := range problems {
		if p.Level == plan.LevelError {
			errs = append(errs, p.Text)
		}
	}
	switch {
	case x.archives != "" && strings.Contains(strings.Join(errs, "\n"), "archive: true: "):
		return true
	case len(errs) == 0 && len(x.c.refused) == 0:
		return false
	case len(x.c.refused) == 0:
		x.fail("the plan has an error: %s", strings.Join(errs, "; "))
	case len(errs) == 0:
		x.fail("the plan has no error, and one of %q was to be in it", x.c.refused)
	}
	text := strings.ReplaceAll(strings.Join(errs, "\n"), `""`, `"`) // may contain quoted names
	named := slices.ContainsFunc(x.c.refused, func(word string) bool { return strings.Contains(text, word) })
	if !named {
		x.fail("the plan's errors name none of %q: %s", x.c.refused, strings.Join(errs, "; "))
	}
	return true
}
