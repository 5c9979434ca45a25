package plan

import (
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// rootKey chooses the primary key, or else the narrowest usable unique index (Table.Identifies).
func (c *compiler) rootKey() error {
	t := c.plan.Root.Table
	best := bestKey(t)
	if best == nil {
		why := ""
		if column := arrayInKey(t); column != "" {
			why = fmt.Sprintf(" and that can be looked up: column %s is an array", column)
		}
		c.fail(c.plan.Policy.Table.Pos, "add a primary key, or a unique index over NOT NULL columns (not partial, not deferrable, no expressions, no arrays)",
			"%s has no key that identifies its rows%s", t.Name, why)
		return nil
	}
	var err error
	c.plan.Key, c.plan.KeyOrders, err = c.ordered(t, best.ColumnNames())
	return err
}

// bestKey is the primary key, or else the narrowest usable unique index; nil if there is none.
func bestKey(t *schema.Table) (best *schema.Index) {
	for i := range t.Indexes {
		x := &t.Indexes[i]
		if t.Identifies(x) && (best == nil || x.Primary || !best.Primary && len(x.Columns) < len(best.Columns)) {
			best = x
		}
	}
	return best
}

// ordered returns columns with their sort orders; errStop, with a problem recorded, if a type has
// none.
func (c *compiler) ordered(t *schema.Table, names []string) (columns []schema.Column, orders []*schema.Order, err error) {
	for _, n := range names {
		k, _ := t.Column(n)
		order, err := c.graph.DefaultOrder(c.ctx, c.conn, k.TypeOID)
		if err != nil {
			return nil, nil, err
		}
		if order == nil {
			c.fail(c.plan.Policy.Table.Pos, "add a key over columns of an ordered type", "%s.%s of the key is %s, which has no order", t.Name, n, k.Type)
			return nil, nil, errStop
		}
		columns, orders = append(columns, k), append(orders, order)
	}
	return columns, orders, nil
}

// clearedAges records where clearing a reference could change a row's age: in tables that are the
// root of a policy.
func (c *compiler) clearedAges() error {
	for _, n := range c.plan.Nodes {
		best := bestKey(n.Table)
		if !n.cleared() || best == nil {
			continue
		}
		for i := range c.file.Policies {
			if other := &c.file.Policies[i]; c.names(other.Table, n.Table.OID) {
				if err := c.clearedAge(n, other); err != nil {
					return err
				}
			}
		}
		var err error
		if n.Key, n.KeyOrders, err = c.ordered(n.Table, best.ColumnNames()); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) clearedAge(n *Node, p *policy.Policy) error {
	ages, err := c.agesOf(n.Table, p.Age)
	for _, age := range ages {
		a := RootAge{Policy: p.Name, Age: age}
		if p != c.plan.Policy {
			a.Latest = c.latestCutoff(p)
		}
		n.Ages = append(n.Ages, a)
	}
	return err
}

// agesOf are the ages that another policy may mean: ULIDs as text may be of either case, which its own
// plan finds out. None: it means no age, which its own plan reports.
func (c *compiler) agesOf(t *schema.Table, spec policy.Age) ([]expiry.Age, error) {
	if spec.SQL.IsSet() {
		f, err := c.expression("age of another policy", spec.SQL, schema.From(t))
		if err != nil || f == nil || f.Columns[0].Type != timestamptzOID {
			return nil, err
		}
		return []expiry.Age{ageBy(f)}, nil
	}
	column, ok := t.Column(spec.Column.Value)
	if !ok || !slices.Contains(ageTypes[spec.Unit], column.TypeName) {
		return nil, nil
	}
	a, err := c.ageOf(column, spec)
	if err != nil || !a.Texts() {
		return []expiry.Age{a}, err
	}
	lower := a
	lower.Lower = true
	return []expiry.Age{a, lower}, nil
}

// latestCutoff is the latest cutoff that a policy can have in a run that starts at base. nil if its
// retentions are not constants; then the cutoff of the batch is the best estimate.
func (c *compiler) latestCutoff(p *policy.Policy) func(base string) string {
	overrides, retentions := p.Overrides, []policy.Retention{p.Retention}
	if t := c.file.Tenants; t != nil && !p.Tenant.None {
		if t.Query.IsSet() {
			return nil
		}
		overrides, retentions = slices.Concat(overrides, t.Overrides), append(retentions, t.Retention)
	}
	lengths := []policy.Duration{}
	for _, o := range overrides {
		lengths = append(lengths, o.Duration)
	}
	for _, r := range retentions {
		if r.SQL.IsSet() {
			return nil
		}
		if r.Duration != nil {
			lengths = append(lengths, *r.Duration)
		}
	}
	if d := c.file.DefaultOf(p); d != nil {
		lengths = append(lengths, *d)
	}
	if lengths = slices.DeleteFunc(lengths, func(d policy.Duration) bool { return d.Forever }); len(lengths) == 0 {
		return nil
	}
	return func(base string) string {
		return "greatest(" + pg.List(len(lengths), func(i int) string { return base + " - " + expiry.Interval(lengths[i]) }) + ")"
	}
}

// arrayInKey is an array column that makes a unique index unusable; "" if there is none.
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

// RootAge is the age that a policy of the file uses for a table whose references this plan clears.
type RootAge struct {
	Policy string
	Age    expiry.Age
	// Latest gives the latest cutoff of any of the policy's tenants, as SQL over the run's start.
	// nil: use the cutoff of the batch.
	Latest func(base string) string
}
