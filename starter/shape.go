package starter

import (
	"slices"

	"github.com/reaperdb/reaper/schema"
)

// naturalNames are columns by which people identify things that are in use.
var naturalNames = []string{"name", "slug", "email", "username", "login", "handle", "domain", "subdomain", "host", "hostname", "path", "code", "title", "key", "apikey", "fingerprint", "phone", "alias", "label", "displayname", "iso", "isocode"}

// hasKey reports whether reaper can identify the rows of a table.
func hasKey(t *schema.Table) bool {
	return slices.ContainsFunc(t.Indexes, func(x schema.Index) bool { return t.Identifies(&x) })
}

// primaryKey returns the columns of a table's primary key.
func primaryKey(t *schema.Table) []string {
	for _, x := range t.Indexes {
		if x.Primary {
			return x.ColumnNames()
		}
	}
	return nil
}

// uniqueName returns a column of a unique index that names things, or "".
func uniqueName(t *schema.Table) string {
	for _, x := range t.Indexes {
		if !x.Unique {
			continue
		}
		for _, n := range x.ColumnNames() {
			if c, ok := t.Column(n); ok && (c.Category == "S" || c.Category == "U" && c.TypeName == "citext") && slices.Contains(naturalNames, plainName(n)) {
				return n
			}
		}
	}
	return ""
}

// indexedAge reports whether an index has the age as its first or second column.
func indexedAge(t *schema.Table, age string) bool {
	return slices.ContainsFunc(t.Indexes, func(x schema.Index) bool {
		i := slices.Index(x.ColumnNames(), age)
		return x.Method == "btree" && (i == 0 || i == 1)
	})
}

// isLink reports whether a table only connects others: besides foreign keys, its key and
// times it has at most one column; with a single foreign key, that column must hold the key
// of something else. A table with a name column is no link.
func (r *reader) isLink(t *schema.Table) bool {
	keys := r.graph.Outgoing(t.OID)
	var own []string
	for _, c := range t.Columns {
		inKey := slices.ContainsFunc(keys, func(k schema.ForeignKey) bool { return slices.Contains(k.ChildColumns, c.Name) })
		if !inKey && !slices.Contains(ageTypes, c.TypeName) && !slices.Equal(primaryKey(t), []string{c.Name}) {
			own = append(own, c.Name)
		}
	}
	if slices.ContainsFunc(own, func(n string) bool { return slices.Contains(naturalNames, plainName(n)) }) {
		return false
	}
	if len(keys) == 1 {
		return len(own) == 1 && (hasWord(own[0], "id") || own[0] == "A" || own[0] == "B")
	}
	return len(keys) > 1 && len(own) <= 1
}

// isPeriod reports whether a table has columns for the beginning and end of something that
// may lie in the future.
func isPeriod(t *schema.Table) bool {
	has := func(names ...string) bool {
		return slices.ContainsFunc(t.Columns, func(c schema.Column) bool { return slices.Contains(names, plainName(c.Name)) })
	}
	return has("startsat", "startson", "startdate", "validfrom") && has("endsat", "endson", "enddate", "validuntil", "validto")
}
