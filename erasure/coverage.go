package erasure

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// coverage refuses tables that nobody decided on. One whose rows reference such a table waits for its
// decision.
func (c *compiler) coverage() error {
	for _, t := range c.plan.Tables {
		if t == c.plan.Tenants || t.Action == Global || len(t.Ways) > 0 || t.ambiguous || c.waits(t) {
			continue
		}
		if t.Table.Kind == foreignTable {
			c.fail(policy.Pos{}, globalFix(t.Table.Name)+" # and see to its rows yourself", "%s is a foreign table: its rows cannot be erased in one transaction with others", t.Name())
			continue
		}
		if c.hasOwner(t) {
			continue // its owner is refused
		}
		x, err := c.proposal(t)
		if err != nil {
			return err
		}
		fix := x.fix()
		if t.Entry != nil {
			fix = "add owner to the entry, as in: " + strings.TrimPrefix(fix, "write under erasure, ")
		}
		why := ""
		if x.Why != "" {
			why = "; " + x.Why
		}
		c.proposed = append(c.proposed, x)
		c.fail(c.posOf(t), fix, "nobody decided whose the rows of %s are: no foreign keys lead from it to %s%s", t.Name(), c.plan.Tenants.Name(), why)
	}
	return nil
}

// waits reports whether a table has a key to one that is to be decided first.
func (c *compiler) waits(t *Table) bool {
	return slices.ContainsFunc(c.edges(t), func(k schema.ForeignKey) bool {
		p := c.table(k.Parent)
		return p != t && p != c.plan.Tenants && !soft(&k) && len(p.Ways) == 0
	})
}

// globalFix makes a table global.
func globalFix(n schema.Name) string {
	return "write under erasure, global: [" + policy.YAMLTable(n.Schema, n.Name) + "]"
}

// Proposal is how a table that nobody decided on could be decided.
type Proposal struct {
	Table   schema.Name
	Entries []string // of `tables`, as the file writes them; none: the table under `global`
	Why     string   // what it was seen by; may be empty
	Besides string   // what else could be written; may be empty
	// Choose: a person has to decide; what is proposed is only one of several ways.
	Choose bool
}

// fix is the remedy of a problem.
func (x Proposal) fix() string {
	fix := globalFix(x.Table)
	if len(x.Entries) > 0 {
		fix = "write under erasure, tables: [" + strings.Join(x.Entries, ", ") + "]"
	}
	if x.Besides != "" {
		fix += " # " + x.Besides
	}
	return fix
}

// entry is an entry for a table.
func entry(n schema.Name, more string) string {
	return "{table: " + policy.YAMLTable(n.Schema, n.Name) + more + "}"
}

// proposal is how a table could be decided.
func (c *compiler) proposal(t *Table) (Proposal, error) {
	name, tenants := t.Table.Name, c.plan.Tenants.Table.Name.Name
	x := Proposal{Table: name}
	owner := func(value, why string, args ...any) Proposal {
		x.Entries, x.Why = []string{entry(name, ", owner: "+value)}, fmt.Sprintf(why, args...)
		return x
	}
	if column := c.keyColumn(t.Table); column != "" {
		return owner(policy.YAMLColumn(column), "%s.%s looks like the key of %s", name.Name, column, tenants), nil
	}
	for _, k := range c.edges(t) { // emptied by ON DELETE
		if path := c.steps(t, &k, 0); path != nil {
			x.Choose, x.Besides = true, "its rows go; or, if they belong to nobody, "+globalFix(name)
			return owner(policy.Path{Steps: path}.YAML(), "%s references %s, but only until ON DELETE empties it", strings.Join(k.ChildColumns, ", "), k.ParentName), nil
		}
	}
	if step, parent := c.likelyReference(t); parent != nil {
		if rest := c.ownSteps(parent, 0); rest != nil {
			return owner(policy.Path{Steps: append([]policy.Step{step}, rest...)}.YAML(), "%s.%s looks like the key of %s", name.Name, step.Column, parent.Table.Name.Name), nil
		}
	}
	inside, err := c.keyInJSON(t.Table)
	if err != nil || inside != "" {
		return owner(policy.YAMLQuoted(inside), "%s looks like the key of %s", inside, tenants), err
	}
	x.Choose, x.Besides = true, "if its rows belong to nobody; else write an entry under tables with owner"
	if c.looksShared(t) {
		x.Choose, x.Why = false, "rows of tenants reference it, and it references none of theirs"
	}
	return x, nil
}

// looksShared reports whether a table only serves others: rows of tenants reference it, and it
// references none of theirs.
func (c *compiler) looksShared(t *Table) bool {
	return len(c.edges(t)) == 0 && slices.ContainsFunc(c.graph.References(t.Table.OID), func(k schema.ForeignKey) bool {
		child := c.table(k.Child)
		return child != nil && child != t && (child == c.plan.Tenants || len(child.Ways) > 0)
	})
}

// keyNames are the columns by which tables reference the tenants, and the usual names of such.
func (c *compiler) keyNames() []string {
	var names []string
	for _, k := range c.graph.References(c.plan.Tenants.Table.OID) {
		names = append(names, k.ChildColumns...)
	}
	one := strings.TrimSuffix(c.plan.Tenants.Table.Name.Name, "s")
	names = append(names, one+"_id", one+"Id", one+"_uuid", "tenant_id", "tenantId")
	for _, t := range c.plan.Tables {
		for _, w := range t.Ways {
			if w.last.column != "" && len(w.hops) == 0 {
				names = append(names, w.last.column)
			}
		}
	}
	return names
}

// keyColumn is a column that is named like others that hold the tenants' key, and of a type that can;
// empty if there is none.
func (c *compiler) keyColumn(t *schema.Table) string {
	for _, name := range c.keyNames() {
		if k, ok := t.Column(name); ok && (k.TypeOID == c.plan.Key.TypeOID || k.Category == "S" || k.Category == "N" && c.plan.Key.Category == "N") {
			return name
		}
	}
	return ""
}

// maxSteps bounds a proposed path.
const maxSteps = 6

// steps are a path that begins with a foreign key; nil if the file cannot express it.
func (c *compiler) steps(t *Table, k *schema.ForeignKey, depth int) []policy.Step {
	if len(k.ChildColumns) != 1 || depth > maxSteps {
		return nil
	}
	p := c.table(k.Parent)
	if p == c.plan.Tenants && k.ParentColumns[0] == c.plan.Key.Name {
		return []policy.Step{{Column: k.ChildColumns[0]}}
	}
	step := policy.Step{Column: k.ChildColumns[0]}
	if len(c.graph.KeysOver(t.Table.OID, step.Column)) != 1 {
		step.Table, step.ToColumn = policy.Table{Schema: p.Table.Name.Schema, Name: p.Table.Name.Name}, k.ParentColumns[0]
	}
	if p == c.plan.Tenants {
		return []policy.Step{step, {Column: c.plan.Key.Name}}
	}
	rest := c.ownSteps(p, depth+1)
	if rest == nil {
		return nil
	}
	return append([]policy.Step{step}, rest...)
}

// ownSteps are a path by which rows of a table are a tenant's; nil if it has none that the file can
// express.
func (c *compiler) ownSteps(t *Table, depth int) []policy.Step {
	for _, w := range t.Ways {
		switch {
		case w.where != "" || w.sql != "":
		case w.Key != nil:
			if path := c.steps(t, w.Key, depth); path != nil {
				return path
			}
		default:
			var path []policy.Step
			for _, h := range w.hops {
				path = append(path, policy.Step{Column: h.from, Table: policy.Table{Schema: h.table.Table.Name.Schema, Name: h.table.Table.Name.Name}, ToColumn: h.to})
			}
			return append(path, policy.Step{Column: w.last.column})
		}
	}
	return nil
}

// likelyReference is a column without a foreign key that is named and typed like those that reference
// another table; nil if there is none.
func (c *compiler) likelyReference(t *Table) (policy.Step, *Table) {
	for _, k := range c.graph.ForeignKeys {
		p := c.table(k.Parent)
		if len(k.ChildColumns) != 1 || p == nil || p == t || p == c.plan.Tenants || len(p.Ways) == 0 || k.Child == t.Table.OID {
			continue
		}
		ours, _ := p.Table.Column(k.ParentColumns[0])
		theirs, ok := t.Table.Column(k.ChildColumns[0])
		if ok && theirs.TypeOID == ours.TypeOID {
			return policy.Step{Column: theirs.Name, Table: policy.Table{Schema: p.Table.Name.Schema, Name: p.Table.Name.Name}, ToColumn: ours.Name}, p
		}
	}
	for _, p := range c.plan.Tables {
		one := strings.TrimSuffix(p.Table.Name.Name, "s")
		theirs, ok := t.Table.Column(one + "_id")
		ours, id := p.Table.Column("id")
		if ok && id && p != t && len(p.Ways) > 0 && theirs.TypeOID == ours.TypeOID {
			return policy.Step{Column: theirs.Name, Table: policy.Table{Schema: p.Table.Name.Schema, Name: p.Table.Name.Name}, ToColumn: "id"}, p
		}
	}
	return policy.Step{}, nil
}

// sampledRows are how many rows are looked at for a proposal.
const sampledRows = 1000

// keyInJSON is SQL that gives a value of a JSON column which is named like the tenants' key; empty if
// a sample of rows has none.
func (c *compiler) keyInJSON(t *schema.Table) (string, error) {
	for _, k := range t.Columns {
		if k.TypeName != "jsonb" && k.TypeName != "json" || !t.CanSelect {
			continue
		}
		var found []string
		err := c.sample(fmt.Sprintf(`SELECT coalesce(array_agg(DISTINCT o.key), '{}') FROM (SELECT x.%[1]s::jsonb AS v FROM %[2]s x WHERE jsonb_typeof(x.%[1]s::jsonb) = 'object' LIMIT %[3]d) s CROSS JOIN LATERAL jsonb_object_keys(s.v) o(key)`,
			pg.Ident(k.Name), schema.From(t), sampledRows), &found)
		if err != nil {
			return "", err
		}
		for _, name := range c.keyNames() {
			if slices.Contains(found, name) {
				return k.Quoted + "->>" + pg.Literal(name), nil
			}
		}
	}
	return "", nil
}

// sample runs a query on rows; what the role may not read gives nothing.
func (c *compiler) sample(sql string, into any) error {
	err := pg.Savepoint(c.ctx, c.tx, func(tx pgx.Tx) error { return tx.QueryRow(c.ctx, sql).Scan(into) })
	var wrong *pgconn.PgError
	if errors.As(err, &wrong) && !pg.HasCode(err, "55P03", "57014") {
		return nil
	}
	return err
}

// ambiguous refuses a table whose rows can be two tenants'.
func (c *compiler) ambiguous(t *Table, keys []schema.ForeignKey) {
	x := Proposal{Table: t.Table.Name, Entries: []string{entry(t.Table.Name, "")}, Besides: "its rows go along each of these keys", Choose: !c.onlyConnects(t, keys)}
	var ways []string
	for _, k := range keys {
		ways = append(ways, strings.Join(k.ChildColumns, ", ")+" -> "+k.ParentName.String())
		if path := c.steps(t, &k, 0); path != nil {
			x.Besides += "; or with owner: " + policy.Path{Steps: path}.YAML()
		}
	}
	x.Why = "a row of it can belong to two tenants, by " + strings.Join(ways, " and by ")
	c.fail(policy.Pos{}, x.fix(), "a row of %s can belong to two tenants, by %s: decide along which of them its rows go", t.Name(), strings.Join(ways, " and by "))
	c.proposed = append(c.proposed, x)
	t.ambiguous = true
}

// onlyConnects reports whether rows of a table are nothing without what they reference, which are rows of
// different tables: each of its keys can be NULL, so one of them says whose a row is; or it has no columns
// besides its keys, but for its own key and times.
func (c *compiler) onlyConnects(t *Table, keys []schema.ForeignKey) bool {
	parents := map[uint32]bool{}
	for _, k := range keys {
		if parents[k.Parent] {
			return false // two rows of one table, such as a sender and a recipient
		}
		parents[k.Parent] = true
	}
	if !slices.ContainsFunc(keys, func(k schema.ForeignKey) bool { return !nullable(t.Table, k.ChildColumns) }) {
		return true
	}
	return !slices.ContainsFunc(t.Table.Columns, func(k schema.Column) bool {
		inKey := slices.ContainsFunc(keys, func(f schema.ForeignKey) bool { return slices.Contains(f.ChildColumns, k.Name) })
		own := slices.ContainsFunc(t.Table.Indexes, func(x schema.Index) bool { return x.Primary && slices.Contains(x.ColumnNames(), k.Name) })
		return !inKey && !own && k.Category != "D"
	})
}
