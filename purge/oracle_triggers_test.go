package purge_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/purge"
)

// This file is about triggers and rules of the application on tables whose rows are deleted or
// cleared. With harmless ones the remaining rows are those of the contract. With others a run
// may also end otherwise than complete; then nothing dangles and no row was deleted that had to
// stay.

// genTrigger is a trigger or a rule.
type genTrigger struct {
	name    string
	table   *genTable
	part    int // of a partitioned table, from 1; 0: the table itself
	sql     string
	refused bool // unless the policy allows triggers
	wild    bool // it may prevent the run from completing
	deletes bool // it deletes rows itself
	renews  bool // it renews the age of cleared rows
	updates bool // it fires on UPDATE
	rule    bool // it is a rule
}

// counterColumn is changed by triggers and never compared.
const counterColumn = "touched"

// on is the relation that the trigger is on.
func (g *genTrigger) on() string {
	if g.part > 0 {
		return g.table.part(g.part - 1)
	}
	return g.table.sql()
}

func (g *genTrigger) create() string {
	return strings.NewReplacer("{name}", g.name, "{on}", g.on(), "{table}", g.table.sql()).Replace(g.sql)
}

// rowTrigger is a row-level trigger with its own function.
func rowTrigger(when, body string) string {
	return "CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN " + body + " END $f$;\n" +
		"CREATE TRIGGER {name} " + when + " ON {on} FOR EACH ROW EXECUTE FUNCTION public.{name}();\n"
}

const noteSQL = "CREATE TABLE IF NOT EXISTS public.trail (of text, rid int);\n"

// triggers draws triggers and rules where rows are deleted or cleared.
func (m *schemaMaker) drawTriggers() {
	if !m.may("triggers", 18) {
		return
	}
	m.c.policy.allowTriggers = m.chance(75, "triggers allowed")
	for range m.upTo(1, 2, "triggers") {
		if g := m.trigger(); g != nil {
			g.name = fmt.Sprintf("trg%d", len(m.c.triggers)+1)
			m.c.triggers = append(m.c.triggers, g)
			redacted := g.updates && m.c.redacts(g.table)
			if (g.refused || redacted) && !m.c.policy.allowTriggers || g.rule && redacted {
				m.refuse(g.name)
			}
		}
	}
}

func (m *schemaMaker) trigger() *genTrigger {
	var deleted, cleared []*genTable
	for _, t := range m.c.tables {
		if m.c.goes(t) {
			deleted = append(deleted, t)
		}
		if slices.ContainsFunc(m.c.edges, func(e *genEdge) bool { return e.child == t && e.action == clears }) {
			cleared = append(cleared, t)
		}
	}
	if len(cleared) > 0 && m.chance(50, "where rows are emptied") {
		return m.updateTrigger(of(m.draw, "trigger on", cleared...))
	}
	return m.deleteTrigger(of(m.draw, "trigger on", deleted...))
}

func (m *schemaMaker) deleteTrigger(t *genTable) *genTrigger {
	g := &genTrigger{table: t}
	switch m.upTo(0, 8, "delete trigger") {
	case 0, 1:
		g.part = m.part(t)
		g.sql = noteSQL + rowTrigger("AFTER DELETE", "INSERT INTO public.trail VALUES (TG_TABLE_NAME, OLD.rid); RETURN NULL;")
	case 2:
		g.sql = noteSQL + "CREATE FUNCTION public.{name}() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN INSERT INTO public.trail VALUES (TG_TABLE_NAME, 0); RETURN NULL; END $f$;\n" +
			"CREATE TRIGGER {name} AFTER DELETE ON {on} EXECUTE FUNCTION public.{name}();\n"
	case 3:
		g.part, g.refused = m.part(t), true
		g.sql = rowTrigger("BEFORE DELETE", "RETURN OLD;")
	case 4:
		g.part, g.refused, g.wild = m.part(t), true, true
		g.sql = rowTrigger("BEFORE DELETE", "IF OLD.rid % 3 = 1 THEN RETURN NULL; END IF; RETURN OLD;")
	case 5:
		g.refused, g.wild = true, true
		g.sql = "CREATE RULE {name} AS ON DELETE TO {on} WHERE old.rid % 3 = 1 DO INSTEAD NOTHING;\n"
	case 6:
		g.refused, g.wild = true, true
		g.sql = noteSQL + "CREATE RULE {name} AS ON DELETE TO {on} DO ALSO INSERT INTO public.trail VALUES ('rule', old.rid);\n"
	case 7:
		return m.childDeleter(t)
	default:
		return m.toucher(t)
	}
	return g
}

// part chooses a partition; 0: the table itself.
func (m *schemaMaker) part(t *genTable) int {
	if len(t.parts) == 0 {
		return 0
	}
	return m.upTo(0, len(t.parts), "trigger of a partition")
}

// childDeleter is a trigger that deletes the rows referencing a row before the row is deleted.
func (m *schemaMaker) childDeleter(t *genTable) *genTrigger {
	edges := slices.DeleteFunc(slices.Clone(m.c.edges), func(e *genEdge) bool {
		return e.parent != t || e.child == t || e.action != goes || e.onDelete == "" || e.child == m.c.root
	})
	if len(edges) == 0 {
		return nil
	}
	e := of(m.draw, "children of a trigger", edges...)
	on := make([]string, len(e.columns))
	for i, k := range e.columns {
		on[i] = equalSQL(t.column(e.refs[i]).typ, "OLD."+quoteColumns(e.refs[i:i+1]), e.child.column(k).typ, "c."+quoteColumns([]string{k}))
	}
	return &genTrigger{
		table: t, refused: true, wild: true, deletes: true,
		sql: rowTrigger("BEFORE DELETE", fmt.Sprintf("DELETE FROM %s c WHERE %s; RETURN OLD;", e.child.sql(), strings.Join(on, " AND "))),
	}
}

// toucher is a trigger that renews the age of a root when one of its dependents is deleted. The
// dependent must not be deleted in any other way, or another root might be renewed as well.
func (m *schemaMaker) toucher(t *genTable) *genTrigger {
	var in []*genEdge
	for _, e := range m.c.edges {
		if e.child == t && e.action == goes {
			in = append(in, e)
		}
	}
	if t == m.c.root || len(in) != 1 || in[0].parent != m.c.root || in[0].kind != "" || m.c.policy.unit != "" {
		return nil
	}
	e := in[0]
	on := make([]string, len(e.columns))
	for i, k := range e.columns {
		on[i] = equalSQL(m.c.root.column(e.refs[i]).typ, "r."+quoteColumns(e.refs[i:i+1]), t.column(k).typ, "OLD."+quoteColumns([]string{k}))
	}
	when := of(m.draw, "when it touches", "AFTER DELETE", "BEFORE DELETE")
	return &genTrigger{table: t, refused: when == "BEFORE DELETE", wild: true, sql: rowTrigger(when,
		fmt.Sprintf("UPDATE %s r SET %s = now() WHERE %s; RETURN OLD;", m.c.root.sql(), quoteColumns([]string{m.c.policy.age}), strings.Join(on, " AND ")))}
}

func (m *schemaMaker) updateTrigger(t *genTable) *genTrigger {
	g := &genTrigger{table: t, updates: true}
	if !slices.ContainsFunc(t.columns, func(k genColumn) bool { return k.name == counterColumn }) {
		t.add(genColumn{name: counterColumn, typ: "int"})
	}
	if t == m.c.root && m.c.policy.unit == "" && m.chance(40, "renews the age") {
		g.wild, g.renews = true, true
		g.sql = rowTrigger("BEFORE UPDATE", "NEW."+quoteColumns([]string{m.c.policy.age})+" := now(); RETURN NEW;")
		return g
	}
	switch m.upTo(0, 4, "update trigger") {
	case 0:
		g.part = m.part(t)
		g.sql = rowTrigger("BEFORE UPDATE", "NEW."+counterColumn+" := coalesce(OLD."+counterColumn+", 0) + 1; RETURN NEW;")
	case 1:
		g.part = m.part(t)
		g.sql = noteSQL + rowTrigger("AFTER UPDATE", "INSERT INTO public.trail VALUES (TG_TABLE_NAME, OLD.rid); RETURN NULL;")
	case 2:
		g.part, g.wild = m.part(t), true
		g.sql = rowTrigger("BEFORE UPDATE", "IF OLD.rid % 3 = 1 THEN RETURN NULL; END IF; RETURN NEW;")
	case 3:
		g.wild = true
		g.sql = rowTrigger("BEFORE UPDATE", "RETURN OLD;")
	default:
		g.refused, g.wild, g.rule = true, true, true
		g.sql = "CREATE RULE {name} AS ON UPDATE TO {on} WHERE old.rid % 3 = 1 DO INSTEAD NOTHING;\n"
	}
	return g
}

func (c *genCase) wild() bool {
	return slices.ContainsFunc(c.triggers, func(g *genTrigger) bool { return g.wild })
}

// stopped checks a run that was kept from completing by triggers: nothing dangles, and no row
// was deleted or changed that had to stay unchanged.
func (x *trial) stopped(got *purge.PolicyReport, before map[*genTable][]*genRow, want *oracle) {
	x.t.Helper()
	if got.Reason == "" {
		x.fail("the run is %s, and does not say why", got.Status)
	}
	x.dangling()
	after := x.dump()
	deleted := map[string]int64{}
	here := map[*genRow]bool{} // by the oracle's rows
	for t, rows := range after {
		for _, r := range rows {
			expected, was := want.at[t][r.number()], newIndex(before[t])[r.number()]
			here[expected] = true
			if got := x.c.compared(r); !between(got, x.c.compared(was), x.c.compared(expected), expected.gone, t.redacted(r)) {
				x.fail("a row of %s is %v, and was %v", t.name, got, was.values)
			}
		}
	}
	for t, rows := range want.rows {
		for _, r := range rows {
			if here[r] {
				continue
			}
			deleted[t.name.String()]++
			if !r.gone {
				x.fail("a row of %s went that had to stay: %v", t.name, r.values)
			}
		}
	}
	if !slices.ContainsFunc(x.c.triggers, func(g *genTrigger) bool { return g.deletes }) {
		x.same("deleted rows of the report", withoutZeros(got.Rows), deleted)
	}
	x.whole(before, here, want)
}

// between reports whether a row is between its old and its expected state: each column has its
// old or its expected value. If the row is finally deleted, a reference may have been cleared
// before, when the referenced row was deleted, and the row redacted.
func between(got, was, expected map[string]string, goes bool, redacted map[string]string) bool {
	for _, columns := range []map[string]string{got, was} {
		for k := range columns {
			value, there := got[k]
			if before, had := was[k]; value == before && there == had {
				continue
			}
			if after, has := expected[k]; value == after && there == has {
				continue
			}
			if goes && there && redacted[k] == value {
				continue
			}
			if there || !goes {
				return false
			}
		}
	}
	return true
}

// whole checks that a deleted root has taken everything with it, and that every deleted row had
// such a root. If a batch may hold so few rows or bytes that one root is drained, a remaining
// expired root may have lost rows.
func (x *trial) whole(before map[*genTable][]*genRow, here map[*genRow]bool, want *oracle) {
	x.t.Helper()
	drains := x.c.policy.limits[1] > 0 || x.c.policy.limits[2] > 0
	first := newOracle(x.c, cloned(before), want.start)
	reached := map[string]bool{}
	for _, root := range first.expired {
		stays := here[want.at[root.table][root.number()]]
		if stays && !drains {
			continue
		}
		rows, _ := first.closure(root, nil)
		for _, r := range rows {
			reached[r.table.name.String()+r.number()] = true
			if !stays && here[want.at[r.table][r.number()]] {
				x.fail("a root went and a row that goes with it did not: %v, %v", root.values, r.values)
			}
		}
	}
	for t, rows := range want.rows {
		for _, r := range rows {
			if !here[r] && !reached[t.name.String()+r.number()] {
				x.fail("a row of %s went without its root: %v", t.name, r.values)
			}
		}
	}
}

func newIndex(rows []*genRow) map[string]*genRow {
	index := map[string]*genRow{}
	for _, r := range rows {
		index[r.number()] = r
	}
	return index
}

// dangling checks that every referenced row of the case's foreign keys exists.
func (x *trial) dangling() {
	x.t.Helper()
	for _, e := range x.c.edges {
		if e.onDelete == "" {
			continue
		}
		sql := "SELECT count(*) FROM " + e.child.sql() + " x WHERE NOT EXISTS (SELECT " +
			joinSQL(e.child, e.columns, e.parent, e.parentSQL(), e.refs) + " WHERE c.rid = x.rid)"
		for _, k := range e.columns {
			sql += " AND x." + pgx.Identifier{k}.Sanitize() + " IS NOT NULL"
		}
		var n int
		if err := x.own.QueryRow(x.ctx, sql).Scan(&n); err != nil {
			x.fail("looking for rows that dangle: %v", err)
		}
		if n > 0 {
			x.fail("%d rows dangle by %s", n, e.name)
		}
	}
}
