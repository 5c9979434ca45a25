package starter

import (
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/schema"
)

// deletedBy is what a root's policy may delete, and which columns it may nullify.
type deletedBy struct {
	root    *schema.Table
	tables  []uint32
	columns map[uint32][]string
}

func (r *reader) deletedBy(t *schema.Table) deletedBy {
	x := deletedBy{root: t, tables: append([]uint32{t.OID}, r.below(t.OID)...), columns: map[uint32][]string{}}
	for _, oid := range x.tables {
		for _, k := range r.graph.References(oid) {
			if k.OnDelete == schema.SetNull || k.OnDelete == schema.SetDefault {
				x.columns[k.Child] = append(x.columns[k.Child], k.ChildColumns...)
			}
		}
	}
	return x
}

// breaks reports whether the policy may remove something on a path from a table.
func (r *reader) breaks(x deletedBy, from *schema.Table, p Path) bool {
	at := from.OID
	for i, column := range p.Columns {
		if i > 0 && slices.Contains(x.tables, at) || slices.Contains(x.columns[at], column) {
			return true
		}
		at = r.leadsTo(at, column)
	}
	return false
}

// leadsTo returns the table that a column references, or 0.
func (r *reader) leadsTo(table uint32, column string) uint32 {
	for _, k := range r.graph.Outgoing(table) {
		if slices.Contains(k.ChildColumns, column) {
			return k.Parent
		}
	}
	return 0
}

// withoutConflicts drops the paths that another root's policy may cut, and the roots left
// without one: a row whose path to its tenant is gone is never deleted.
func (r *reader) withoutConflicts(roots []Root) (kept []Root, left []Other) {
	var all []deletedBy
	for _, root := range roots {
		all = append(all, r.deletedBy(root.Table))
	}
	for _, root := range roots {
		var by *schema.Table
		paths := slices.DeleteFunc(slices.Clone(root.Paths), func(p Path) bool {
			i := slices.IndexFunc(all, func(x deletedBy) bool { return r.breaks(x, root.Table, p) })
			if i >= 0 {
				by = all[i].root
			}
			return i >= 0
		})
		if len(paths) == 0 && len(root.Paths) > 0 {
			left = append(left, Other{root.Table, fmt.Sprintf("reaches its tenants through rows that are deleted with %s", text(by.Name.String()))})
			continue
		}
		root.Paths, root.OnePath = preferred(paths)
		kept = append(kept, root)
	}
	return kept, left
}
