package starter

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/schema"
)

// polymorphic finds pairs of columns x_type and x_id without a foreign key, and samples
// the types to see which roots they name.
func (r *reader) polymorphic(ctx context.Context) error {
	for _, t := range r.tables {
		for _, c := range t.Columns {
			name, ok := strings.CutSuffix(c.Name, "_type")
			id, found := t.Column(name + "_id")
			if !ok || !found || c.Category != "S" || r.referencesBy(t, id.Name) {
				continue
			}
			types, err := r.types(ctx, t, c)
			if err != nil {
				return err
			}
			named := false
			for i := range r.found.Roots {
				root := &r.found.Roots[i]
				if v := slices.IndexFunc(types, func(v string) bool { return names(v, root.Table.Name.Name) }); v >= 0 && len(primaryKey(root.Table)) == 1 {
					named = true
					root.Polymorphic = append(root.Polymorphic, Polymorphic{t, c.Name, id.Name, types[v]})
				}
			}
			if !named {
				r.found.Polymorphic = append(r.found.Polymorphic, Polymorphic{Table: t, Type: c.Name, ID: id.Name})
			}
		}
	}
	return nil
}

// referencesBy reports whether a column is part of a foreign key.
func (r *reader) referencesBy(t *schema.Table, column string) bool {
	return slices.ContainsFunc(r.graph.Outgoing(t.OID), func(k schema.ForeignKey) bool { return slices.Contains(k.ChildColumns, column) })
}

// types returns the values of a column in a sample of rows.
func (r *reader) types(ctx context.Context, t *schema.Table, c schema.Column) ([]string, error) {
	if t.Bytes == 0 {
		return nil, nil
	}
	rows, err := r.q.Query(ctx, fmt.Sprintf("SELECT DISTINCT x FROM (SELECT %s::text AS x FROM %s LIMIT %d) s WHERE x IS NOT NULL ORDER BY x", quoted(c.Name), t.Name.SQL(), sampled))
	if err == nil {
		var types []string
		if types, err = pgx.CollectRows(rows, pgx.RowTo[string]); err == nil {
			return types, nil
		}
	}
	if unreadable(err) {
		return nil, nil
	}
	return nil, err
}

// names reports whether a type, as Rails, Laravel or Django write it, is the class of a
// table's rows: Ticket, App\Models\Ticket, helpdesk.ticket for tickets.
func names(value, table string) bool {
	class := value[strings.LastIndexAny(value, `\:./`)+1:]
	return class != "" && inSingular(class) == inSingular(table)
}

// inSingular lowercases a name and makes its last word singular.
func inSingular(name string) string {
	parts := split(name)
	if len(parts) > 0 {
		parts[len(parts)-1] = singular(parts[len(parts)-1])
	}
	return strings.Join(parts, "")
}
