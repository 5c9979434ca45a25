package purge

import (
	"slices"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// relation is what one or more foreign keys say of the same columns: migrations leave
// a key behind another. Its rows have one fate.
type relation struct{ keys []schema.ForeignKey }

// relations groups foreign keys by the columns that they compare.
func relations(keys []schema.ForeignKey) (out []relation) {
	for _, k := range keys {
		i := slices.IndexFunc(out, func(r relation) bool { return sameColumns(r.keys[0], k) })
		if i < 0 {
			out = append(out, relation{})
			i = len(out) - 1
		}
		out[i].keys = append(out[i].keys, k)
	}
	return out
}

func sameColumns(a, b schema.ForeignKey) bool {
	return a.Child == b.Child && a.Parent == b.Parent && slices.Equal(pairNames(a), pairNames(b))
}

func pairNames(k schema.ForeignKey) []string {
	names := make([]string, len(k.ChildColumns))
	for i := range names {
		names[i] = ident(k.ChildColumns[i], k.ParentColumns[i])
	}
	slices.Sort(names)
	return names
}

// open is the first key of the relation that says nothing of its rows; nil: there is
// none.
func (r relation) open() *schema.ForeignKey {
	i := slices.IndexFunc(r.keys, func(k schema.ForeignKey) bool { return k.OnDelete == schema.NoAction || k.OnDelete == schema.Restrict })
	if i < 0 {
		return nil
	}
	return &r.keys[i]
}

// first is the key that stands for the relation: an open one, if there is any.
func (r relation) first() *schema.ForeignKey {
	if k := r.open(); k != nil {
		return k
	}
	return &r.keys[0]
}

// agreed is what all its keys do; false: they differ, or one of them is open.
func (r relation) agreed() (schema.OnDelete, bool) {
	differs := func(k schema.ForeignKey) bool { return k.OnDelete != r.keys[0].OnDelete }
	return r.keys[0].OnDelete, r.open() == nil && !slices.ContainsFunc(r.keys, differs)
}

// allows reports whether an entry of the file may decide so: one of the keys lets it.
func (r relation) allows(a policy.Action) bool {
	return slices.ContainsFunc(r.keys, func(k schema.ForeignKey) bool { return allowedFor(k.OnDelete, a) })
}

// allowedFor reports whether an entry may decide so where a key says this.
func allowedFor(o schema.OnDelete, a policy.Action) bool {
	switch o {
	case schema.NoAction, schema.Restrict:
		return true
	case schema.Cascade:
		return a == policy.Keep
	}
	return a == policy.Delete || a == policy.Keep
}

func (r relation) names() string {
	return list(len(r.keys), func(i int) string { return r.keys[i].Name })
}

// leaves reports whether an entry that names the relation by its columns leaves it to
// the schema: it forbids the action, and the same columns make an open relation to the
// same table, of which the entry speaks.
func (r relation) leaves(a policy.Action, siblings []relation) bool {
	if _, agreed := r.agreed(); !agreed || r.allows(a) {
		return false
	}
	columns := func(r relation) []string { return slices.Sorted(slices.Values(r.first().ChildColumns)) }
	return slices.ContainsFunc(siblings, func(o relation) bool {
		return o.open() != nil && o.first().Child == r.first().Child && o.first().Parent == r.first().Parent && slices.Equal(columns(o), columns(r))
	})
}
