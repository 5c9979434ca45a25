package schema

import (
	"slices"

	"github.com/reaperdb/reaper/internal/pg"
)

// Relation is one or more foreign keys on the same columns, such as a key that a migration left
// beside its replacement. All decide about the same rows.
type Relation struct{ Keys []ForeignKey }

// Relations groups foreign keys by the columns that they compare.
func Relations(keys []ForeignKey) (out []Relation) {
	for _, k := range keys {
		i := slices.IndexFunc(out, func(r Relation) bool { return SameColumns(r.Keys[0], k) })
		if i < 0 {
			out = append(out, Relation{})
			i = len(out) - 1
		}
		out[i].Keys = append(out[i].Keys, k)
	}
	return out
}

// SameColumns reports whether two foreign keys compare the same columns.
func SameColumns(a, b ForeignKey) bool {
	return a.Child == b.Child && a.Parent == b.Parent && slices.Equal(pairNames(a), pairNames(b))
}

func pairNames(k ForeignKey) []string {
	names := make([]string, len(k.ChildColumns))
	for i := range names {
		names[i] = pg.Ident(k.ChildColumns[i], k.ParentColumns[i])
	}
	slices.Sort(names)
	return names
}

// Open is the first key of the relation whose ON DELETE decides no action; nil if there is none.
func (r Relation) Open() *ForeignKey {
	i := slices.IndexFunc(r.Keys, func(k ForeignKey) bool { return k.OnDelete == NoAction || k.OnDelete == Restrict })
	if i < 0 {
		return nil
	}
	return &r.Keys[i]
}

// First represents the relation: an open key, if there is one.
func (r Relation) First() *ForeignKey {
	if k := r.Open(); k != nil {
		return k
	}
	return &r.Keys[0]
}

// Agreed is the common ON DELETE of all keys; false if they differ or one is open.
func (r Relation) Agreed() (OnDelete, bool) {
	differs := func(k ForeignKey) bool { return k.OnDelete != r.Keys[0].OnDelete }
	return r.Keys[0].OnDelete, r.Open() == nil && !slices.ContainsFunc(r.Keys, differs)
}

// Names are the names of its keys, for display.
func (r Relation) Names() string {
	return pg.List(len(r.Keys), func(i int) string { return r.Keys[i].Name })
}
