package schema

import (
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
)

// After is the condition that a row comes after a place, by the operators that ORDER BY uses. A nil
// order is that of a built-in type.
func After(columns []string, orders []*Order, place []string) string {
	named := func(i int) string {
		if orders[i] == nil { // of a built-in type
			return "OPERATOR(pg_catalog.>)"
		}
		return orders[i].Greater.String()
	}
	for i := range columns {
		if named(i) != "OPERATOR(pg_catalog.>)" {
			return afterEach(columns, orders, place, named)
		}
	}
	return pg.Row(columns) + " OPERATOR(pg_catalog.>) " + pg.Row(place)
}

// afterEach serves types of extensions and users, since all operators of a row comparison
// come from one schema.
func afterEach(columns []string, orders []*Order, place []string, greater func(int) string) string {
	var or []string
	for i := range columns {
		and := ""
		for k := range i {
			and += columns[k] + " " + equalOf(orders[k]) + " " + place[k] + " AND "
		}
		or = append(or, "("+and+columns[i]+" "+greater(i)+" "+place[i]+")")
	}
	first := "(" + columns[0] + " " + greater(0) + " " + place[0] + " OR " + columns[0] + " " + equalOf(orders[0]) + " " + place[0] + ")"
	return first + " AND (" + strings.Join(or, " OR ") + ")"
}

func equalOf(o *Order) string {
	if o == nil {
		return "OPERATOR(pg_catalog.=)"
	}
	return o.Equal.String()
}
