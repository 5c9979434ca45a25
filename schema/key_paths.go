package schema

import (
	"slices"
)

// KeysOver are the foreign keys that a column of a table may refer to: those on the column alone,
// otherwise composite ones that include it.
func (g *Graph) KeysOver(table uint32, column string) []ForeignKey {
	var keys []ForeignKey
	for _, r := range Relations(g.Outgoing(table)) {
		if slices.Contains(r.First().ChildColumns, column) {
			keys = append(keys, *r.First())
		}
	}
	if single := slices.DeleteFunc(slices.Clone(keys), func(k ForeignKey) bool { return len(k.ChildColumns) > 1 }); len(single) > 0 {
		return single
	}
	return keys
}

// ShortestPaths are the shortest paths along foreign keys from one table to another. Keys on the
// same columns count as one.
func (g *Graph) ShortestPaths(from, to uint32) [][]ForeignKey {
	type trail struct {
		at   uint32
		keys []ForeignKey
	}
	level := []trail{{at: from}}
	seen := map[uint32]bool{from: true}
	for len(level) > 0 {
		var next []trail
		var found [][]ForeignKey
		reached := map[uint32]bool{}
		for _, t := range level {
			for _, r := range Relations(g.Outgoing(t.at)) {
				k := *r.First()
				if seen[k.Parent] {
					continue
				}
				keys := append(slices.Clone(t.keys), k)
				if k.Parent == to {
					found = append(found, keys)
					continue
				}
				reached[k.Parent] = true
				next = append(next, trail{at: k.Parent, keys: keys})
			}
		}
		if len(found) > 0 {
			return found
		}
		for oid := range reached {
			seen[oid] = true
		}
		level = next
	}
	return nil
}
