package erasure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// pair are two columns that reference rows of several tables: record_type and record_id.
type pair struct{ typ, id schema.Column }

// pairOf finds such columns of a table, without a foreign key on the id.
func (c *compiler) pairOf(t *schema.Table) (pair, bool) {
	for _, typ := range t.Columns {
		name, ok := strings.CutSuffix(typ.Name, "_type")
		camel, isCamel := strings.CutSuffix(typ.Name, "Type")
		id, found := t.Column(name + "_id")
		if !ok && isCamel {
			ok = true
			id, found = t.Column(camel + "Id")
		}
		if ok && found && (typ.Category == "S" || typ.Category == "E") && len(c.graph.KeysOver(t.OID, id.Name)) == 0 {
			return pair{typ, id}, true
		}
	}
	return pair{}, false
}

// maxValues bounds the list of undecided values.
const maxValues = 20

// polymorphic lists the values of type columns that nobody decided on: in tables that nothing else
// decides, and in those that the file decides value by value.
func (c *compiler) polymorphic() error {
	for _, t := range c.plan.Tables {
		x, ok := c.pairOf(t.Table)
		if !ok || t == c.plan.Tenants || t.Action == Global || !t.Table.CanSelect || t.ambiguous {
			continue
		}
		entries := c.entries[t]
		byValue := len(entries) > 0 && !slices.ContainsFunc(entries, func(e *policy.ErasureTable) bool { return !e.Where.IsSet() })
		if len(t.Ways) > 0 && !byValue || c.waits(t) {
			continue
		}
		if err := c.undecidedValues(t, x, entries); err != nil {
			return err
		}
	}
	return nil
}

// undecidedValues refuses a table with rows whose type nobody decided on.
func (c *compiler) undecidedValues(t *Table, x pair, entries []*policy.ErasureTable) error {
	condition := pg.Ident(x.typ.Name) + " IS NOT NULL"
	for _, e := range entries {
		where, err := c.boolean("where", e.Where, schema.From(t.Table))
		if err != nil || where == "" {
			return err
		}
		condition += " AND (" + where + ") IS NOT TRUE"
	}
	var values []string
	err := c.sample(fmt.Sprintf("SELECT coalesce(array_agg(v ORDER BY v), '{}') FROM (SELECT DISTINCT %s::text AS v FROM %s WHERE %s LIMIT %d) s",
		pg.Ident(x.typ.Name), schema.From(t.Table), condition, maxValues), &values)
	if err != nil || len(values) == 0 {
		return err
	}
	t.ambiguous = true
	if slices.ContainsFunc(values, func(v string) bool { return c.namesUndecided(t, v) }) {
		return nil // what they name is to be decided first
	}
	proposal := c.valuesProposal(t, x, values)
	c.proposed = append(c.proposed, proposal)
	c.fail(c.posOf(t), proposal.fix(), "nobody decided whose the rows of %s are whose %s is %s", t.Name(), x.typ.Name, strings.Join(values, ", "))
	return nil
}

// valuesProposal proposes an entry for each value that names a table.
func (c *compiler) valuesProposal(t *Table, x pair, values []string) Proposal {
	p := Proposal{Table: t.Table.Name, Why: x.typ.Name + " is " + strings.Join(values, ", ")}
	var others []string
	for _, v := range values {
		where := ", where: " + policy.YAMLQuoted(x.typ.Quoted+" = "+pg.Literal(v))
		owner := c.pathFor(x, v)
		if owner == "" {
			owner, others, p.Choose = "none", append(others, v), true
		}
		p.Entries = append(p.Entries, entry(t.Table.Name, ", owner: "+owner+where))
	}
	if len(others) > 0 {
		p.Besides = "owner: none says that rows belong to nobody: make sure that this is so for " + strings.Join(others, ", ")
	}
	return p
}

// namedBy are the tables that a type names, as Rails, Laravel and Django write it.
func (c *compiler) namedBy(value string) (tables []*Table) {
	class := fold(value[strings.LastIndexAny(value, `\:./`)+1:])
	for _, p := range c.plan.Tables {
		one := fold(p.Table.Name.Name)
		if one == class || strings.TrimSuffix(one, "s") == class || strings.TrimSuffix(one, "es") == class || strings.TrimSuffix(one, "ies")+"y" == class {
			tables = append(tables, p)
		}
	}
	return tables
}

// namesUndecided reports whether a type names a table that nobody decided on yet.
func (c *compiler) namesUndecided(t *Table, value string) bool {
	return slices.ContainsFunc(c.namedBy(value), func(p *Table) bool { return p != t && p.Action != Global && p != c.plan.Tenants && len(p.Ways) == 0 })
}

// pathFor is the path of rows whose type names a table; empty if none is named that leads to a tenant.
func (c *compiler) pathFor(x pair, value string) string {
	for _, p := range c.namedBy(value) {
		if p == c.plan.Tenants {
			return policy.YAMLColumn(x.id.Name)
		}
		key := slices.IndexFunc(p.Table.Indexes, func(i schema.Index) bool { return i.Primary && len(i.Columns) == 1 })
		rest := c.ownSteps(p, 0)
		if key < 0 || rest == nil {
			continue
		}
		step := policy.Step{Column: x.id.Name, Table: policy.Table{Schema: p.Table.Name.Schema, Name: p.Table.Name.Name}, ToColumn: p.Table.Indexes[key].Columns[0].Name}
		return policy.Path{Steps: append([]policy.Step{step}, rest...)}.YAML()
	}
	return ""
}

func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", " ", "", "-", "").Replace(s))
}
