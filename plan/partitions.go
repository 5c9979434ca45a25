package plan

import (
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// PartitionDrop drops whole range partitions of the root whose rows are all expired. The plan's
// Strategy finds the expired rows of the others.
const PartitionDrop = "partition drop"

// partitioning describes whether the root is partitioned and its partitions may be dropped. The
// zero value is a table without partitions.
type partitioning struct {
	is       bool
	obstacle string // why none may be dropped; empty if they may
	owner    string // of the root
	// ownership: nothing but a lack of ownership, at most, prevents dropping.
	ownership bool
}

// Droppable reports whether a run may drop partitions.
func (x partitioning) Droppable() bool { return x.is && x.obstacle == "" }

// partitioningSQL reads, of a partitioned table: whether it is partitioned by range of the age
// column alone, in the type's default order; whether it has a default partition, is a partition
// itself, and is owned by the role; its owner; the number of partitions; one whose detach was
// interrupted; a publication that replicates deletes; and an event trigger that fires on changes to
// partitions.
const partitioningSQL = `
SELECT pt.partstrat = 'r' AND pt.partnatts = 1 AND pt.partexprs IS NULL AND a.attname = $2 AND o.opcdefault,
       pt.partdefid <> 0, c.relispartition, pg_has_role(c.relowner, 'USAGE'), pg_get_userbyid(c.relowner)::text,
       (SELECT count(*) FROM pg_inherits i WHERE i.inhparent = c.oid),
       coalesce((SELECT min(i.inhrelid::regclass::text) FROM pg_inherits i WHERE i.inhparent = c.oid AND i.inhdetachpending), ''),
       coalesce((SELECT min(p.pubname::text) FROM pg_publication p
                  WHERE p.pubdelete AND EXISTS (
                        SELECT FROM pg_publication_tables t JOIN pg_namespace n ON n.nspname = t.schemaname
                          JOIN pg_class f ON f.relnamespace = n.oid AND f.relname = t.tablename
                         WHERE t.pubname = p.pubname AND f.oid = ANY($3::oid[]))), ''),
       coalesce((` + schema.EventTrigger + `), '')
  FROM pg_class c JOIN pg_partitioned_table pt ON pt.partrelid = c.oid JOIN pg_opclass o ON o.oid = pt.partclass[0]
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = pt.partattrs[0]
 WHERE c.oid = $1::bigint::oid`

// partitions determines whether partitions of the root may be dropped.
func (c *compiler) partitions() error {
	p, t := c.plan, c.plan.Root.Table
	if t.Kind != schema.Partitioned {
		return nil
	}
	var byAge, hasDefault, nested, owned bool
	var count int
	var owner, pending, publication, eventTrigger string
	err := c.conn.QueryRow(c.ctx, partitioningSQL, int64(t.OID), p.Age.Column.Name, c.graph.Family(t.OID)).
		Scan(&byAge, &hasDefault, &nested, &owned, &owner, &count, &pending, &publication, &eventTrigger)
	if err != nil {
		return fmt.Errorf("reading the partitions of %s: %w", t.Name, err)
	}
	p.Parts = partitioning{is: true, owner: owner}
	if pending != "" {
		p.AddProblem(LevelWarning, fmt.Sprintf("the detach of partition %s from %s was interrupted: its rows are in neither", pending, t.Name),
			fmt.Sprintf("if reaper did it, its next purge of the table undoes it; else ALTER TABLE %s DETACH PARTITION %s FINALIZE", pg.Ident(t.Name.Schema, t.Name.Name), pending))
	}
	for _, no := range []struct {
		is  bool
		why string
	}{
		{p.Policy.KeepPartitions, "the policy says partitions: delete"},
		{p.Policy.Archive, "their rows are archived first"},
		{!byAge, "they are not ranges of " + p.Age.Column.Name + " alone"},
		{nested, "the table is a partition itself"},
		{hasDefault, "there is a default partition"},
		{count < 2, "there is only one"},
		{eventTrigger != "", "event trigger " + eventTrigger + " fires on ALTER TABLE or DROP TABLE"},
		{len(p.Edges) > 0, "other tables reference their rows"},
		{!p.NoTenant && !p.Tenants.Inline(), "the tenants come from a query"},
		{len(p.Root.firingTriggers()) > 0, "a trigger fires on DELETE"},
		{len(p.Root.FiringRules()) > 0, "a rule rewrites DELETE"},
		{publication != "", "publication " + publication + " replicates deletes but not drops"},
	} {
		if no.is {
			p.Parts.obstacle = no.why
			return nil
		}
	}
	p.Parts.ownership = true
	if !owned {
		p.Parts.obstacle = fmt.Sprintf("role %s does not own the table", c.server.Role)
	}
	return nil
}

// Shown returns the strategy and its reason for display. A run of selected rows drops no
// partitions.
func (p *Plan) Shown(sel Selection) (strategy, reason string) {
	obstacle := p.Parts.obstacle
	if obstacle == "" && sel.SomeRows() {
		obstacle = "the run is limited to some rows"
	}
	switch {
	case !p.Parts.is:
		return p.Strategy, p.Reason
	case obstacle != "":
		return p.Strategy, p.Reason + "; no partition is dropped whole: " + obstacle
	}
	return PartitionDrop, fmt.Sprintf("partitions are ranges of %s, and one is dropped when all its rows are expired; other rows by %s (%s)",
		p.Age.Column.Name, p.Strategy, p.Reason)
}

// Selection restricts a run or a preview to some of the expired rows. The zero value selects all of
// them.
type Selection struct {
	Tenants   []string         // keys, as PostgreSQL prints them; nil: all tenants
	OlderThan *policy.Duration // another cutoff; the earlier one counts. nil: none
	MaxRows   int64            // roots; 0: no limit
}

// SomeRows reports whether only some of the expired rows are selected.
func (s Selection) SomeRows() bool { return len(s.Tenants) > 0 || s.MaxRows > 0 }

// Owned reports whether a foreign key guarantees that every row of the root belongs to a tenant,
// and the policy has no where.
func (p *Plan) Owned() bool {
	t := p.Tenants
	if t.Table == nil || len(p.Hops) > 0 || p.Policy.Where.IsSet() {
		return false
	}
	lead, _ := p.Root.Table.Column(p.Lead()[0])
	return lead.NotNull && slices.ContainsFunc(p.graph.Outgoing(p.Root.Table.OID), func(k schema.ForeignKey) bool {
		return k.Parent == t.Table.OID && k.Validated && k.Enforced &&
			slices.Equal(k.ChildColumns, []string{lead.Name}) && slices.Equal(k.ParentColumns, []string{t.Key.Name})
	})
}
