package search

import (
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// PrintedRootSQL returns the key of a root, given by column, as PostgreSQL prints it; NULL if there
// is none or, with unknown, as its types print it.
func PrintedRootSQL(p *plan.Plan, key []string, unknown bool) *pg.Statement {
	s := &pg.Statement{}
	values := make([]string, len(key))
	for i, k := range p.Key {
		values[i] = s.Cast(key[i], k.SQLType)
	}
	otherwise := "NULL::text[]"
	if unknown {
		otherwise = "ARRAY[" + strings.Join(texts(values), ", ") + "]"
	}
	columns := schema.Cols(p.Root.Table, plan.ColumnNames(p.Key))
	pairs := schema.Themselves(p.Key, p.KeyOrders)
	return s.Add("SELECT coalesce((SELECT ARRAY[", strings.Join(texts(columns), ", "), "] FROM ", schema.From(p.Root.Table), " WHERE ",
		pg.And(len(key), func(i int) string { return pairs[i].FindTheirs(values[i], columns[i]) }), " LIMIT 1), ", otherwise, ")")
}
