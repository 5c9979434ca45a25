// Package starter proposes a first policy file: which table owns rows, which tables hold
// history that may expire, and what has to be decided about each.
//
// It proposes a table only if its own rows are what expires. Tables whose rows are in use
// (users, projects, keys) are never proposed, nor are tables whose deletion would take such
// rows along. No policy runs before a person has chosen its retention.
package starter

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// Proposal is the policy file suggested by the database.
type Proposal struct {
	Tenants *Tenants // nil if no table seems to own rows
	Roots   []Root   // largest first
	Others  []Other  // all other tables, by name
	// Polymorphic are the pairs of columns whose target tables are unknown.
	Polymorphic []Polymorphic

	read     *reader
	answered bool // by an Interview: nothing is left to choose
}

// Root is a table whose expired rows may be deleted.
type Root struct {
	Table *schema.Table
	Age   schema.Column
	Unit  string // of an integer age: s, ms or us; of a key: uuidv7, ulid or snowflake
	Epoch string // of a snowflake, as in the policy file
	ByKey bool   // no column holds the age, but the primary key tells it
	// Paths are the shortest paths to the tenants, all of one length; none means no tenant.
	// With OnePath the first one is right; otherwise a person has to choose.
	Paths   []Path
	OnePath bool
	// Retention is what a person has answered, a duration. Empty: nobody was asked or, in a proposal
	// that was answered, each tenant's own.
	Retention string
	// Decisions are the keys below it that the schema leaves undecided.
	Decisions []Decision
	// Polymorphic are pairs of columns that reference its rows without a foreign key.
	Polymorphic []Polymorphic
}

// Decision is a foreign key that needs a decision.
type Decision struct {
	Key      schema.ForeignKey
	Below    bool     // the referenced table is not the root itself
	Allowed  []string // possible actions
	Live     bool     // its rows are in use, so decided as keep
	Conflict bool     // on a path from rows to their tenants
	Action   string   // that a person has chosen; empty: nobody was asked
}

// Polymorphic is a pair of columns such as taggable_type and taggable_id.
type Polymorphic struct {
	Table    *schema.Table
	Type, ID string
	Value    string // of Type, for rows of the root
}

// Other is a table that is not proposed.
type Other struct {
	Table  *schema.Table
	Reason string
}

// reader collects what a proposal needs.
type reader struct {
	graph      *schema.Graph
	q          schema.Querier
	tables     []*schema.Table // all tables of the application, by name
	found      *Proposal
	kinds      map[uint32]kind
	dependents map[uint32][]uint32 // cache of below
}

// Read inspects the catalog and samples of rows. It skips tables of the schema ledger, which are
// reaper's own. owner is the tenants' table that a person has named, with or without its schema; "":
// there are none; nil: nobody has.
func Read(ctx context.Context, q schema.Querier, ledger string, owner *string) (*Proposal, error) {
	g, err := schema.Read(ctx, q)
	if err != nil {
		return nil, err
	}
	oids, names, err := schema.UserTables(ctx, q)
	if err != nil {
		return nil, err
	}
	var own []uint32
	for i, oid := range oids {
		if names[i].Schema != ledger {
			own = append(own, oid)
		}
	}
	if err := g.Outline(ctx, q, own...); err != nil {
		return nil, err
	}
	r := &reader{graph: g, q: q, found: &Proposal{}, kinds: map[uint32]kind{}, dependents: map[uint32][]uint32{}}
	for _, oid := range own {
		if t := g.Tables[oid]; t != nil { // nil if dropped meanwhile
			r.tables = append(r.tables, t)
			r.kinds[oid], _ = kindOf(t.Name.Name)
		}
	}
	r.found.read = r
	if r.found.Tenants, err = r.tenants(owner); err != nil {
		return nil, err
	}
	if err := r.classify(ctx); err != nil {
		return nil, fmt.Errorf("looking at the rows of tables: %w", err)
	}
	return r.found, nil
}

// classify divides the tables into roots and others.
func (r *reader) classify(ctx context.Context) error {
	var candidates []Root
	for _, t := range r.tables {
		root, reason, err := r.candidate(ctx, t)
		if err != nil {
			return err
		}
		if reason != "" {
			r.found.Others = append(r.found.Others, Other{t, reason})
			continue
		}
		candidates = append(candidates, root)
	}
	var roots []Root
	for _, c := range candidates {
		if head := r.deletedWith(c, candidates); head != nil {
			r.found.Others = append(r.found.Others, Other{c.Table, "deleted with " + head.Name.String()})
			continue
		}
		c.Paths = r.paths(c.Table)
		roots = append(roots, c)
	}
	roots, left := r.withoutConflicts(roots)
	r.found.Others = append(r.found.Others, left...)
	r.found.Roots = roots
	for i := range roots {
		r.decisions(&roots[i])
	}
	if err := r.polymorphic(ctx); err != nil {
		return err
	}
	slices.SortStableFunc(r.found.Roots, func(x, y Root) int {
		if x.Table.Bytes != y.Table.Bytes {
			return int(min(max(y.Table.Bytes-x.Table.Bytes, -1), 1))
		}
		return strings.Compare(x.Table.Name.String(), y.Table.Name.String())
	})
	slices.SortStableFunc(r.found.Others, func(x, y Other) int { return strings.Compare(x.Table.Name.String(), y.Table.Name.String()) })
	return nil
}

// deletedWith returns another candidate with whose rows those of c are deleted, or nil if there
// is none or the two depend on each other.
func (r *reader) deletedWith(c Root, candidates []Root) *schema.Table {
	for _, o := range candidates {
		if o.Table != c.Table && slices.Contains(r.below(o.Table.OID), c.Table.OID) && !slices.Contains(r.below(c.Table.OID), o.Table.OID) {
			return o.Table
		}
	}
	return nil
}

// below returns the tables whose rows are deleted, or may be, with those of a table.
func (r *reader) below(root uint32) []uint32 {
	if found, ok := r.dependents[root]; ok {
		return found
	}
	found := []uint32{root}
	for i := 0; i < len(found); i++ {
		for _, k := range r.graph.References(found[i]) {
			deleted := k.OnDelete == schema.NoAction || k.OnDelete == schema.Restrict || k.OnDelete == schema.Cascade
			if deleted && !slices.Contains(found, k.Child) && !r.inUse(k, found[i]) {
				found = append(found, k.Child)
			}
		}
	}
	r.dependents[root] = found[1:]
	return found[1:]
}
