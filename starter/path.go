package starter

import (
	"slices"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Path is a path from a table to the tenants: the columns to follow.
type Path struct {
	Columns  []string
	Nullable []string // those of them that are nullable, as table.column: rows with NULL there have no tenant
	Declared bool     // without a foreign key: the column is named like those of other tables
}

// steps formats a path as the policy file does.
func (p Path) steps() string {
	var path policy.Path
	for _, c := range p.Columns {
		path.Steps = append(path.Steps, policy.Step{Column: c})
	}
	return path.YAML()
}

// paths returns the shortest foreign-key paths to the tenants, or else a column with the
// name and type by which other tables reference them.
func (r *reader) paths(t *schema.Table) []Path {
	if r.found.Tenants == nil {
		return nil
	}
	to := r.found.Tenants.Table.OID
	type trail struct {
		at   uint32
		path Path
	}
	level, seen := []trail{{at: t.OID}}, map[uint32]bool{t.OID: true}
	for len(level) > 0 {
		var next []trail
		var found []Path
		reached := map[uint32]bool{}
		for _, at := range level {
			for _, k := range r.graph.Outgoing(at.at) {
				path, ok := r.step(at.path, k, to)
				if seen[k.Parent] || !ok {
					continue
				}
				if k.Parent == to {
					if !slices.ContainsFunc(found, func(o Path) bool { return slices.Equal(o.Columns, path.Columns) }) {
						found = append(found, path)
					}
					continue
				}
				reached[k.Parent] = true
				next = append(next, trail{k.Parent, path})
			}
		}
		if len(found) > 0 {
			if direct := r.byColumnName(t); len(found[0].Columns) > 1 && len(direct) > 0 && len(direct[0].Nullable) == 0 {
				return direct
			}
			slices.SortFunc(found, func(x, y Path) int { return slices.Compare(x.Columns, y.Columns) })
			return found
		}
		for oid := range reached {
			seen[oid] = true
		}
		level = next
	}
	return r.byColumnName(t)
}

// step follows a foreign key. ok is false if the policy file cannot express it: a key of
// several columns that leads to the tenants by something other than their key, or whose
// columns are all part of other keys.
func (r *reader) step(path Path, k schema.ForeignKey, to uint32) (_ Path, ok bool) {
	column := k.ChildColumns[0]
	if k.Parent == to {
		i := slices.Index(k.ParentColumns, r.found.Tenants.Key)
		if i < 0 {
			return path, false
		}
		column = k.ChildColumns[i]
	} else if len(k.ChildColumns) > 1 {
		i := slices.IndexFunc(k.ChildColumns, func(c string) bool {
			return !slices.ContainsFunc(r.graph.Outgoing(k.Child), func(o schema.ForeignKey) bool { return o.OID != k.OID && slices.Contains(o.ChildColumns, c) })
		})
		if i < 0 {
			return path, false
		}
		column = k.ChildColumns[i]
	} else if slices.ContainsFunc(r.graph.Outgoing(k.Child), func(o schema.ForeignKey) bool {
		return o.Parent != k.Parent && slices.Equal(o.ChildColumns, k.ChildColumns)
	}) {
		return path, false
	}
	next := Path{Columns: append(slices.Clone(path.Columns), column), Nullable: slices.Clone(path.Nullable)}
	if c, _ := r.graph.Tables[k.Child].Column(column); !c.NotNull {
		next.Nullable = append(next.Nullable, k.ChildName.Name+"."+column)
	}
	return next, true
}

// byColumnName returns a column that holds the tenants' key without a foreign key.
func (r *reader) byColumnName(t *schema.Table) []Path {
	owner := r.found.Tenants
	key, _ := owner.Table.Column(owner.Key)
	parts := split(owner.Table.Name.Name)
	names := []string{singular(parts[len(parts)-1]) + plainName(owner.Key), plainName(singular(owner.Table.Name.Name)) + plainName(owner.Key)}
	for _, k := range r.graph.References(owner.Table.OID) {
		if len(k.ChildColumns) == 1 && k.Child != owner.Table.OID && hasWord(k.ChildColumns[0], singular(parts[len(parts)-1])) {
			names = append(names, plainName(k.ChildColumns[0]))
		}
	}
	for _, c := range t.Columns {
		if c.TypeOID == key.TypeOID && slices.Contains(names, plainName(c.Name)) {
			p := Path{Columns: []string{c.Name}, Declared: true}
			if !c.NotNull {
				p.Nullable = []string{t.Name.Name + "." + c.Name}
			}
			return []Path{p}
		}
	}
	return nil
}

// preferred moves the one path that gives every row a tenant to the front, if there is
// exactly one; ok is false if several are equally good.
func preferred(paths []Path) (_ []Path, ok bool) {
	i := slices.IndexFunc(paths, func(p Path) bool { return len(p.Nullable) == 0 })
	if len(paths) < 2 || i < 0 || slices.ContainsFunc(paths[i+1:], func(p Path) bool { return len(p.Nullable) == 0 }) {
		return paths, len(paths) == 1
	}
	return slices.Concat(paths[i:i+1], paths[:i], paths[i+1:]), true
}

// decisions adds the undecided keys to a root.
func (r *reader) decisions(root *Root) {
	onPath := r.onPaths(root.Table, root.Paths)
	for i, oid := range append([]uint32{root.Table.OID}, r.below(root.Table.OID)...) {
		for _, k := range r.graph.References(oid) {
			if k.OnDelete == schema.NoAction || k.OnDelete == schema.Restrict {
				root.Decisions = append(root.Decisions, r.decision(k, oid, i > 0, onPath))
			}
		}
	}
}

// onPaths returns the tables between a root and its tenants, including the tenants.
func (r *reader) onPaths(t *schema.Table, paths []Path) (tables []uint32) {
	if r.found.Tenants == nil {
		return nil
	}
	for _, p := range paths {
		at := t.OID
		for _, column := range p.Columns {
			at = r.leadsTo(at, column)
			tables = append(tables, at)
		}
	}
	return append(tables, r.found.Tenants.Table.OID)
}

// decision lists the possible actions for the rows behind an undecided key.
func (r *reader) decision(k schema.ForeignKey, parent uint32, below bool, onPath []uint32) Decision {
	d := Decision{Key: k, Below: below, Live: r.inUse(k, parent) || slices.Contains(onPath, k.Child)}
	child := r.graph.Tables[k.Child]
	nullable := !slices.ContainsFunc(k.ChildColumns, func(n string) bool { c, _ := child.Column(n); return c.NotNull || c.Generated })
	// Rows that may exist without the reference stand on their own, unless they are history
	// or content.
	if kind := r.kinds[k.Child]; !nullable || kind == history || kind == lifecycle || kind == content || r.partOf(child, r.graph.Tables[parent]) {
		d.Allowed = append(d.Allowed, "delete")
	}
	if nullable && !slices.Contains(onPath, k.Child) {
		d.Allowed = append(d.Allowed, "nullify")
	}
	d.Allowed = append(d.Allowed, "keep")
	return d
}
