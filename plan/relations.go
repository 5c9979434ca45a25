package plan

import (
	"slices"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// allows reports whether an entry of the file may choose this action: one of the keys allows it.
func allows(r schema.Relation, a policy.Action) bool {
	return slices.ContainsFunc(r.Keys, func(k schema.ForeignKey) bool { return allowedFor(k.OnDelete, a) })
}

// allowedFor reports whether an entry may choose this action for a key with this ON DELETE.
func allowedFor(o schema.OnDelete, a policy.Action) bool {
	switch o {
	case schema.NoAction, schema.Restrict:
		return true
	case schema.Cascade:
		return a == policy.Keep
	}
	return a == policy.Delete || a == policy.Keep || a == policy.Redact
}

// defersToSchema reports whether an entry that names the relation by its columns defers to the
// schema: the relation forbids the entry's action, and the same columns form an undecided relation
// to the same table, which the entry decides instead.
func defersToSchema(r schema.Relation, a policy.Action, siblings []schema.Relation) bool {
	if _, agreed := r.Agreed(); !agreed || allows(r, a) {
		return false
	}
	columns := func(r schema.Relation) []string { return slices.Sorted(slices.Values(r.First().ChildColumns)) }
	return slices.ContainsFunc(siblings, func(o schema.Relation) bool {
		return o.Open() != nil && o.First().Child == r.First().Child && o.First().Parent == r.First().Parent && slices.Equal(columns(o), columns(r))
	})
}
